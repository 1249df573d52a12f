"""Extraction as a whole: the same rows from every compression, whatever the workers, the cuts or the interruptions."""

from __future__ import annotations

import errno
import gc
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import usual

from polyfact_dataset.common.errors import ConfigError, DataError, RetryableError
from polyfact_dataset.common.progress import Log
from polyfact_dataset.pipeline.stages import EXTRACT, stage_folder
from polyfact_dataset.wikidata import dump as dump_module
from polyfact_dataset.wikidata import extract as module
from polyfact_dataset.wikidata import workers as workers_module
from polyfact_dataset.wikidata.parts import Parts
from tests.support.command import polyfact
from tests.support.dumps import KINDS, config, contents, extract, packed, settings, tables, text
from tests.support.logs import Lines


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("dumps")
    for kind in KINDS:
        (folder / kind).write_bytes(packed(kind))
    return {kind: folder / kind for kind in KINDS}


@pytest.fixture(scope="module")
def whole(dumps: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """What each dump gives when nothing interrupts, made when it is asked for."""
    out = tmp_path_factory.mktemp("whole")
    return cache(lambda kind: extract(dumps[kind], out / kind, config(kind)))


@pytest.fixture
def expected(whole: Callable[[str], Path]) -> Callable[[str], dict[str, str]]:
    """The files of what each dump gives."""
    return lambda kind: contents(whole(kind))


@pytest.fixture(scope="module")
def stopped(dumps: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A build of each dump that ended after three parts, to be copied."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("stopped") / "build"
            with pytest.MonkeyPatch.context() as patch, stopped_after(3, patch):
                extract(dumps[kind], made[kind], config(kind))
        return made[kind]

    return get


@pytest.fixture(scope="module")
def rows_of_the_usual_script(tmp_path_factory: pytest.TempPathFactory) -> tuple[list, list]:
    """What the usual script reads in the text of the dumps, without the broken line."""
    good = tmp_path_factory.mktemp("good") / "good.json"
    good.write_bytes(text().replace(b'{"id":"Q7","labels":\n', b""))
    found = [entity for entity in usual.entities(good) if entity["type"] != "lexeme"]
    return [usual.entity_row(entity) for entity in found], [r for entity in found for r in usual.statement_rows(entity)]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_the_usual_script(
    kind: str, whole: Callable[[str], Path], rows_of_the_usual_script: tuple[list, list]
) -> None:
    folder = whole(kind)
    entities, statements, quarantine = tables(folder)
    assert entities == rows_of_the_usual_script[0] and len(entities) > 100
    assert statements == rows_of_the_usual_script[1]
    broken = text().count(b"\n", 0, text().index(b'{"id":"Q7","labels":\n')) + 1
    assert [row["line"] for row in quarantine] == [broken]
    assert json.loads((folder / "extraction.json").read_text())["newlines"] == text().count(b"\n")
    assert len(list((folder / "entities.parquet").iterdir())) > 3, "the test shows little when there are few parts"


@pytest.mark.parametrize("program", ["exit 1", "head -c 5000; exit 1", "cat"])
def test_an_lbzip2_that_fails_is_done_without(
    program: str,
    dumps: dict[str, Path],
    expected: Callable[[str], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "bin" / "lbzip2"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{program}\nexit 1\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    assert contents(extract(dumps["bz2"], tmp_path / "build", config("bz2"))) == expected("bz2")


def test_without_lbzip2_the_files_are_the_same(
    dumps: dict[str, Path],
    expected: Callable[[str], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "has_lbzip2", lambda: False)
    assert contents(extract(dumps["bz2"], tmp_path / "build", config("bz2"))) == expected("bz2")


@pytest.mark.parametrize("kind", ["bz2", "gz members", "plain"])
@pytest.mark.parametrize("workers", [2, 3])
def test_files_do_not_depend_on_the_workers(
    kind: str, workers: int, dumps: dict[str, Path], expected: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    assert contents(extract(dumps[kind], tmp_path / "build", config(kind, workers))) == expected(kind)


class Stop(BaseException):
    """The end of a process, without its end."""


@contextmanager
def stopped_after(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The extraction in the block ends like a killed process once it has so many parts."""
    finish = Parts.finish

    def some(parts: Parts, *arguments: object) -> None:
        if len(parts.records) == number:
            raise Stop
        finish(parts, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Parts, "finish", some)
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_after_any_part_it_goes_on_behind_it(
    kind: str,
    dumps: dict[str, Path],
    expected: Callable[[str], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped again and again, two parts further each time; a finished part is never written again."""
    finish, out = Parts.finish, tmp_path / "build"
    allowed, rounds, inodes = 0, 0, dict[str, int]()

    def finish_some(parts: Parts, *arguments: object) -> None:
        nonlocal allowed
        if not allowed:
            raise Stop
        allowed -= 1
        finish(parts, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Parts, "finish", finish_some)
    while True:
        allowed, rounds = 2, rounds + 1
        try:
            folder = extract(dumps[kind], out, config(kind))
            break
        except Stop:
            folder = out / "stages" / ".extract.part"
            parts = sorted(folder.glob(".work/*.json"))
            assert len(parts) == 2 * rounds
            for number in range(len(parts)):
                path = folder / "entities.parquet" / f"{number:05}.parquet"
                assert inodes.setdefault(path.name, path.stat().st_ino) == path.stat().st_ino
    assert rounds >= 3 and contents(folder) == expected(kind)
    assert all((folder / "entities.parquet" / name).stat().st_ino == inode for name, inode in inodes.items())


@pytest.mark.parametrize("kind", ["bz2", "gz"])
def test_killed_at_random_moments_it_gives_the_same_files(
    kind: str, dumps: dict[str, Path], expected: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    toml, out, rng, kills = tmp_path / "polyfact.toml", tmp_path / "build", random.Random(kind), 0
    written = "\n".join(f"{key} = {value}" for key, value in settings(kind).items())
    toml.write_text(f"[extract]\nworkers = 2\n{written}\n")
    command = ["extract", str(dumps[kind]), "--out", str(out), "--config", str(toml), "--quiet"]
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-m", "polyfact_dataset.cli", *command], start_new_session=True)
        # Until there is something to lose, and then a little.
        deadline = time.monotonic() + 20
        while not list(out.glob("stages/.extract.part/.work/*.arrow")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.25))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    polyfact(*command)
    assert kills >= 2 and contents(stage_folder(out, EXTRACT)) == expected(kind)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("bz2", "continues after 2 finished parts"),
        ("gz members", "from the beginning of a member: 0 MB of text are decompressed again"),
        ("gz", "from the beginning of a member: 0 MB of text are decompressed again"),
    ],
)
def test_the_log_states_where_reading_resumes(
    kind: str, message: str, dumps: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeks, log = [], Lines()
    with stopped_after(2, monkeypatch):
        extract(dumps[kind], tmp_path / "build", config(kind))
    seek = dump_module.Raw.seek
    monkeypatch.setattr(dump_module.Raw, "seek", lambda raw, offset: (seeks.append(offset), seek(raw, offset))[1])
    extract(dumps[kind], tmp_path / "build", config(kind), log)
    assert any(message in line for line in log.lines), log.lines
    assert (max(seeks) > 0) == (kind != "gz"), "entered in the middle where the format allows it"


def test_a_line_longer_than_many_chunks(tmp_path: Path) -> None:
    long = {"id": "Q2", "type": "item", "labels": {"en": {"language": "en", "value": "x" * 300_000}}}
    longer = {"id": "Q3", "type": "item", "labels": {"en": {"language": "en", "value": "x" * 900_000}}}
    rows = [{"id": "Q1", "type": "item"}, long, longer, {"id": "Q4", "type": "item"}]
    (tmp_path / "dump.gz").write_bytes(gzip.compress(b"\n".join(json.dumps(row).encode() for row in rows)))
    own = config(batch_bytes=1 << 14, part_batches=3, max_line_bytes=1 << 19)
    entities, _, quarantine = tables(extract(tmp_path / "dump.gz", tmp_path / "build", own))
    assert [row["id"] for row in entities] == ["Q1", "Q2", "Q4"] and len(entities[1]["labels"][0]["text"]) == 300_000
    assert [(row["line"], row["reason"]) for row in quarantine] == [(3, "line longer than max_line_bytes")]


def piped(dump: Path, kind: str, out: Path) -> str:
    """Extracts what comes through a pipe, with the settings of a file beside `out`; what is said."""
    toml = out.with_name("polyfact.toml")
    toml.write_text("[extract]\n" + "\n".join(f"{key} = {value}" for key, value in settings(kind).items()))
    script = 'cat "$0" | "$1" -m polyfact_dataset.cli extract - --out "$2" --config "$3"'
    command = ["bash", "-c", script, dump, sys.executable, out, toml]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


@pytest.mark.parametrize("kind", ["bz2", "gz members"])
def test_standard_input(
    kind: str, dumps: dict[str, Path], expected: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    piped(dumps[kind], kind, tmp_path / "build")
    assert contents(stage_folder(tmp_path / "build", EXTRACT)) == expected(kind)


def test_standard_input_is_read_once(
    dumps: dict[str, Path], expected: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    out = tmp_path / "build"
    piped(dumps["plain"], "plain", out)
    assert contents(stage_folder(out, EXTRACT)) == expected("plain")
    assert "extract: already complete" in piped(dumps["plain"], "plain", out)
    # The dump is not at hand any more: the build goes on with its extraction, not with the sample.
    later = polyfact("candidates", "--out", out, "--config", tmp_path / "polyfact.toml")
    assert "extract: already complete" in later.stderr and "candidates: choose" in later.stderr


def test_empty_standard_input_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "polyfact_dataset.cli", "extract", "-", "--out", str(tmp_path / "build")]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert result.returncode == 1 and "standard input is empty" in result.stderr


def test_a_dead_worker_is_an_error_that_may_pass(
    dumps: dict[str, Path], expected: Callable[[str], dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(RetryableError, match="ended abruptly"):
        patch.setattr("polyfact_dataset.wikidata.workers.Worker.parse", lambda *_: os._exit(9))
        # A forked worker has the patch, whatever threads earlier tests left in this process.
        patch.setattr("polyfact_dataset.common.processes.threading.active_count", lambda: 1)
        extract(dumps["bz2"], tmp_path / "build", config("bz2", 2))
    assert contents(extract(dumps["bz2"], tmp_path / "build", config("bz2", 2))) == expected("bz2")


def test_damage_in_a_worker_names_the_dump(tmp_path: Path) -> None:
    data = bytearray(packed("bz2"))
    data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    (tmp_path / "dump.bz2").write_bytes(data)
    with pytest.raises(DataError, match=r"dump dump\.bz2 is truncated or corrupt"):
        extract(tmp_path / "dump.bz2", tmp_path / "build", config("bz2", 2))


@pytest.mark.parametrize("size", [0.4, 0.9])
@pytest.mark.parametrize("by_program", [True, False])
def test_a_truncated_dump_is_named(
    size: float, by_program: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = packed("bz2")
    (tmp_path / "dump.bz2").write_bytes(data[: int(size * len(data))])
    monkeypatch.setattr(module, "has_lbzip2", lambda: by_program)
    with pytest.raises(DataError, match=r"dump dump\.bz2 is truncated or corrupt \(the end of a bz2 stream is missing"):
        extract(tmp_path / "dump.bz2", tmp_path / "build", config("bz2", 1))


def test_memory_bounds_the_workers(dumps: dict[str, Path]) -> None:
    raw = dump_module.open_raw(dumps["plain"])
    assert module.worker_count(raw, config(workers=64).extract) == 17
    assert module.worker_count(raw, config(workers=64, memory_mb=7000).extract) == 64
    assert module.worker_count(raw, config(workers=2, memory_mb=500).extract) == 2
    assert module.worker_count(raw, config(workers=8, batch_bytes=1 << 24).extract) == 1, "one chunk needs no others"


def test_without_the_dump_nothing_can_be_extracted_anew(tmp_path: Path) -> None:
    from polyfact_dataset.pipeline.runner import Inputs, run

    with pytest.raises(ConfigError, match="extract it again"):
        run(Inputs(config(), None, "stdin:1"), tmp_path / "build", Log(quiet=True), until=EXTRACT)


def _swap(one: Path, other: Path) -> None:
    spare = one.with_suffix(".spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def _moved(path: Path) -> None:
    """A record that names another position."""
    record = json.loads(path.read_text())
    record["position"] = {name: value + 8 for name, value in record["position"].items()}
    path.write_text(json.dumps(record))


DAMAGES = {
    "table missing": lambda folder: (folder / "entities.parquet" / "00001.parquet").unlink(),
    "table swapped": lambda folder: _swap(*sorted((folder / "statements.parquet").glob("*.parquet"))[1:3]),
    "table of zeros": lambda folder: (folder / "statements.parquet" / "00001.parquet").write_bytes(bytes(5_000)),
    "quarantine missing": lambda folder: (folder / ".work" / "00001.quarantine").unlink(),
    "tail changed": lambda folder: (folder / ".work" / "00001.tail").write_bytes(b"{"),
    "tail missing": lambda folder: (folder / ".work" / "00001.tail").unlink(),
    "record of another position": lambda folder: _moved(folder / ".work" / "00001.json"),
    "record swapped": lambda folder: _swap(folder / ".work" / "00001.json", folder / ".work" / "00002.json"),
    "record empty": lambda folder: (folder / ".work" / "00001.json").write_text(""),
    "record cut": lambda folder: os.truncate(folder / ".work" / "00001.json", 40),
    "record that is a list": lambda folder: (folder / ".work" / "00001.json").write_text("[]"),
    "record of an earlier version": lambda folder: (folder / ".work" / "00001.json").write_text(
        '{"position": {"bit": 5}, "newlines": 1, "counts": {}, "head_bytes": null, "tail_bytes": 0}'
    ),
    "record deep": lambda folder: (folder / ".work" / "00001.json").write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["bz2", "gz"])
def test_a_damaged_part_is_extracted_again(
    damage: str,
    kind: str,
    dumps: dict[str, Path],
    expected: Callable[[str], dict[str, str]],
    tmp_path: Path,
    stopped: Callable[[str], Path],
) -> None:
    log, out = Lines(), shutil.copytree(stopped(kind), tmp_path / "build")
    folder = out / "stages" / ".extract.part"
    DAMAGES[damage](folder)
    assert contents(extract(dumps[kind], out, config(kind), log)) == expected(kind)
    told = [line for line in log.lines if "extracted again" in line]
    assert len(told) == 1 and told[0].startswith("extract: part 2 and those after it") and "\n" not in told[0]


def test_slots_that_cannot_be_mapped_are_one_line(
    dumps: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under a limit of address space (ulimit -v), in the parent and in its workers."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(workers_module.mmap, "mmap", refuse)
    with pytest.raises(RetryableError, match="Cannot allocate memory; [^\n]*$"):
        extract(dumps["plain"], tmp_path / "build", config("plain", workers=2))
    monkeypatch.setattr(workers_module, "_worker", None)
    (tmp_path / "slots").touch()
    workers_module._start(SimpleNamespace(slots=tmp_path / "slots"))
    gc.enable()
    with pytest.raises(RetryableError, match="cannot map [^\n]*slots: [^\n]*use fewer --workers$"):
        workers_module._parse(None, 0, tmp_path)
