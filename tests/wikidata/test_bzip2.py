"""Cutting bz2 files at their blocks: what comes out in runs is what went in."""

from __future__ import annotations

import bz2
import random
from pathlib import Path

import pytest

import polyfact_dataset.wikidata.bzip2 as module
from polyfact_dataset.wikidata.bzip2 import (
    Decoder,
    decode,
    decode_by_lbzip2,
    decode_tolerantly,
    find_cut,
    has_lbzip2,
    streams,
)

_RNG = random.Random(4)
TEXT = b"".join(b'{"id":"Q%d","x":"%x"}\n' % (n, _RNG.getrandbits(64)) for n in range(40_000))
CUTS = (0, 300_000, 300_100, 700_000, len(TEXT))
FILES = {
    # Blocks of 100 kB, in one stream; several streams of different block sizes, one of them empty; a stream per block.
    "one stream": bz2.compress(TEXT, 1),
    "streams": b"".join(
        bz2.compress(TEXT[begin:end], level) for begin, end, level in zip(CUTS, CUTS[1:], (1, 9, 3, 1))
    ).replace(bz2.compress(TEXT[300_000:300_100]), bz2.compress(b"") + bz2.compress(TEXT[300_000:300_100])),
    "many streams": b"".join(bz2.compress(TEXT[at : at + 50_000], 1) for at in range(0, len(TEXT), 50_000)),
}

DECODERS = [
    decode,
    decode_tolerantly,
    pytest.param(decode_by_lbzip2, marks=pytest.mark.skipif(not has_lbzip2(), reason="lbzip2 is not installed")),
]


def cuts(data: bytes, every: int) -> list[tuple[int, bool]]:
    """Places to cut, about `every` bytes apart."""
    found = []
    at = 8 * every
    while cut := find_cut(data, at, 8 * len(data)):
        found.append(cut)
        at = cut[0] + 8 * every
    return found


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("every", [5_000, 40_000, 150_000])
def test_runs_of_blocks_hold_the_whole_text(name: str, decoder: Decoder, every: int) -> None:
    data, text, begin = FILES[name], b"", 0
    found = cuts(data, every)
    assert len(found) >= len(data) // (every + 40_000) - 1
    for end, ends_stream in [*found, (8 * len(data), True)]:
        first = begin // 8
        piece = data[first : (end + 7) // 8]
        text += b"".join(decoder(piece, begin - 8 * first, end - 8 * first, ends_stream=ends_stream))
        begin = end
    assert text == TEXT


def test_a_cut_is_the_first_block_at_or_after_a_bit() -> None:
    data = FILES["one stream"]
    bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}"
    magic = f"{0x314159265359:048b}"
    blocks = [at for at in range(len(bits)) if bits.startswith(magic, at)]
    assert len(blocks) >= 10 and len({at % 8 for at in blocks}) > 3
    assert find_cut(data, 0, len(bits)) == (0, True)  # the stream's header
    for before, block in zip(blocks, blocks[1:]):
        assert find_cut(data, before + 1, len(bits)) == (block, False)
        assert find_cut(data, block, len(bits)) == (block, False)
        assert find_cut(data, before + 1, block + 47) is None
    assert find_cut(data, blocks[-1] + 1, len(bits)) is None


def run_of_blocks() -> tuple[bytes, int, int]:
    data = FILES["one stream"]
    (begin, _), (end, _) = cuts(data, 60_000)[:2]
    first = begin // 8
    return data[first : (end + 7) // 8], begin - 8 * first, end - 8 * first


@pytest.mark.parametrize("decoder", DECODERS)
def test_damage_inside_a_run_is_noticed(decoder: Decoder) -> None:
    data, begin, end = run_of_blocks()
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0x10
    with pytest.raises((RuntimeError, OSError)):
        list(decoder(bytes(damaged), begin, end, ends_stream=False))


def test_a_file_without_its_end_is_noticed() -> None:
    data = FILES["one stream"]
    with pytest.raises(RuntimeError, match="end of a bz2 stream is missing"):
        streams(data[100_000:-4], cuts(data[100_000:], 1)[0][0], 8 * len(data[100_000:-4]), ends_stream=True)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("zeros", [1, 5, 512])
@pytest.mark.parametrize("every", [60_000, 1 << 30])
def test_zeros_behind_the_last_stream_are_padding(decoder: Decoder, zeros: int, every: int) -> None:
    data = FILES["streams"] + bytes(zeros)
    begin = [0, *(bit for bit, _ in cuts(data, every))][-1]
    text = b"".join(decoder(data[begin // 8 :], begin % 8, 8 * (len(data) - begin // 8), ends_stream=True))
    assert text and TEXT.endswith(text)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 6, 7])
def test_a_footer_is_found_whatever_its_checksum_ends_with(size: int) -> None:
    for checksum in (0, 1 << 31, 0x01000000, 0xFFFFFFFF):
        for padding in (0, 3):
            content = (0xABC << 80 + size) | (module._FOOTER << 32 | checksum) << size
            data = content.to_bytes(13, "big")
            assert module._footer_before(data + bytes(padding), len(data) + padding) == 8 * 13 - 80 - size


@pytest.mark.parametrize("program", ["garbage", "#!/nowhere/sh\n", "#!/bin/sh\nexit 0\n"])
def test_an_lbzip2_that_cannot_work_is_an_error_that_is_caught(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lbzip2").write_text(program)
    (tmp_path / "lbzip2").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert has_lbzip2()
    data = FILES["one stream"]
    with pytest.raises(RuntimeError, match="lbzip2"):
        list(decode_by_lbzip2(data, 0, 8 * len(data), ends_stream=True))


def test_what_only_looks_like_a_block_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chance magic inside a block spoils the checksum over the blocks; the tolerant decoder does not need it."""
    data, begin, end = run_of_blocks()
    text = b"".join(decode(data, begin, end, ends_stream=False))
    honest = module._find
    monkeypatch.setattr(
        module, "_find", lambda *a, all_of_them: [*honest(*a, all_of_them=all_of_them), *([end - 500] * all_of_them)]
    )
    with pytest.raises(RuntimeError, match="Stream CRC"):
        list(decode(data, begin, end, ends_stream=False))
    assert b"".join(decode_tolerantly(data, begin, end, ends_stream=False)) == text
