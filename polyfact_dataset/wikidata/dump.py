"""Read a Wikidata JSON dump from a file or from standard input, with any supported compression.

The official layout is a JSON array with one entity per line and trailing commas; one entity per line without the
array (JSON Lines) is equivalent. A JSON array in any other layout is parsed by `ijson`.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import STDIN, fingerprint
from polyfact_dataset.wikidata.json_array import Relayed

_HEAD_BYTES = 1 << 20
_READ_BYTES = 1 << 20
_PROBE_BYTES = 1 << 16
# Approximate size of the text of one decompression step.
_STEP_BYTES = 1 << 22
# Less text than this is accepted at any ratio.
_HARMLESS_BYTES = 1 << 26
Format = Literal["plain", "bz2", "gz", "zst"]
_MAGIC: tuple[tuple[bytes, Format], ...] = ((b"BZh", "bz2"), (b"\x1f\x8b", "gz"), (b"\x28\xb5\x2f\xfd", "zst"))
# `pzstd` writes a frame without text before each of the others.
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
# Exceptions of the decompressors for damaged data, in addition to types of their libraries.
_DAMAGE = (OSError, EOFError, RuntimeError, ValueError)


class Text(Protocol):
    """A stream of text: `read` returns up to `size` bytes, b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


def damaged(name: str, error: object) -> DataError:
    """The error for a dump that cannot be decompressed."""
    return DataError(f"dump {name} is truncated or corrupt ({error}); download it again")


def check_expansion(name: str, text_bytes: int, compressed_bytes: int, most: float) -> None:
    """Raises `DataError` when the ratio of text to compressed bytes indicates a decompression bomb."""
    if text_bytes > max(most * compressed_bytes, _HARMLESS_BYTES):
        raise DataError(
            f"dump {name}: {compressed_bytes:,} compressed bytes expand to more than {text_bytes:,} of text; "
            "raise extract.max_expansion if this is expected"
        )


@contextmanager
def damage_as_data_error(name: str) -> Iterator[None]:
    """Turns the exceptions of decompressors for damaged data into a `DataError` that names the dump."""
    try:
        yield
    except DataError:
        raise
    except _DAMAGE as error:
        raise damaged(name, error) from error
    except Exception as error:
        # Imported on demand: most dumps need neither.
        from isal.igzip_lib import IsalError
        from zstandard import ZstdError

        kinds: Any = (IsalError, ZstdError)  # the stubs of isal declare its error as an instance
        if isinstance(error, kinds):
            raise damaged(name, error) from error
        raise


def check_input(path: Path) -> None:
    """Raises `ConfigError` for a path that is not a readable file, `DataError` for an empty one."""
    if path == STDIN:
        if not open_raw(path).head:
            raise DataError("standard input is empty; pipe the dump into it, as in `curl URL | polyfact extract -`")
        return
    if not path.exists():
        raise ConfigError(f"dump {path} does not exist; give the path of latest-all.json.gz (or .bz2, .zst, .json)")
    if not path.is_file():
        raise ConfigError(f"dump {path} is not a file; give the path of the dump itself")
    try:
        with path.open("rb") as handle:
            if not handle.read(1):
                raise DataError(f"dump {path} is empty; download it again")
    except PermissionError as error:
        raise ConfigError(f"dump {path} may not be read: {error.strerror}") from error


def identify(path: Path) -> str:
    """The identity of a dump: size and samples of a file, or the first MiB of standard input."""
    check_input(path)
    if path == STDIN:
        return "stdin:" + hashlib.sha256(open_raw(path).head).hexdigest()
    return fingerprint(path)


class Raw:
    """The bytes of a dump as they are, from a file or a pipe. `offset` is the number of bytes read.

    A byte may expand to at most `max_expansion` bytes of text, and a zst frame may require `max_window_bytes` of
    memory.
    """

    max_expansion = 1000.0
    max_window_bytes = 1 << 27

    def __init__(self, handle: BinaryIO, name: str, size: int | None) -> None:
        self._handle, self.name, self.size = handle, name, size
        self.head = self._read_fully(_HEAD_BYTES)
        self.kind = detect(self.head)
        self.offset = 0

    @property
    def is_pipe(self) -> bool:
        """Whether it can only be read forwards."""
        return self.size is None

    def _read_fully(self, size: int) -> bytes:
        parts, missing = [], size
        while missing and (part := self._handle.read(missing)):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        data = self.head[self.offset : self.offset + size]
        if len(data) < size:
            data += self._read_fully(size - len(data))
        self.offset += len(data)
        return data

    def seek(self, offset: int) -> None:
        """Continues at `offset`; in a pipe, the bytes before it are read and dropped."""
        if not self.is_pipe:
            self._handle.seek(max(offset, len(self.head)))
            self.offset = offset
            return
        while self.offset < offset and self.read(min(offset - self.offset, _READ_BYTES)):
            pass
        if self.offset != offset:
            raise DataError(f"{self.name} is shorter than it was; pipe the whole dump again")

    def close(self) -> None:
        self._handle.close()


@cache
def _standard_input() -> Raw:
    return Raw(sys.stdin.buffer, "standard input", None)


def open_raw(path: Path) -> Raw:
    """The dump's bytes; standard input is opened once, so that its head can be inspected before it is read."""
    if path == STDIN:
        return _standard_input()
    return Raw(path.open("rb", buffering=0), path.name, path.stat().st_size)


def detect(head: bytes) -> Format:
    """The compression, by the first bytes and not by the name."""
    if _SKIPPABLE.match(head):
        return "zst"
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "plain")


class Members:
    """The text of a gz or zst dump, which is one or more members (frames) one after the other.

    `begin` is (offset in the dump, offset in the text) of a member; a decompressor can only start at a member. Reading
    stops before the first member that begins at or after `end`. Raises `EOFError` when the last member is incomplete.
    """

    def __init__(self, raw: Raw, begin: tuple[int, int] = (0, 0), end: int | None = None) -> None:
        self._raw, self._end = raw, end
        raw.seek(begin[0])
        self._begins = [begin]
        self._input, self._ready, self._feed = b"", b"", 1 << 12
        self._text_offset = begin[1]
        self._decoder: _Decoder | None = None

    def read(self, size: int) -> bytes:
        while not self._ready:
            if self._decoder is None and not self._next_member():
                return b""
            assert self._decoder is not None
            fed = b""
            if self._decoder.hungry:
                self._input = self._input or self._raw.read(self._feed)
                if not self._input:
                    raise EOFError("the last member is incomplete")
                fed, self._input = self._input[: self._feed], self._input[self._feed :]
            self._ready = self._decoder.decompress(fed)
            self._text_offset += len(self._ready)
            check_expansion(self._raw.name, self._text_offset, self._raw.offset, self._raw.max_expansion)
            if self._decoder.eof:
                self._input, self._decoder = self._decoder.rest + self._input, None
            # A step yields a few MB of text, regardless of the compression ratio.
            self._feed = min(max(1024, self._feed * _STEP_BYTES // max(len(self._ready), 1)), _READ_BYTES)
        part, self._ready = self._ready[:size], self._ready[size:]
        return part

    def _next_member(self) -> bool:
        # Padding with zeros after a member is not a member.
        self._input = self._input.lstrip(b"\0")
        while not self._input:
            data = self._raw.read(_PROBE_BYTES)
            if not data:
                return False
            self._input = data.lstrip(b"\0")
        begin = self._raw.offset - len(self._input)
        if self._end is not None and begin >= self._end:
            return False
        if self._begins[-1] != (begin, self._text_offset):
            self._begins.append((begin, self._text_offset))
        self._decoder = _GZ() if self._raw.kind == "gz" else _ZST(self._raw.name, self._raw.max_window_bytes)
        return True

    def entry(self, text_offset: int) -> tuple[int, int]:
        """The last member that begins at or before an offset of the text; forgets those before it."""
        while len(self._begins) > 1 and self._begins[1][1] <= text_offset:
            del self._begins[0]
        return self._begins[0]


class _Decoder(Protocol):
    eof: bool
    hungry: bool
    rest: bytes

    def decompress(self, data: bytes) -> bytes: ...


class _GZ:
    """One gzip member, its checksum included."""

    def __init__(self) -> None:
        from isal import igzip_lib

        self._inner = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        self.eof, self.hungry, self.rest = False, True, b""

    def decompress(self, data: bytes) -> bytes:
        text: bytes = self._inner.decompress(data, _STEP_BYTES)
        self.eof, self.hungry = self._inner.eof, self._inner.needs_input
        self.rest = self._inner.unused_data if self.eof else b""
        return text


class _ZST:
    """One zstd frame. The library's reader treats a truncated frame as complete.

    Raises `DataError` when the frame requires more than `max_window_bytes` of memory.
    """

    def __init__(self, name: str = "", max_window_bytes: int = 1 << 31) -> None:
        import zstandard

        self._name, self._most, self._error = name, max_window_bytes, zstandard.ZstdError
        self._inner = zstandard.ZstdDecompressor(max_window_size=max_window_bytes).decompressobj()
        self.eof, self.hungry, self.rest = False, True, b""

    def decompress(self, data: bytes) -> bytes:
        try:
            text = self._inner.decompress(data)
        except self._error as error:
            if "too much memory" not in str(error):
                raise
            raise DataError(
                f"dump {self._name}: a zst frame requires a window of more than {self._most:,} bytes of memory; "
                "raise extract.max_window_bytes if this is expected"
            ) from error
        self.eof = self._inner.eof
        self.rest = self._inner.unused_data if self.eof else b""
        return text


def find_member(raw: Raw, offset: int) -> int | None:
    """The first gz member or zst frame that begins at or after `offset`, found by its magic and by decompressing it.

    None when there is none. A false match does not yield 64 KiB of UTF-8 text. A frame with too large a window is found
    as well, so that the reader rejects it and no lines are lost.
    """
    magic, new = (b"\x1f\x8b\x08", _GZ) if raw.kind == "gz" else (_MAGIC[2][0], _ZST)
    raw.seek(offset)
    window, base = raw.read(_READ_BYTES), offset
    while window:
        window += raw.read(_READ_BYTES)
        at = -1
        while 0 <= (at := window.find(magic, at + 1)) < _READ_BYTES:
            if _is_member(window[at : at + _READ_BYTES], new):
                return base + at
        window, base = window[_READ_BYTES:], base + min(_READ_BYTES, len(window))
    return None


def _is_member(data: bytes, new: type[_GZ] | type[_ZST]) -> bool:
    decoder = new()
    try:
        text = decoder.decompress(data[:_PROBE_BYTES])
        text.decode("utf-8") if decoder.eof else text[:-4].decode("utf-8")
    except Exception as error:  # the libraries raise library-specific types
        return isinstance(error, UnicodeDecodeError) and error.start >= len(text) - 8
    return decoder.eof or len(text) > 0


class _BZ2:
    """The text of a whole bz2 dump, in one thread."""

    def __init__(self, raw: Raw) -> None:
        import bz2

        self._raw, self._text_bytes = raw, 0
        self._inner: Text = bz2.BZ2File(raw)  # type: ignore[call-overload]  # needs only `read`

    def read(self, size: int) -> bytes:
        text = self._inner.read(size)
        self._text_bytes += len(text)
        check_expansion(self._raw.name, self._text_bytes, self._raw.offset, self._raw.max_expansion)
        return text


def _decompressed(raw: Raw) -> Text:
    """The text of the dump from its beginning, in one thread."""
    if raw.kind == "plain":
        return raw
    return _BZ2(raw) if raw.kind == "bz2" else Members(raw)


def text_of(raw: Raw) -> Text:
    """The text of the dump from its beginning, one entity per line for any layout of its array."""
    stream = _decompressed(raw)
    return Relayed(stream, raw.name) if is_other_layout(raw) else stream


def is_other_layout(raw: Raw) -> bool:
    """Whether the dump is a JSON array that does not hold one entity per line. Raises `DataError` for UTF-16."""
    sample = Raw(io.BytesIO(raw.head), raw.name, len(raw.head))
    sample.max_window_bytes = raw.max_window_bytes
    text = b""
    try:
        stream = _decompressed(sample)
        while len(text) < _PROBE_BYTES and (part := stream.read(_PROBE_BYTES)):
            text += part
    except Exception:  # damage, or the end of the sample: reported when the dump is read
        pass
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"dump {raw.name} is in UTF-16; convert it: iconv -f UTF-16 -t UTF-8")
    text = text.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text.startswith(b"["):
        return False
    first, newline, after = text[1:].partition(b"\n")
    if first.strip():
        return True
    line, newline, _ = after.lstrip().partition(b"\n")
    line = line.strip().rstrip(b",").rstrip()
    return bool(newline) and line.startswith(b"{") and not line.endswith(b"}")
