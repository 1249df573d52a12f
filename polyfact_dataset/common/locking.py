"""A lock on a folder, for commands that write into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from polyfact_dataset.common.errors import ConfigError

LOCK = ".lock"


@contextmanager
def lock(folder: Path, refusal: str, wait_s: float = 0.0) -> Iterator[None]:
    """Locks a folder, waiting at most `wait_s` for another process.

    Raises `ConfigError` when it cannot be written, or with `refusal` when another process holds the lock.
    """
    held = FileLock(folder / LOCK, timeout=wait_s)
    try:
        held.acquire()
    except Timeout as error:
        raise ConfigError(refusal) from error
    except OSError as error:
        raise ConfigError(f"cannot write in {folder}: {error.strerror}; choose another --out") from error
    try:
        yield
    finally:
        held.release()
