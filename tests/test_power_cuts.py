"""What was reported as stored is there after a power cut: caches, journal, checkpoints, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from baselines.training.checkpoints import COMPLETE, last_checkpoint
from polyfact_dataset.common.files import keep_lines
from polyfact_dataset.llm.cache import Cache as ModelCache
from polyfact_dataset.llm.protocol import Request
from polyfact_dataset.verification.journal import Journal
from polyfact_dataset.wikidata.cache import Cache as WikidataCache
from polyfact_dataset.wikidata.parts import Parts
from tests.support.power_cut import cuts, needs_strace, trace

BEGIN = "import sys\nfrom pathlib import Path\nroot = Path({root!r})\n"
PROGRAMS = {
    "model cache": """
from polyfact_dataset.llm.cache import Cache, Sent
from polyfact_dataset.llm.protocol import Request, read_answer
with Cache(root / "new" / "deep" / "cache.sqlite") as cache:
    for number in range(40):
        request = Request("question", {{"model": "m", "messages": [number]}})
        with cache.transaction():
            body = {{"choices": [{{"message": {{"content": f"{{number}}" * 1500}}, "finish_reason": "stop"}}]}}
            cache.put(Sent.of(request), read_answer(request.endpoint, body))
        print(number, flush=True)
""",
    "Wikidata cache": """
from polyfact_dataset.wikidata.cache import Cache
with Cache(root / "new" / "cache.sqlite") as cache:
    for number in range(40):
        cache.write([(f"Q{{number + 1}}", b"entity" * 500)], "scope")
        print(number, flush=True)
""",
    "journal": """
from polyfact_dataset.verification.items import Item
from polyfact_dataset.verification.journal import Journal
journal = Journal(root / "v", "amina")
for number in range(40):
    with journal.locked():
        journal.add(Item(f"Q{{number}}|P36|Q2", "en", "i", "P36", "q", ("a", "b", "c", "d"), 0), "correct")
    print(number, flush=True)
""",
    "files": """
from polyfact_dataset.common.files import write_json
for number in range(40):
    write_json(root / "a" / f"b{{number % 3}}" / "file.json", {{"number": number}})
    print(number, flush=True)
""",
    "checkpoints": """
import json
from polyfact_dataset.common.files import sync, sync_tree, write_text
from baselines.training.checkpoints import COMPLETE
from polyfact_dataset.common.files import make_folder
run = root / "run"
make_folder(run)
for step in range(20):
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps({{"step": step}}) + "\\n")
    checkpoint = run / f"checkpoint-{{step}}"
    (checkpoint / "deep").mkdir(parents=True)
    # As safetensors writes: space is reserved, then filled, under another name.
    with (checkpoint / "deep" / "new").open("wb") as weights:
        weights.truncate(5000)
        weights.write(bytes([step]) * 5000)
    (checkpoint / "deep" / "new").rename(checkpoint / "deep" / "weights")
    sync_tree(checkpoint)
    for path in run.glob("*.jsonl"):
        sync(path)
    write_text(checkpoint / COMPLETE, f"{{step}}\\n")
    sync(run)
    print(step, flush=True)
""",
    "parts": """
import pyarrow as pa
from polyfact_dataset.common.files import write_parquet
from polyfact_dataset.wikidata.parts import Parts, Record
parts = Parts(root / "stage")
for number in range(8):
    for path in parts.targets(number):
        write_parquet(path, pa.table({{"n": [number] * 100}}))
    record = Record(position={{"text": number}}, newlines=number, counts={{}}, head_bytes=None, tail_bytes=1)
    parts.finish(record, None, b"x")
    print(number, flush=True)
""",
}


def model_cache(folder: Path, reported: int) -> None:
    if reported or (folder / "new" / "deep" / "cache.sqlite").exists():
        with ModelCache(folder / "new" / "deep" / "cache.sqlite") as cache:
            kept = [cache.get(Request("question", {"model": "m", "messages": [n]})) for n in range(reported)]
            assert None not in kept


def wikidata_cache(folder: Path, reported: int) -> None:
    with WikidataCache(folder / "new" / "cache.sqlite") as cache:
        ids = [f"Q{number + 1}" for number in range(reported)]
        assert dict(cache.read(ids, "scope")) == dict.fromkeys(ids, b"entity" * 500)


def journal(folder: Path, reported: int) -> None:
    labels = Journal(folder / "v", "amina").read().labels
    assert {key[0] for key in labels} >= {f"Q{number}|P36|Q2" for number in range(reported)}


def files(folder: Path, reported: int) -> None:
    for place in range(min(reported, 3)):
        number = json.loads((folder / "a" / f"b{place}" / "file.json").read_text())["number"]
        assert number % 3 == place and number >= max(n for n in range(reported) if n % 3 == place)


def checkpoints(folder: Path, reported: int) -> None:
    if not reported:
        return
    last = last_checkpoint(folder / "run")
    assert last is not None
    step = int((last / COMPLETE).read_text())
    assert step >= reported - 1 and (last / "deep" / "weights").read_bytes() == bytes([step]) * 5000
    keep_lines(folder / "run" / "log.jsonl", lambda line: line["step"] <= step)
    lines = (folder / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(step + 1))


def parts(folder: Path, reported: int) -> None:
    found = Parts(folder / "stage")
    assert len(found.records) >= reported and not found.damage


CHECKS: dict[str, Callable[[Path, int], None]] = {
    "model cache": model_cache,
    "Wikidata cache": wikidata_cache,
    "journal": journal,
    "files": files,
    "checkpoints": checkpoints,
    "parts": parts,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_that_was_reported_is_lost_in_200_cuts(name: str, tmp_path: Path) -> None:
    needs_strace()
    root = tmp_path / "disk"
    root.mkdir()
    program = BEGIN.format(root=str(root)) + PROGRAMS[name].format()
    operations = trace(program, root, tmp_path / "traces")
    reports = set()
    for folder, printed in cuts(operations, root, tmp_path / "cut", 200, seed=1):
        reported = len(printed.split())
        reports.add(reported)
        CHECKS[name](folder, reported)
    assert len(reports) > 5
