"""Reading dumps: compressions, damage, layouts, batches."""

from __future__ import annotations

import bz2
import gzip
import io
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfact_dataset.errors import ConfigError, DataError
from polyfact_dataset.wikidata.dump import batches, check_input, detect, open_dump

LINES = b"[\n" + b",\n".join(b'{"id":"Q%d","type":"item"}' % n for n in range(1, 2000)) + b"\n]\n"
COMPRESSED = {
    "plain": LINES,
    "bz2": bz2.compress(LINES),
    "gz": gzip.compress(LINES),
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress(LINES),
}


def read(path: Path) -> bytes:
    with open_dump(path) as stream:
        return b"".join(iter(lambda: stream.read(1 << 16), b""))


@pytest.fixture(params=["with lbzip2", "without lbzip2"])
def decompressor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    if request.param == "without lbzip2":
        monkeypatch.setattr("polyfact_dataset.wikidata.dump.shutil.which", lambda name: None)
    elif not shutil.which("lbzip2"):
        pytest.skip("lbzip2 is not installed")


@pytest.mark.parametrize("kind", COMPRESSED)
def test_every_compression_gives_the_same_bytes(kind: str, tmp_path: Path, decompressor: None) -> None:
    path = tmp_path / "dump"
    path.write_bytes(COMPRESSED[kind])
    assert detect(path) == kind
    assert read(path) == LINES


@pytest.mark.parametrize("kind", ["bz2", "gz", "zst"])
def test_concatenated_streams_are_one_dump(kind: str, tmp_path: Path, decompressor: None) -> None:
    path = tmp_path / "dump"
    path.write_bytes(COMPRESSED[kind] * 3)
    assert read(path) == LINES * 3


@pytest.mark.parametrize("kind", ["bz2", "gz", "zst"])
@pytest.mark.parametrize("keep", [0.5, 0.97])
def test_truncation_is_an_error(kind: str, keep: float, tmp_path: Path, decompressor: None) -> None:
    path = tmp_path / "dump"
    path.write_bytes(COMPRESSED[kind][: int(len(COMPRESSED[kind]) * keep)])
    with pytest.raises(DataError, match="download it again"):
        read(path)


@pytest.mark.parametrize("kind", ["bz2", "gz", "zst"])
def test_damage_is_an_error(kind: str, tmp_path: Path, decompressor: None) -> None:
    path, data = tmp_path / "dump", bytearray(COMPRESSED[kind])
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(DataError, match="truncated or corrupt"):
        read(path)


def test_bz2_cut_between_two_blocks_is_truncated(tmp_path: Path, decompressor: None) -> None:
    content = b"".join(b'{"id":"Q%d","labels":{}}\n' % (n * 7919) for n in range(120_000))
    data = bz2.compress(content, 1)
    bits = int.from_bytes(data, "big")
    total = len(data) * 8
    cut = next(
        total - shift - 48 for shift in range(total // 2, 0, -1) if (bits >> shift) & 0xFFFFFFFFFFFF == 0x314159265359
    )
    path = tmp_path / "dump"
    path.write_bytes(data[: cut // 8])
    with pytest.raises(DataError, match="truncated"):
        read(path)


def test_inputs_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        check_input(tmp_path / "nothing.json")
    with pytest.raises(ConfigError, match="not a file"):
        check_input(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="empty"):
        check_input(tmp_path / "empty")


def parts(data: bytes, batch_bytes: int = 64, max_line_bytes: int = 1 << 20) -> list:
    return list(batches(io.BytesIO(data), batch_bytes, max_line_bytes, "test"))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), min_size=1), st.integers(1, 200))
def test_batches_are_whole_lines_with_true_numbers(lines: list[bytes], batch_bytes: int) -> None:
    data = b"{" + b"\n".join(lines)
    found = parts(data, batch_bytes)
    assert b"".join(batch.data for batch in found) == data
    numbers = [number + batch.first_line for batch in found for number in range(batch.data.count(b"\n"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_line_above_the_limit_is_skipped_and_named() -> None:
    big = b"x" * 3_000_000
    found = parts(b'{"a":1}\n' + big + b'\n{"b":2}\n', batch_bytes=16, max_line_bytes=1_500_000)
    assert [number for batch in found for number in batch.too_long] == [2]
    text = b"".join(batch.data for batch in found)
    assert b'{"a":1}' in text and b'{"b":2}' in text and len(text) < 100
    last = found[-1]
    line = last.first_line + last.data[: last.data.index(b'{"b"')].count(b"\n")
    assert line == 3


@pytest.mark.parametrize(
    "text",
    [json.dumps([{"id": "Q1"}, {"id": "Q2", "x": 1.5}]), json.dumps([{"id": "Q1"}, {"id": "Q2", "x": 1.5}], indent=2)],
)
def test_an_array_in_another_layout_is_read_entity_by_entity(text: str) -> None:
    data = b"".join(batch.data for batch in parts(text.encode()))
    assert [json.loads(line) for line in data.splitlines()] == [{"id": "Q1"}, {"id": "Q2", "x": 1.5}]


def test_a_broken_array_in_another_layout_is_an_error() -> None:
    with pytest.raises(DataError, match="no valid JSON array"):
        parts(b'[{"id": "Q1"}, {"id": ')


def test_nothing_but_space_is_an_error() -> None:
    with pytest.raises(DataError, match="holds no data"):
        parts(b" \n ")
