"""Dumps and configurations that cannot be built: one clear message, and nothing left behind."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import load_config
from polyfact_dataset.pipeline import runner as pipeline
from polyfact_dataset.pipeline.context import Inputs
from polyfact_dataset.pipeline.inputs import SAMPLE_DUMP
from polyfact_dataset.pipeline.stages import EXTRACT, table_path
from tests.support.builds import failing, sample_lines
from tests.support.command import polyfact


def bad_lines(count: int) -> bytes:
    lines = sample_lines()
    return b"".join([*lines[:300], *[b'{"id": "Q1", broken\n'] * count, *lines[300:]])


def test_a_few_broken_lines_are_quarantined_with_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "dump.json").write_bytes(bad_lines(3))
    result = polyfact("extract", "--dump", tmp_path / "dump.json", "--out", tmp_path / "build")
    assert "3 broken lines" in result.stderr
    rows = pq.read_table(table_path(tmp_path / "build", "quarantine")).to_pylist()
    assert [row["line"] for row in rows] == [301, 302, 303]
    assert all("broken JSON" in row["reason"] for row in rows)


def make_input(kind: str, folder: Path) -> Path:
    path = folder / "dump.json.bz2"
    data = SAMPLE_DUMP.read_bytes()
    if kind == "directory":
        path.mkdir()
    elif kind != "missing":
        content = {
            "empty": b"",
            "truncated": data[: len(data) // 2],
            "corrupt": data[:5000] + b"\x00" * 500 + data[5500:],
            "many broken lines": bad_lines(60),
            "no entity": b"[\n]\n",
            "not a dump": b"hello\nworld\n",
        }[kind]
        path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        ("missing", 2, "does not exist"),
        ("directory", 2, "is not a file"),
        ("empty", 1, "is empty"),
        ("truncated", 1, "truncated or corrupt"),
        ("corrupt", 1, "truncated or corrupt"),
        ("many broken lines", 1, "60 of"),
        ("no entity", 1, "no Wikidata entity"),
        ("not a dump", 1, "no Wikidata entity"),
    ],
)
def test_bad_dumps_give_one_clear_message_and_leave_nothing(
    kind: str, code: int, expected: str, tmp_path: Path
) -> None:
    out = tmp_path / "build"
    status, message = failing("build", "--dump", make_input(kind, tmp_path), "--out", out, "--quiet")
    assert status == code and expected in message and len(message.strip().splitlines()) == 1
    assert not (out / "release").exists() and not list(out.glob("stages/0*"))


def test_a_dump_cut_between_lines_is_refused(tmp_path: Path) -> None:
    lines = sample_lines()
    (tmp_path / "dump.json").write_bytes(b"".join(lines[:500]))
    arguments = ("--dump", tmp_path / "dump.json", "--out", tmp_path / "build")
    # One of several files, for `polyfact merge`, may look so.
    assert "does not end with ]" in polyfact("extract", *arguments).stderr
    status, message = failing("build", *arguments, "--quiet")
    assert status == 1 and "it is truncated" in message and not (tmp_path / "build" / "release").exists()
    # Lines alone, without brackets, are a dump as well.
    (tmp_path / "lines.json").write_bytes(b"".join(lines[1:500]))
    polyfact("candidates", "--dump", tmp_path / "lines.json", "--out", tmp_path / "other")


@pytest.mark.parametrize("suffix", ["gz", "bz2"])
def test_a_damaged_dump_is_not_taken_for_a_full_disk(suffix: str, tmp_path: Path) -> None:
    content = b"".join(sample_lines()[:1000])
    data = bytearray((gzip if suffix == "gz" else bz2).compress(content))
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    (tmp_path / "dump").write_bytes(data)
    inputs = Inputs(load_config(extract__workers=1), tmp_path / "dump", "none")
    with pytest.raises(DataError, match="truncated or corrupt"):
        pipeline.run(inputs, tmp_path / "build", Log(quiet=True), until=EXTRACT)


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ('languages = ["en", "xx"]', "xx"),
        ('relations = ["P36", "P999"]', "P999"),
        ("colour = 1", "colour"),
        ("[extract]\nworkers = 0", "extract.workers"),
        ("seed = ", "Invalid value"),
        ('languages = ["de"]', "English"),
    ],
)
def test_bad_configurations_name_the_key(toml: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "polyfact.toml").write_text(toml)
    status, message = failing("build", "--config", tmp_path / "polyfact.toml", "--out", tmp_path / "build")
    assert status == 2 and expected in message and not (tmp_path / "build").exists()
