"""A cache in one SQLite file, used as a context manager. Errors name the file."""

from __future__ import annotations

import sqlite3
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import make_folder, sync

_LOCK_WAIT_S = 60.0


class SqliteFile(ABC):
    """The base of both caches.

    Raises `DataError` naming the file when it is damaged, not a cache, or locked for a minute.

    A subclass makes its tables in `_prepare` and does all its work inside `with self._named()`. What is committed is
    durable, in a new file and in new folders too, so that no request is sent that depends on an answer which a power
    cut could lose.
    """

    # The setting by which the user names another file.
    _setting = ""
    # The argument of `sqlite3.connect`; with None the subclass manages transactions.
    _isolation_level: Literal["DEFERRED"] | None = "DEFERRED"

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._named():
            make_folder(path.parent)
            self._connection = sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=self._isolation_level)
            self._prepare(self._connection)
            # SQLite makes the entries of its journals durable, not that of the file itself.
            sync(path.parent)

    @abstractmethod
    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Sets the file's durability and creates missing tables."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, zlib.error, OSError) as error:
            advice = f"name another{self._setting}"
            raise DataError(f"cache {self._path} cannot be used ({error}); remove it, or {advice}") from error
