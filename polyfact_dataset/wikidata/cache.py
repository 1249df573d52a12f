"""The answers of the Wikidata API on disk: one SQLite file, durable after every batch, which builds can share."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence

from polyfact_dataset.common.sqlite import SqliteFile

_CHUNK_IDS = 500


class Cache(SqliteFile):
    """Answers by (id, scope). A scope names the requested parts, so that requests for more parts are sent again.

    An answer is the entity as JSON in the layout of the dump, or None for an id that has no entity. Raises
    `DataError` naming the file when it is damaged, not a cache, or locked for a minute.
    """

    _setting = " as backfill.cache"

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # Every transaction reaches the disk before the next request is sent. EXTRA: so does the removal of the journal,
        # which would undo the transaction if it were there again after a power cut.
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS answers "
            "(id TEXT NOT NULL, scope TEXT NOT NULL, entity BLOB, PRIMARY KEY (id, scope)) WITHOUT ROWID"
        )

    def known(self, ids: Sequence[str], scope: str) -> set[str]:
        """Those of `ids` that have an answer."""
        return {qid for qid, _ in self._rows(ids, scope, "NULL")}

    def read(self, ids: Sequence[str], scope: str) -> Iterator[tuple[str, bytes | None]]:
        """The stored answers, in the order of `ids` within chunks sorted by id."""
        for qid, blob in self._rows(ids, scope, "entity"):
            with self._named():
                entity = None if blob is None else zlib.decompress(blob)
            yield qid, entity

    def _rows(self, ids: Sequence[str], scope: str, column: str) -> Iterator[tuple[str, bytes | None]]:
        for start in range(0, len(ids), _CHUNK_IDS):
            chunk = ids[start : start + _CHUNK_IDS]
            marks = ", ".join("?" * len(chunk))
            query = f"SELECT id, {column} FROM answers WHERE scope = ? AND id IN ({marks}) ORDER BY id"
            with self._named():
                rows = self._connection.execute(query, (scope, *chunk)).fetchall()
            yield from rows

    def write(self, answers: Iterable[tuple[str, bytes | None]], scope: str) -> None:
        """Stores answers in one transaction: after a kill either all or none are stored."""
        rows = [(qid, scope, None if entity is None else zlib.compress(entity)) for qid, entity in answers]
        with self._named(), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)
