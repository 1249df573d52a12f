"""Input of absurd size or depth: an answer, or one clear error, within bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from baselines.evaluate.klar import load_klar
from baselines.evaluate.results import load_result
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.config.build import load_config
from polyfact_dataset.llm.protocol import CHAT, BrokenAnswer, read_answer
from polyfact_dataset.llm.response_text import InvalidResponse, parse_object
from polyfact_dataset.wikidata.columns import Rows
from polyfact_dataset.wikidata.entities import Reader
from polyfact_dataset.wikidata.extract import extracted_fields
from tests.support.planted import item, labels

DEEP = "[" * 10_000 + "]" * 10_000
MB = 1 << 20


def read(*lines: bytes) -> Rows:
    rows = Rows()
    Reader(extracted_fields(load_config(facts=100))).read(b"\n".join(lines), 1, rows)
    return rows


def test_a_line_of_200_mb_is_quarantined_in_bounded_memory(tmp_path: Path) -> None:
    sound = [json.dumps(item(f"Q{n}", labels(f"Land {n}"))).encode() for n in (1, 2)]
    dump = tmp_path / "dump.json"
    with dump.open("wb") as file:
        file.write(b"[\n" + sound[0] + b",\n")
        # A hole in the file: NULs that take no place on the disk.
        file.seek(200 * MB, 1)
        file.write(b",\n" + sound[1] + b"\n]\n")
    script = (
        "import sys; from pathlib import Path\n"
        "from polyfact_dataset.pipeline import runner as pipeline\n"
        "from polyfact_dataset.config.build import load_config\n"
        "from polyfact_dataset.pipeline.inputs import resolve_inputs\n"
        "from polyfact_dataset.pipeline.stages import EXTRACT\n"
        "from polyfact_dataset.common.progress import Log\n"
        "config = load_config(extract__workers=1, extract__max_line_bytes=1 << 20)\n"
        "inputs = resolve_inputs(config, Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "made = pipeline.run(inputs, Path(sys.argv[2]), Log(quiet=True), until=EXTRACT)\n"
        # Of this program alone: what getrusage says holds the size of the process that started it.
        "status = Path('/proc/self/status').read_text()\n"
        "peak = int(status.split('VmHWM:')[1].split()[0])\n"
        "counts = made['stages']['extract']['counts']\n"
        "print(counts['entities'], counts['quarantine'], peak)"
    )
    result = subprocess.run([sys.executable, "-c", script, dump, tmp_path / "build"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    entities, quarantined, peak_kb = map(int, result.stdout.split())
    assert (entities, quarantined) == (2, 1)
    # What the imports and one batch take; the line alone would be 200 MB more, and its copies as much again.
    assert peak_kb < 350 * 1024


def test_a_million_claims_are_read() -> None:
    claims = ",".join(['{"mainsnak":{"datavalue":{"value":{"id":"Q2"}}}}'] * 1_000_000)
    rows = read(f'{{"id": "Q1", "claims": {{"P36": [{claims}]}}}}'.encode())
    assert rows.broken == 0 and len(rows.statements[0]) == 1_000_000


@pytest.mark.parametrize("value", [DEEP, '{"a":' * 10_000 + "1" + "}" * 10_000, "[" * 10_000])
@pytest.mark.parametrize("field", ["labels", "claims", "nonsense"])
def test_a_deep_line_is_read_or_quarantined(field: str, value: str) -> None:
    rows = read(f'{{"id": "Q1", "{field}": {value}}}'.encode())
    assert rows.lines == len(rows.ids) + rows.broken == 1
    rows.tables()


def test_text_in_another_encoding_is_quarantined() -> None:
    rows = read(b'{"id": "Q1", "labels": {"en": {"language": "en", "value": "\xff\xfe"}}}')
    assert rows.broken == 1
    rows.tables()


@pytest.mark.parametrize("text", [b"\xed\xa0\x80", b"\\ud800", b"\\ud800\\ud800"])
def test_a_label_that_is_no_unicode_is_left_out(text: bytes) -> None:
    rows = read(b'{"id": "Q1", "labels": {"en": {"language": "en", "value": "' + text + b'"}}}')
    assert not rows.broken
    entities, _, _ = rows.tables()
    assert entities.column("labels").to_pylist() == [[]]


def test_nul_in_a_label_is_kept_for_later_stages_to_refuse() -> None:
    entities, _, _ = read(b'{"id": "Q1", "labels": {"en": {"language": "en", "value": "a\\u0000b"}}}').tables()
    assert entities.column("labels").to_pylist() == [[{"code": "en", "text": "a\0b"}]]


@pytest.mark.parametrize("text", [DEEP, "9" * 5_000, "\0", "\ud800"])
def test_documents_that_no_parser_takes_are_errors_of_ours(text: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for reader in (read_json, load_result):
        with pytest.raises(DataError, match="file.json"):
            reader(path)
    toml = tmp_path / "polyfact.toml"
    toml.write_bytes(b"facts = " + path.read_bytes())
    with pytest.raises(ConfigError, match=r"polyfact.toml"):
        load_config(toml)
    (tmp_path / "en").mkdir()
    path.rename(tmp_path / "en" / "capital.json")
    with pytest.raises(DataError, match="capital.json"):
        load_klar(str(tmp_path), ["en"])


def test_a_klar_file_of_a_hundred_thousand_faults_gives_a_short_message(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "capital.json").write_text(json.dumps({"prompt_templates": ["x"], "samples": [{}] * 100_000}))
    with pytest.raises(DataError, match="capital.json") as error:
        load_klar(str(tmp_path), ["en"])
    assert len(str(error.value)) < 1_000


@pytest.mark.parametrize("text", [DEEP, '{"question": ' + "9" * 5_000 + "}", '{"question": ' + DEEP + "}"])
def test_what_a_model_says_is_unusable_not_a_crash(text: str) -> None:
    with pytest.raises(InvalidResponse, match="not_json"):
        parse_object(text)


@pytest.mark.parametrize("tokens", [2**63, float("inf"), -5, "many"])
def test_tokens_that_cannot_be_counted_are_a_broken_answer(tokens: object) -> None:
    body = {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": tokens}}
    with pytest.raises(BrokenAnswer):
        read_answer(CHAT, body)
