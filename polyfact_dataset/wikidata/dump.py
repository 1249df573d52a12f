"""Reading a Wikidata JSON dump as batches of lines, whatever it is compressed with.

The official layout is a JSON array with one entity per line and trailing commas; one entity per line without the
array (JSON Lines) is the same to us. A JSON array in any other layout goes through `ijson`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from polyfact_dataset.errors import ConfigError, DataError

_READ_BYTES = 1 << 20
_PROBE_BYTES = 1 << 16
Format = Literal["plain", "bz2", "gz", "zst"]
_MAGIC: tuple[tuple[bytes, Format], ...] = ((b"BZh", "bz2"), (b"\x1f\x8b", "gz"), (b"\x28\xb5\x2f\xfd", "zst"))


@dataclass(frozen=True)
class Batch:
    """Whole lines of the dump: the number of the first (from 1) and their bytes. `too_long` lists cut lines."""

    first_line: int
    data: bytes
    too_long: tuple[int, ...] = ()


def check_input(path: Path) -> None:
    """Raises `ConfigError` for a path that is no readable file, `DataError` for an empty one."""
    if not path.exists():
        raise ConfigError(f"dump {path} does not exist; give the path of latest-all.json.bz2 (or .gz, .zst, .json)")
    if not path.is_file():
        raise ConfigError(f"dump {path} is not a file; give the path of the dump itself")
    try:
        with path.open("rb") as handle:
            if not handle.read(1):
                raise DataError(f"dump {path} is empty; download it again")
    except PermissionError as error:
        raise ConfigError(f"dump {path} may not be read: {error.strerror}") from error


def detect(path: Path) -> Format:
    """The compression, by the first bytes and not by the name."""
    with path.open("rb") as handle:
        head = handle.read(4)
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "plain")


@contextmanager
def _lbzip2(path: Path, program: str) -> Iterator[BinaryIO]:
    """The output of `lbzip2`. What it complains about wins over what a reader of its short output complains about."""
    process = subprocess.Popen([program, "-dc", "--", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    try:
        yield process.stdout  # type: ignore[misc]
    finally:
        ended = not process.stdout.read(1)
        if not ended:
            process.kill()
        process.stdout.close()
        message = process.stderr.read().decode(errors="replace").strip()
        process.stderr.close()
        if process.wait() and ended:
            reason = message.rpartition(": ")[2] or f"lbzip2 exit code {process.returncode}"
            raise DataError(f"dump {path} is truncated or corrupt ({reason}); download it again")


@contextmanager
def open_dump(path: Path) -> Iterator[BinaryIO]:
    """The decompressed bytes. Raises `DataError` when the compressed data is truncated or corrupt."""
    check_input(path)
    kind = detect(path)
    try:
        if kind == "bz2" and (program := shutil.which("lbzip2")):
            with _lbzip2(path, program) as stream:
                yield stream
        elif kind == "bz2":
            from indexed_bzip2 import IndexedBzip2File

            with IndexedBzip2File(str(path), parallelization=0) as stream:
                yield stream
                _check_bz2_end(path)
        elif kind == "gz":
            from isal import igzip

            with igzip.open(path, "rb") as stream:  # type: ignore[no-untyped-call]
                yield stream
        elif kind == "zst":
            with path.open("rb") as raw:
                yield _Zstandard(raw)  # type: ignore[misc]
        else:
            with path.open("rb") as stream:
                yield stream
    except DataError:
        raise
    except (OSError, EOFError, RuntimeError, ValueError) as error:
        raise DataError(f"dump {path} is truncated or corrupt ({error}); download it again") from error
    except Exception as error:  # zstandard and isal raise types of their own
        if type(error).__module__.split(".")[0] in ("zstandard", "isal", "zstd"):
            raise DataError(f"dump {path} is truncated or corrupt ({error}); download it again") from error
        raise


def _check_bz2_end(path: Path) -> None:
    """indexed_bzip2 takes a file cut between two blocks for complete: a whole stream ends in its footer magic."""
    with path.open("rb") as handle:
        handle.seek(max(path.stat().st_size - 14, 0))
        tail = handle.read()
    # The footer magic is not byte-aligned: look for its 48 bits at any of the 8 shifts.
    bits = int.from_bytes(tail, "big")
    magic = 0x177245385090
    if not any((bits >> shift) & 0xFFFFFFFFFFFF == magic for shift in range(32, 40)):
        raise DataError(f"dump {path} is truncated: the end of the bz2 stream is missing; download it again")


def batches(stream: BinaryIO, batch_bytes: int, max_line_bytes: int, name: str) -> Iterator[Batch]:
    """Whole lines, about `batch_bytes` at a time and never cut inside; the cut depends on the content alone.

    A line above `max_line_bytes` is skipped and its number reported in `too_long`.
    """
    head = stream.read(_PROBE_BYTES)
    while len(head) < _PROBE_BYTES and (more := stream.read(_PROBE_BYTES - len(head))):
        head += more
    if not head.strip():
        raise DataError(f"dump {name} holds no data; download it again")
    source: BinaryIO = _Joined(head, stream)  # type: ignore[assignment]
    if _is_other_layout(head):
        source = _Relayed(source, name)  # type: ignore[assignment]
    yield from _line_batches(source, batch_bytes, max_line_bytes)


def _line_batches(stream: BinaryIO, batch_bytes: int, max_line_bytes: int) -> Iterator[Batch]:
    line, pending, skipping = 1, 0, False
    rest: list[bytes] = []
    too_long: list[int] = []
    while chunk := stream.read(_READ_BYTES):
        if skipping:
            cut = chunk.find(b"\n")
            if cut < 0:
                continue
            rest, pending, skipping = [b"\n"], 1, False
            chunk = chunk[cut + 1 :]
        rest.append(chunk)
        pending += len(chunk)
        if pending < batch_bytes:
            continue
        data = b"".join(rest)
        cut = data.rfind(b"\n") + 1
        if cut:
            yield Batch(line, data[:cut], tuple(too_long))
            line += data.count(b"\n", 0, cut)
            too_long = []
        rest, pending = [data[cut:]], len(data) - cut
        if pending > max_line_bytes:
            too_long, skipping, rest, pending = [line], True, [], 0
    if pending or too_long:
        yield Batch(line, b"".join(rest), tuple(too_long))


def _is_other_layout(head: bytes) -> bool:
    """A JSON array that does not hold one entity per line."""
    text = head.lstrip()
    if not text.startswith(b"["):
        return False
    first, newline, after = text[1:].partition(b"\n")
    if first.strip():
        return True
    line, newline, _ = after.lstrip().partition(b"\n")
    line = line.strip().rstrip(b",").rstrip()
    return bool(newline) and line.startswith(b"{") and not line.endswith(b"}")


class _Zstandard:
    """The content of all frames. The library's own reader takes a truncated frame for its end."""

    def __init__(self, raw: BinaryIO) -> None:
        import zstandard

        self._raw, self._decompressor = raw, zstandard.ZstdDecompressor()
        self._frame, self._ready = self._decompressor.decompressobj(), b""
        self._inside = False

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; b"" at the end. Raises `EOFError` when the last frame is incomplete."""
        while not self._ready:
            chunk = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._inside = self._decompressor.decompressobj(), False
            chunk = chunk or self._raw.read(_READ_BYTES)
            if not chunk:
                if self._inside:
                    raise EOFError("the last frame is incomplete")
                return b""
            self._inside = True
            self._ready = self._frame.decompress(chunk)
        end = len(self._ready) if size < 0 else size
        part, self._ready = self._ready[:end], self._ready[end:]
        return part


class _Joined:
    """`head`, then the rest of a stream."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int = -1) -> bytes:
        if self._head:
            part, self._head = (self._head, b"") if size < 0 else (self._head[:size], self._head[size:])
            return part
        return self._stream.read(size)


class _Relayed:
    """The entities of a JSON array in any layout, one per line, as a stream of bytes."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        import ijson

        self._items, self._name = ijson.items(stream, "item", use_float=True), name
        self._error: type[Exception] = ijson.JSONError

    def read(self, size: int = -1) -> bytes:
        try:
            parts, total = [], 0
            while size < 0 or total < size:
                line = msgspec.json.encode(next(self._items)) + b"\n"
                parts.append(line)
                total += len(line)
        except StopIteration:
            pass
        except self._error as error:
            raise DataError(f"dump {self._name} is no valid JSON array: {error}") from error
        return b"".join(parts)
