"""Reading dumps: compressions, damage, layouts, members, pipes."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.wikidata.dump import (
    Members,
    Raw,
    check_input,
    detect,
    find_member,
    identify,
    is_other_layout,
    text_of,
)
from polyfact_dataset.wikidata.json_array import _Shallow
from tests.support.dumps import open_dump

LINES = b"[\n" + b",\n".join(b'{"id":"Q%d","type":"item"}' % n for n in range(1, 2000)) + b"\n]\n"
COMPRESS = {
    "plain": lambda data: data,
    "bz2": bz2.compress,
    "gz": lambda data: gzip.compress(data, mtime=0),
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def read(path: Path) -> bytes:
    with open_dump(path) as stream:
        return b"".join(iter(lambda: stream.read(1 << 16), b""))


def raw(data: bytes, *, pipe: bool = False) -> Raw:
    return Raw(io.BytesIO(data), "test", None if pipe else len(data))


@pytest.mark.parametrize("kind", COMPRESS)
def test_every_compression_gives_the_same_bytes(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_bytes(COMPRESS[kind](LINES))
    assert detect(path.read_bytes()) == kind
    assert read(path) == LINES


@pytest.mark.parametrize("kind", ["bz2", "gz", "zst"])
def test_concatenated_streams_are_one_dump(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_bytes(COMPRESS[kind](LINES) * 3)
    assert read(path) == LINES * 3


def test_zst_frames_without_text_are_skipped(tmp_path: Path) -> None:
    path, skipped = tmp_path / "dump", b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    path.write_bytes((skipped + COMPRESS["zst"](LINES)) * 2)
    assert detect(path.read_bytes()) == "zst"
    assert read(path) == LINES * 2


@pytest.mark.parametrize("kind", ["bz2", "gz", "zst"])
@pytest.mark.parametrize("keep", [0.5, 0.97])
def test_truncation_is_an_error(kind: str, keep: float, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    data = COMPRESS[kind](LINES)
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(DataError, match="download it again"):
        read(path)


@pytest.mark.parametrize("kind", ["bz2", "gz", "zst"])
def test_damage_is_an_error(kind: str, tmp_path: Path) -> None:
    path, data = tmp_path / "dump", bytearray(COMPRESS[kind](LINES))
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(DataError, match="truncated or corrupt"):
        read(path)


def test_inputs_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        check_input(tmp_path / "nothing.json")
    with pytest.raises(ConfigError, match="not a file"):
        check_input(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="empty"):
        check_input(tmp_path / "empty")


def test_another_content_is_another_dump(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(LINES)
    (tmp_path / "two").write_bytes(LINES.replace(b"Q17", b"Q18", 1))
    (tmp_path / "three").write_bytes(LINES)
    assert identify(tmp_path / "one") == identify(tmp_path / "three") != identify(tmp_path / "two")


@pytest.mark.parametrize("pipe", [False, True])
def test_raw_bytes_from_any_offset(pipe: bool) -> None:
    data = bytes(range(256)) * 6000  # longer than the head that is kept
    source = raw(data, pipe=pipe)
    assert source.read(10) == data[:10] and source.offset == 10
    source.seek(1_200_000)
    assert source.read(1000) == data[1_200_000:1_201_000]
    if not pipe:
        source.seek(5)
        assert source.read(1_300_000) == data[5:1_300_005]


def test_a_pipe_that_got_shorter() -> None:
    with pytest.raises(DataError, match="shorter than it was"):
        raw(b"abc", pipe=True).seek(10)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_members_are_entered_where_they_begin(kind: str) -> None:
    texts = [b"%d " % n * 5000 for n in range(1, 6)]
    packed = [COMPRESS[kind](text) for text in texts]
    data = packed[0] + b"".join(packed[1:])
    stream = Members(raw(data))
    begins, text = [], b""
    while part := stream.read(700):
        text += part
        begins.append(stream.entry(len(text)))
    assert text == b"".join(texts)
    expected = [(sum(map(len, packed[:n])), sum(map(len, texts[:n]))) for n in range(5)]
    assert sorted(set(begins)) == expected
    again = Members(raw(data), expected[3])
    assert b"".join(iter(lambda: again.read(1 << 20), b"")) == texts[3] + texts[4]
    bounded = Members(raw(data), expected[1], end=expected[3][0] - 5)
    assert b"".join(iter(lambda: bounded.read(1 << 20), b"")) == texts[1] + texts[2]


def test_zeros_behind_a_gz_member_are_padding() -> None:
    stream = Members(raw(gzip.compress(b"one") + bytes(5000) + gzip.compress(b"two") + bytes(100)))
    assert stream.read(10) + stream.read(10) + stream.read(10) == b"onetwo"


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_members_are_found_from_anywhere(kind: str) -> None:
    packed = [COMPRESS[kind](b'{"id":"Q%d"}\n' % n * 3000) for n in range(4)]
    # A magic that is no member, with what a reckless reader would take for one.
    decoy = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" if kind == "gz" else b"\x28\xb5\x2f\xfd"
    data = packed[0] + decoy + b"\xff" * 50 + b"".join(packed[1:])
    second = len(packed[0]) + len(decoy) + 50
    assert find_member(raw(data), 1) == second
    assert find_member(raw(data), second) == second
    assert find_member(raw(data), second + 1) == second + len(packed[1])
    assert find_member(raw(data), len(data) - len(packed[3]) + 1) is None


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_an_array_in_another_layout_is_read_entity_by_entity(kind: str, indent: int | None, mark: bytes) -> None:
    entities = [{"id": "Q1"}, {"id": "Q2", "x": 1.5}]
    source = raw(COMPRESS[kind](mark + json.dumps(entities, indent=indent).encode()))
    assert is_other_layout(source)
    stream = text_of(source)
    data = b"".join(iter(lambda: stream.read(7), b""))
    assert [json.loads(line) for line in data.splitlines()] == entities


@pytest.mark.parametrize("text", [LINES, LINES[2:-2], b'[\n{"id":"Q1"}\n]\n', b'{"id":"Q1"}\n{"id":"Q2"}\n'])
def test_one_entity_per_line_is_the_usual_layout(text: bytes) -> None:
    assert not is_other_layout(raw(text)) and not is_other_layout(raw(gzip.compress(text)))


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_dump_in_utf_16_is_refused_by_name(kind: str, encoding: str) -> None:
    text = LINES.decode().encode(encoding)
    data = text if encoding == "utf-16" else codecs.BOM_UTF16_BE + text
    with pytest.raises(DataError, match="is in UTF-16; convert it"):
        text_of(raw(COMPRESS[kind](data)))


def test_a_broken_array_in_another_layout_is_an_error() -> None:
    with pytest.raises(DataError, match="not a valid JSON array"):
        text_of(raw(b'[{"id": "Q1"}, {"id": ')).read(100)


@pytest.mark.parametrize("kind", ["plain", "bz2", "gz", "zst"])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_dump_nested_without_end_is_refused_before_it_takes_memory(kind: str, opening: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dump"
    content = b'[{"a": "[[[{{{\\\\\\"", "b": 1}, ' + opening * 100_000
    path.write_bytes(COMPRESS[kind](content))
    with pytest.raises(DataError, match="nested deeper than 200 levels"), open_dump(path) as stream:
        while stream.read(1 << 16):
            pass


STRINGS = (b'""', b'"[{"', b'"a\\\\"', b'"\\"]"', b'"\\\\\\"}"', b'"\\u005b["')


@given(st.lists(st.sampled_from((*STRINGS, b"[", b"]", b"{", b"}", b" 1,")), max_size=60), st.integers(1, 9))
def test_levels_are_counted_outside_strings_however_the_text_is_cut(parts: list[bytes], step: int) -> None:
    source = io.BytesIO(b"".join(parts))
    stream = _Shallow(SimpleNamespace(read=lambda _: source.read(step)), "dump")
    while stream.read(1):
        pass
    assert stream._level == sum((part in (b"[", b"{")) - (part in (b"]", b"}")) for part in parts)
