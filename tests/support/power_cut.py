"""Power cuts: the file operations of a program, traced by strace, and what a disk may hold after a cut among them.

As in SQLite's tests of crashes: data that was not synced may be lost, and so may an entry of a folder (a new name, a
renamed or a removed one) while the folder was not synced. What is lost is drawn at random: of each file's writes and of
each folder's changes since its last sync, the first so many are kept.
"""

from __future__ import annotations

import codecs
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_CALLS = "openat,write,writev,pwrite64,ftruncate,fsync,fdatasync,"
_CALLS += "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir"
_LINE = re.compile(r"(?P<at>\d+\.\d+) (?P<call>\w+)\((?P<arguments>.*)\) += (?P<result>\d+)")
_STRING, _HANDLE = re.compile(r'"((?:\\x[0-9a-f]{2})*)"'), re.compile(r"(\d+)<((?:\\x[0-9a-f]{2})+)>")
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)(?:<((?:\\x[0-9a-f]{2})+)>)?, )?"((?:\\x[0-9a-f]{2})+)"')


def needs_strace() -> None:
    """Skips the test where programs cannot be traced."""
    if not shutil.which("strace") or subprocess.run(["strace", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace is not there, or may not trace")


def _text(escaped: str) -> bytes:
    return bytes(codecs.escape_decode(escaped.encode())[0])


@dataclass(frozen=True)
class Operation:
    """One call: its name, the paths that it concerns, data and offset of a write (None: at the end), or a size."""

    call: str
    paths: tuple[str, ...]
    data: bytes = b""
    offset: int | None = None
    size: int = 0


def trace(program: str, folder: Path, traces: Path) -> list[Operation]:
    """The operations of a Python program on files in `folder`, and its writes to standard output (path `stdout`)."""
    traces.mkdir()
    command = ["strace", "-ff", "-ttt", "-y", "-xx", "-s", "100000000", "-e", f"trace={_CALLS}", "-o", f"{traces}/t"]
    subprocess.run([*command, sys.executable, "-c", program], check=True, capture_output=True)
    lines = [line for path in traces.iterdir() for line in path.read_text().splitlines()]
    found = (match for match in map(_LINE.match, lines) if match)
    inside = (_operation(match, f"{folder}/") for match in sorted(found, key=lambda match: float(match["at"])))
    return [operation for operation in inside if operation is not None]


def _operation(match: re.Match[str], folder: str) -> Operation | None:
    call, arguments = match["call"], match["arguments"]
    if call in ("write", "writev", "pwrite64", "ftruncate", "fsync", "fdatasync"):
        handle = _HANDLE.match(arguments)
        if handle is None:
            return None
        path = "stdout" if handle[1] == "1" else _text(handle[2]).decode()
        if path != "stdout" and path != folder.rstrip("/") and not path.startswith(folder):
            return None
        last = arguments.rpartition(", ")[2]
        offset = int(last) if call == "pwrite64" else None
        # The buffers of `writev` are one write.
        data = b"".join(map(_text, _STRING.findall(arguments)))[: int(match["result"])]
        name = "write" if call == "writev" else call
        return Operation(name, (path,), data, offset, int(last) if call == "ftruncate" else 0)
    paths = [(_text(base).decode() if base else "", _text(path).decode()) for base, path in _PATH.findall(arguments)]
    whole = tuple(path if path.startswith("/") else f"{base}/{path}" for base, path in paths)
    if not whole or not whole[0].startswith(folder):
        return None
    if call == "openat" and "O_CREAT" not in arguments and "O_TRUNC" not in arguments:
        return None
    return Operation("truncate" if "O_TRUNC" in arguments else call, whole)


@dataclass
class _File:
    """A file: what is surely on disk, and the writes since. `written` is where the durable writes ended.

    A file may be longer: a program that reserves the space of a file writes it from its beginning all the same.
    """

    durable: bytes = b""
    written: int = 0
    pending: list[Operation] = field(default_factory=list)

    def content(self, kept: int) -> bytes:
        """The file with so many of its pending writes."""
        return self._with(kept)[0]

    def sync(self) -> None:
        """Makes all writes durable."""
        (self.durable, self.written), self.pending = self._with(len(self.pending)), []

    def _with(self, kept: int) -> tuple[bytes, int]:
        data, written = bytearray(self.durable), self.written
        for operation in self.pending[:kept]:
            if operation.call in ("truncate", "ftruncate"):
                data = data[: operation.size].ljust(operation.size, b"\0")
                written = min(written, operation.size)
                continue
            start = written if operation.offset is None else operation.offset
            data[:start] = data[:start].ljust(start, b"\0")
            data[start : start + len(operation.data)] = operation.data
            written = max(written, start + len(operation.data))
        return bytes(data), written


@dataclass
class _Folder:
    """A folder: its entries on disk, its entries now, and the changes since the last sync."""

    durable: dict[str, _File | _Folder] = field(default_factory=dict)
    now: dict[str, _File | _Folder] = field(default_factory=dict)
    pending: list[dict[str, _File | _Folder]] = field(default_factory=list)

    def change(self) -> None:
        self.pending.append(dict(self.now))


class Disk:
    """The disk below a folder, after each of the operations."""

    def __init__(self, root: Path) -> None:
        self._root, self._top = f"{root}/", _Folder()

    def _split(self, path: str) -> tuple[_Folder, str]:
        *parents, name = path.removeprefix(self._root).split("/")
        folder = self._top
        for parent in parents:
            found = folder.now[parent]
            assert isinstance(found, _Folder)
            folder = found
        return folder, name

    def apply(self, operation: Operation) -> None:
        """Does an operation."""
        if operation.paths[0].rstrip("/") == self._root.rstrip("/"):
            entry: _File | _Folder | None = self._top
        else:
            folder, name = self._split(operation.paths[0])
            entry = folder.now.get(name)
        if operation.call in ("fsync", "fdatasync"):
            if isinstance(entry, _File):
                entry.sync()
            elif entry is not None:
                entry.durable, entry.pending = dict(entry.now), []
            return
        if operation.call in ("write", "pwrite64", "ftruncate"):
            if isinstance(entry, _File):
                entry.pending.append(operation)
            return
        if operation.call in ("openat", "truncate") and entry is not None:
            if operation.call == "truncate" and isinstance(entry, _File):
                entry.pending.append(operation)
            return
        if operation.call.startswith("rename"):
            target, new = self._split(operation.paths[1])
            target.now[new] = folder.now.pop(name)
            # One change of both folders: a file system does not lose the file in between.
            target.change()
            if target is not folder:
                folder.change()
            return
        if operation.call in ("unlink", "unlinkat", "rmdir"):
            folder.now.pop(name, None)
        else:
            folder.now[name] = _Folder() if operation.call.startswith("mkdir") else _File()
        folder.change()

    def write(self, target: Path, rng: random.Random) -> None:
        """Writes what the disk may hold after a cut now."""
        self._write(self._top, target, rng)

    def _write(self, folder: _Folder, target: Path, rng: random.Random) -> None:
        target.mkdir(parents=True, exist_ok=True)
        kept = rng.randint(0, len(folder.pending)) if rng.random() < 0.7 else 0
        for name, entry in (folder.pending[kept - 1] if kept else folder.durable).items():
            if isinstance(entry, _Folder):
                self._write(entry, target / name, rng)
            else:
                number = rng.randint(0, len(entry.pending)) if rng.random() < 0.7 else 0
                (target / name).write_bytes(entry.content(number))


def cuts(operations: Sequence[Operation], root: Path, out: Path, number: int, seed: int) -> list[tuple[Path, str]]:
    """`number` folders as a cut at a random moment may leave them, each with what the program had printed by then."""
    rng, found = random.Random(seed), []
    moments = sorted(rng.randint(0, len(operations)) for _ in range(number))
    disk, printed, done = Disk(root), b"", 0
    for place, moment in enumerate(moments):
        for operation in operations[done:moment]:
            if operation.paths == ("stdout",):
                printed += operation.data
            else:
                disk.apply(operation)
        done = moment
        folder = out / f"{place:03}"
        disk.write(folder, rng)
        found.append((folder, printed.decode()))
    return found
