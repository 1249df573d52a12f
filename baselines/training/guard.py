"""What keeps a run from harm: one process group per folder, and clear words for a full disk."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polyfact_dataset.common.errors import ConfigError, RetryableError

LOCK = ".lock"
# Less is free on a disk that a failed write of a checkpoint has filled.
_FULL_BYTES = 1 << 20
# The locks that this process holds, by folder.
_held: dict[Path, int] = {}


def hold(folder: Path) -> None:
    """Takes the folder of a run until `release`, or the end of the process; twice is once.

    Raises `ConfigError` when another process holds it, or nothing can be written there.
    """
    place = folder.resolve()
    if place in _held:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(f"cannot write in {folder}: {error.strerror}; choose another output.folder") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise ConfigError(
            f"another run is at work in {folder}; wait for it, or choose another output.folder"
        ) from error
    _held[place] = handle


def release(folder: Path) -> None:
    """Gives the folder back, if this process holds it."""
    handle = _held.pop(folder.resolve(), None)
    if handle is not None:
        os.close(handle)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turns what libraries raise for a full disk, each in its own way, into a `RetryableError`."""
    try:
        yield
    except Exception as error:
        if not _is_full(error, folder):
            raise
        raise RetryableError(
            f"{folder}: the disk is full; free some space and run the same command, "
            "which goes on from the last whole checkpoint"
        ) from error


def _is_full(error: BaseException, folder: Path) -> bool:
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        # Of safetensors, whose error has no number of its own.
        if "os error 28" in str(found):
            return True
        found = found.__cause__ or found.__context__
    # PyTorch's writer knows only that it could not write.
    return isinstance(error, RuntimeError) and shutil.disk_usage(folder).free < _FULL_BYTES
