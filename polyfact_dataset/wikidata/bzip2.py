"""Random access to the blocks of a bz2 file: where blocks begin, and a run of blocks as a separate bz2 stream.

A bz2 stream is a header (`BZh9`), blocks of up to 900 kB of text that begin at any bit, and a footer with a checksum
over the checksums of the blocks. Blocks do not depend on one another, so a run of them with a new header and footer is
a stream that any decoder reads; each block's checksum still verifies its content.
"""

from __future__ import annotations

import bz2
import io
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

_BLOCK, _FOOTER = 0x314159265359, 0x177245385090
_MAGIC_BITS = 48
_FOOTER_BITS = _MAGIC_BITS + 32
# A stream's header with what must follow it: a block, or the footer of an empty stream.
_STREAM = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
HEADER_BYTES = 10
# Largest compressed block: 900 kB of incompressible text and the Huffman tables.
MAX_BLOCK_BYTES = 1 << 20
_READ_BYTES = 1 << 20


class Decoder(Protocol):
    """Decodes the text between two cuts, about 1 MB at a time. `ends_stream`: see `streams`."""

    def __call__(self, data: bytes, first_bit: int, end_bit: int, *, ends_stream: bool) -> Iterator[bytes]: ...


def _find(data: bytes, magic: int, first_bit: int, end_bit: int, *, all_of_them: bool) -> list[int]:
    """Bit positions of a 48-bit magic with `first_bit <= position`, `position + 48 <= end_bit`: the first, or all.

    At each of the 8 bit shifts, the magic has five whole bytes: these are searched for, then the other bits compared.
    """
    positions, limit = [], end_bit
    for shift in range(8):
        padded = (magic << (8 - shift)).to_bytes(7, "big")
        inner, at = padded[1:6], max(first_bit // 8, 0)
        while (at := data.find(inner, at, limit // 8 + 7)) >= 0:
            bit = 8 * (at - 1) + shift
            window = int.from_bytes(data[at - 1 : at + 6].ljust(7, b"\0"), "big") if at else 0
            if bit >= first_bit and bit + _MAGIC_BITS <= limit and window >> (8 - shift) & (1 << 48) - 1 == magic:
                positions.append(bit)
                if not all_of_them:
                    limit = bit + _MAGIC_BITS - 1
                    break
            at += 1
    return sorted(positions) if all_of_them else positions[-1:]


def find_cut(data: bytes, first_bit: int, end_bit: int) -> tuple[int, bool] | None:
    """The first place at or after `first_bit` where the stream may be cut, and whether a new stream begins there.

    That is the first bit of a block or, where the block is the first of its stream, of the stream's header.
    A false match of the 48 bits has a probability of about 1e-9 per cut, and is detected as damage.
    """
    blocks = _find(data, _BLOCK, max(first_bit, 0), end_bit, all_of_them=False)
    if not blocks:
        return None
    byte, shift = divmod(blocks[0], 8)
    if shift == 0 and byte >= 4 and _STREAM.match(data, byte - 4):
        return blocks[0] - 32, True
    return blocks[0], False


def _shifted(data: bytes, first_bit: int, bits: int) -> bytes:
    """`bits // 8` bytes that begin at a bit."""
    first, shift = divmod(first_bit, 8)
    count = bits // 8
    source = np.frombuffer(data, np.uint8, count=min(count + 1, len(data) - first), offset=first)
    if not shift:
        return source[:count].tobytes()
    joined = source[:count] << np.uint8(shift)
    joined[: len(source) - 1] |= source[1 : count + 1] >> np.uint8(8 - shift)
    return joined.tobytes()


def _bits(data: bytes, first_bit: int, count: int) -> int:
    """A few bits as a number."""
    first, shift = divmod(first_bit, 8)
    window = int.from_bytes(data[first : first + (shift + count + 7) // 8], "big")
    return window >> (-(shift + count) % 8) & (1 << count) - 1


def _as_stream(data: bytes, first_bit: int, end_bit: int, *, footer: bool) -> bytes:
    """The blocks from `first_bit` to `end_bit` as a whole stream (without its footer, for a tolerant decoder)."""
    whole = _shifted(data, first_bit, end_bit - first_bit)
    left = (end_bit - first_bit) % 8
    if not footer:
        # The last byte is padded with the first bits of a block, so that a decoder waits for the rest.
        filler = (_BLOCK >> 40) >> left
        return b"BZh9" + whole + ((_bits(data, end_bit - left, left) << (8 - left) | filler).to_bytes(1, "big"))
    checksum = 0
    for block in _find(data, _BLOCK, first_bit, end_bit, all_of_them=True):
        rotated = (checksum << 1 | checksum >> 31) & 0xFFFFFFFF
        checksum = rotated ^ _bits(data, block + _MAGIC_BITS, 32)
    ending = (_bits(data, end_bit - left, left) << 80) | _FOOTER << 32 | checksum
    padding = -(left + 80) % 8
    return b"BZh9" + whole + (ending << padding).to_bytes((left + 80 + padding) // 8, "big")


def _footer_before(data: bytes, end_byte: int) -> int:
    """The bit at which the footer of a stream that ends at `end_byte` begins, or before zeros up to there.

    Raises `RuntimeError` without one.
    """
    # A checksum of zeros and the fill bits of the last byte are up to five zero bytes that are not padding.
    content = len(data[:end_byte].rstrip(b"\0"))
    for bit in range(8 * min(content + 5, end_byte) - _FOOTER_BITS, 8 * (content - 1) - _FOOTER_BITS, -1):
        if bit >= 0 and _bits(data, bit, _MAGIC_BITS) == _FOOTER:
            return bit
    raise RuntimeError("the end of a bz2 stream is missing, or other data follows it")


def streams(data: bytes, first_bit: int, end_bit: int, *, ends_stream: bool, footer: bool = True) -> list[bytes]:
    """The data between two cuts as whole bz2 streams. `ends_stream`: at `end_bit` a stream ends, not only a block.

    Raises `RuntimeError` when it does not.
    """
    headers = [match.start() for match in _STREAM.finditer(data)]
    starts = [first_bit, *(8 * header for header in headers if 8 * header > first_bit)]
    parts = []
    for number, start in enumerate(starts):
        last = number == len(starts) - 1
        end = end_bit if last else starts[number + 1]
        is_stream, complete = start in (8 * header for header in headers), ends_stream or not last
        if is_stream and complete:
            parts.append(data[start // 8 : (_footer_before(data, end // 8) + _FOOTER_BITS + 7) // 8])
        else:
            first = start + 32 if is_stream else start
            stop = _footer_before(data, end // 8) if complete else end
            if stop > first:
                parts.append(_as_stream(data, first, stop, footer=footer))
    return parts


def decode(data: bytes, first_bit: int, end_bit: int, *, ends_stream: bool) -> Iterator[bytes]:
    """The text between two cuts, about 1 MB at a time. Raises `RuntimeError` when it is damaged."""
    from indexed_bzip2 import IndexedBzip2File

    parts = streams(data, first_bit, end_bit, ends_stream=ends_stream)
    with IndexedBzip2File(io.BytesIO(b"".join(parts)), parallelization=1) as stream:
        while text := stream.read(_READ_BYTES):
            yield text


def has_lbzip2() -> bool:
    """Whether `decode_by_lbzip2` is available."""
    return hasattr(os, "memfd_create") and shutil.which("lbzip2") is not None


def decode_by_lbzip2(data: bytes, first_bit: int, end_bit: int, *, ends_stream: bool) -> Iterator[bytes]:
    """The same with `lbzip2` in one thread, which is faster than the library, even through pipes.

    Raises `RuntimeError` when it fails; `decode` then reports the reason, or succeeds.
    """
    process, empty = _lbzip2(streams(data, first_bit, end_bit, ends_stream=ends_stream)), True
    with process:
        assert process.stdout is not None
        while text := process.stdout.read(_READ_BYTES):
            empty = False
            yield text
    if process.returncode or empty:
        raise RuntimeError(f"lbzip2 ended with {process.returncode}" + " and no text" * empty)


def _lbzip2(parts: Sequence[bytes]) -> subprocess.Popen[bytes]:
    """Runs the program on whole streams. Raises `RuntimeError` when it cannot be started."""
    packed = os.memfd_create("polyfact-bz2")
    try:
        for part in parts:
            os.write(packed, part)
        os.lseek(packed, 0, os.SEEK_SET)
        # A pipe that holds a whole block lets both processes run at the same time.
        return subprocess.Popen(
            ["lbzip2", "-dc", "-n1"],
            stdin=packed,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pipesize=_READ_BYTES,
        )
    except OSError as error:
        raise RuntimeError(f"lbzip2 does not start: {error}") from error
    finally:
        os.close(packed)


def decode_tolerantly(data: bytes, first_bit: int, end_bit: int, *, ends_stream: bool) -> Iterator[bytes]:
    """The same, slower and without the stream checksum, for data in which a block contains the magic by chance."""
    for part in streams(data, first_bit, end_bit, ends_stream=ends_stream, footer=False):
        decoder = bz2.BZ2Decompressor()
        text = decoder.decompress(part, _READ_BYTES)
        while text:
            yield text
            text = b"" if decoder.eof else decoder.decompress(b"", _READ_BYTES)
