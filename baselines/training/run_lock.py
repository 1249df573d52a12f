"""One process group per folder, and a clear message for a full disk."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.common.files import make_folder

LOCK = ".lock"
# A disk that a failed write of a checkpoint has filled has less than this free.
_FULL_BYTES = 1 << 20
# The locks that this process holds, by folder.
_held: dict[Path, FileLock] = {}


def lock(folder: Path) -> None:
    """Locks the folder of a run until `unlock`, or the end of the process. Locking twice has no further effect.

    Raises `ConfigError` when another process holds the lock, or the folder is not writable.
    """
    path = folder.resolve()
    if path in _held:
        return
    try:
        make_folder(folder)
        # The thread that trains is not always the one that releases.
        held = FileLock(folder / LOCK, blocking=False, thread_local=False)
        held.acquire()
    except Timeout as error:
        raise ConfigError(f"another run is active in {folder}; wait for it, or choose another output.folder") from error
    except OSError as error:
        raise ConfigError(f"cannot write in {folder}: {error.strerror}; choose another output.folder") from error
    _held[path] = held


def unlock(folder: Path) -> None:
    """Releases the folder, if this process holds its lock."""
    held = _held.pop(folder.resolve(), None)
    if held is not None:
        held.release()


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Converts the errors that different libraries raise for a full disk into `RetryableError`."""
    try:
        yield
    except Exception as error:
        if not _is_full(error, folder):
            raise
        raise RetryableError(
            f"{folder}: the disk is full; free disk space, then rerun the same command to continue from the last "
            "complete checkpoint"
        ) from error


def _is_full(error: BaseException, folder: Path) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        # safetensors raises an error without errno.
        if "os error 28" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    # PyTorch's writer reports only that a write failed.
    return isinstance(error, RuntimeError) and shutil.disk_usage(folder).free < _FULL_BYTES
