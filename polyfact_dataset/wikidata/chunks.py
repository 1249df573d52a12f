"""A dump as chunks: the units that a worker decompresses and parses.

The cuts depend only on the dump and the sizes, not on the workers. A bz2 or plain dump is cut without decompression,
and can be read from any cut. A gz or zst dump is decompressed first, and can be read only from the beginning of a
member: on resuming, the text from there to the cut is decompressed once more, but not parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.wikidata.bzip2 import HEADER_BYTES, MAX_BLOCK_BYTES, Decoder, decode, find_cut
from polyfact_dataset.wikidata.dump import Members, Raw, Text, damaged, find_member, is_other_layout, text_of

_READ_BYTES = 1 << 20
_WINDOW_BYTES = 1 << 16
Position = dict[str, int]
"""Where a chunk begins, in coordinates that depend on its source; JSON-able."""


@dataclass(frozen=True)
class Chunk:
    """The content of a slot. `bits` is set for bz2: the first bit, the end bit, and 1 when a stream ends there.

    `at_line` says that a line begins with it; `end` is where the next chunk begins, `dump_bytes` how far the dump is
    read.
    """

    length: int
    at_line: bool
    end: Position
    dump_bytes: int
    bits: tuple[int, int, int] | None = None

    def text(self, data: bytes, decoder: Decoder = decode) -> Iterator[bytes]:
        """The chunk's text in pieces of a few MB, from the content of its slot."""
        if self.bits is None:
            return iter((data,))
        first, end, ends_stream = self.bits
        return decoder(data, first, end, ends_stream=bool(ends_stream))


class Chunks(Protocol):
    """A source of chunks. `slot_bytes` is the size of the largest chunk."""

    slot_bytes: int

    def fill(self, slot: memoryview) -> Chunk | None:
        """Writes the next chunk into the slot; None at the end."""


class Bz2Chunks:
    """Runs of compressed blocks, each about `chunk_bytes` long, from a bit position up to the first cut past `end`."""

    def __init__(self, raw: Raw, chunk_bytes: int, start: Position | None, end: int | None) -> None:
        self._raw, self._chunk_bytes, self._end = raw, chunk_bytes, end
        self._full = chunk_bytes + 2 * MAX_BLOCK_BYTES
        self.slot_bytes = self._full + HEADER_BYTES
        self._bit = start["bit"] if start else 0
        self._base, self._buffer = self._bit // 8, b""
        raw.seek(self._base)
        self._done = end is not None and self._bit >= 8 * end

    def fill(self, slot: memoryview) -> Chunk | None:
        if len(self._buffer) < self._full:
            self._buffer += self._raw.read(self._full - len(self._buffer))
        if self._done or not self._buffer:
            return None
        first = self._bit - 8 * self._base
        target_bit = first + 8 * self._chunk_bytes
        if self._end is not None:
            target_bit = min(target_bit, 8 * (self._end - self._base))
        # After the header, so that the cut is not where the chunk begins.
        cut = find_cut(self._buffer, max(target_bit, first + 33), 8 * len(self._buffer))
        if cut is None and len(self._buffer) == self._full:
            raise damaged(self._raw.name, f"no bz2 block near byte {self._base + target_bit // 8}")
        end, ends_stream = cut or (8 * len(self._buffer), True)
        length = (end + 7) // 8
        slot[:length] = self._buffer[:length]
        self._bit = 8 * self._base + end
        self._buffer, self._base = self._buffer[end // 8 :], self._base + end // 8
        self._done = cut is None or (self._end is not None and self._bit >= 8 * self._end)
        return Chunk(length, False, {"bit": self._bit}, self._bit // 8, (first, end, int(ends_stream)))


class TextChunks:
    """Text of at most `chunk_bytes`, cut after a newline where there is one, from an offset up to `end`."""

    def __init__(
        self, raw: Raw, stream: Text, chunk_bytes: int, start: Position | None, end: int | None = None
    ) -> None:
        self._raw, self._stream, self._end = raw, stream, end
        self.slot_bytes = chunk_bytes
        self._offset, self._at_line, self._rest = start["text"] if start else 0, start is None, b""

    def fill(self, slot: memoryview) -> Chunk | None:
        size = len(self._rest)
        slot[:size] = self._rest
        while part := self._stream.read(self._room(size)):
            slot[size : size + len(part)] = part
            size += len(part)
        if not size:
            return None
        cut = _after_newline(slot, size) if size == self.slot_bytes else size
        length = cut or size
        self._rest = bytes(slot[length:size])
        at_line, self._at_line = self._at_line, cut > 0
        self._offset += length
        end = {"text": self._offset}
        if isinstance(self._stream, Members):
            member, member_text = self._stream.entry(self._offset)
            end |= {"member": member, "member_text": member_text}
        return Chunk(length, at_line, end, self._raw.offset)

    def _room(self, size: int) -> int:
        room = self.slot_bytes - size
        return room if self._end is None else min(room, self._end - self._offset - size)


def _after_newline(slot: memoryview, size: int) -> int:
    """Where the text after the last newline begins; 0 without one."""
    end = size
    while end > 0:
        begin = max(end - _WINDOW_BYTES, 0)
        newline = bytes(slot[begin:end]).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def _skip(stream: Text, size: int, name: str) -> None:
    """Drops text. Raises `DataError` when there is less."""
    while size:
        part = stream.read(min(size, _READ_BYTES))
        if not part:
            raise DataError(f"dump {name} is shorter than it was when the build began; restart with --overwrite")
        size -= len(part)


def bounds(raw: Raw, part: tuple[int, int]) -> tuple[Position | None, int | None]:
    """Where the i-th of n parts begins, and the byte of the dump after which it ends at the next cut.

    Raises `ConfigError` for a dump that cannot be read from the middle.
    """
    number, count = part
    if raw.size is None or is_other_layout(raw):
        raise ConfigError("--part needs a dump file with one entity per line: a pipe is read from its beginning")
    begin, end = raw.size * (number - 1) // count, raw.size * number // count
    stop = None if number == count else end
    if number == 1:
        return None, stop
    if raw.kind == "plain":
        return {"text": begin}, stop
    if raw.kind == "bz2":
        raw.seek(begin)
        window = raw.read(2 * MAX_BLOCK_BYTES)
        cut = find_cut(window, 0, 8 * len(window))
        return {"bit": 8 * begin + cut[0] if cut else 8 * raw.size}, stop
    member = find_member(raw, begin)
    return {"text": 0, "member": raw.size if member is None else member, "member_text": 0}, stop


def open_chunks(raw: Raw, batch_bytes: int, start: Position | None = None, end: int | None = None) -> Chunks:
    """The chunks of a dump from `start` (where an earlier chunk ended, or a part begins) up to the cut past `end`.

    A batch is this many bytes of text, or for bz2 an eighth as many bytes, which contain about twice as much text.
    """
    if raw.kind == "bz2" and not is_other_layout(raw):
        return Bz2Chunks(raw, batch_bytes // 8, start, end)
    offset = start["text"] if start else 0
    if is_other_layout(raw):
        stream = text_of(raw)
        _skip(stream, offset, raw.name)
        return TextChunks(raw, stream, batch_bytes, start)
    if raw.kind == "plain":
        raw.seek(offset)
        return TextChunks(raw, raw, batch_bytes, start, end)
    entry = (start["member"], start["member_text"]) if start else (0, 0)
    members = Members(raw, entry, end)
    _skip(members, offset - entry[1], raw.name)
    return TextChunks(raw, members, batch_bytes, start)
