"""Every answer of a model on disk: one SQLite file, durable after each answer, shared by builds and processes.

A row is keyed by the request (see `protocol.Request.key`). It holds what the server sent and nothing of what was sent
to it, so no label, key or token of an account can leak from here. Rows are only ever added.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.sqlite import SqliteFile
from polyfact_dataset.llm.protocol import Answer, Request, read_answer, rejection

_RATE_WINDOW_S = 600.0
# The year 5138: whoever says a later time does not tell seconds.
_LATEST_S = 1e11
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS answers (
        key BLOB PRIMARY KEY, kind TEXT NOT NULL, model TEXT NOT NULL, revision TEXT NOT NULL, served TEXT NOT NULL,
        status INTEGER NOT NULL, endpoint TEXT NOT NULL, body TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, at REAL NOT NULL, checksum INTEGER
    );
    CREATE INDEX IF NOT EXISTS answers_at ON answers (model, at);
    CREATE TABLE IF NOT EXISTS sent (
        key BLOB PRIMARY KEY, kind TEXT NOT NULL, model TEXT NOT NULL, revision TEXT NOT NULL, endpoint TEXT NOT NULL,
        waiting INTEGER NOT NULL
    );
"""


@dataclass(frozen=True)
class Sent:
    """What is remembered of a request: its key in hexadecimal, what it is for, and where it goes."""

    key: str
    kind: str
    model: str
    revision: str
    endpoint: str

    @classmethod
    def of(cls, request: Request) -> Sent:
        return cls(request.key, request.kind, request.model, request.revision, request.endpoint)


@dataclass(frozen=True)
class Usage:
    """What a model has answered so far: answers, tokens, and both per second of the last ten minutes of work."""

    answers: int
    prompt_tokens: int
    completion_tokens: int
    answers_per_s: float
    tokens_per_s: float
    served: dict[str, int]


def _answered_at(answer: Answer) -> float:
    """When the server says that it answered, else now: a batch file is read long after it was answered."""
    body = answer.body or {}
    said = body.get("created", body.get("created_at"))
    return float(said) if isinstance(said, int | float) and 0 < said < _LATEST_S else time.time()


def _checksum(status: int, endpoint: str, body: str) -> int:
    """SQLite has none of its own: a flipped bit in a text would go unnoticed."""
    return zlib.crc32(f"{status} {endpoint} {body}".encode())


class Cache(SqliteFile):
    """Answers by request. Raises `DataError` naming the file when it is damaged, no cache, or locked for a minute."""

    _isolation_level = None

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # A killed process loses nothing; after a power cut at most the last answers are asked again.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        if "checksum" not in {column[1] for column in connection.execute("PRAGMA table_info(answers)")}:
            # The cache of an earlier version, whose answers have none.
            connection.execute("ALTER TABLE answers ADD COLUMN checksum INTEGER")

    def get(self, request: Request) -> Answer | None:
        """The answer of a request, if there is one."""
        with self._named():
            row = self._connection.execute(
                "SELECT status, endpoint, body, checksum FROM answers WHERE key = ?", (bytes.fromhex(request.key),)
            ).fetchone()
        if row is None:
            return None
        status, endpoint, body, checksum = row
        if checksum not in (None, _checksum(status, endpoint, body)):
            raise DataError(
                f"cache {self._path}: an answer is not as it was stored; have it asked again: "
                f"sqlite3 {self._path} \"DELETE FROM answers WHERE key = x'{request.key}'\""
            )
        return read_answer(endpoint, json.loads(body)) if status == 200 else rejection(status, json.loads(body))

    def answered_at(self, request: Request) -> float | None:
        """When the answer of a request came, in seconds since 1970; None while there is none."""
        with self._named():
            row = self._connection.execute(
                "SELECT at FROM answers WHERE key = ?", (bytes.fromhex(request.key),)
            ).fetchone()
        return None if row is None else float(row[0])

    def put(self, origin: Sent, answer: Answer) -> bool:
        """Stores an answer for good, with status 200 or rejected; whether it is a new one."""
        body = answer.body if answer.status == 200 else answer.text
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        row = (
            *(bytes.fromhex(origin.key), origin.kind, origin.model, origin.revision, answer.served, answer.status),
            *(origin.endpoint, text, answer.prompt_tokens, answer.completion_tokens, _answered_at(answer)),
            _checksum(answer.status, origin.endpoint, text),
        )
        with self._named():
            marks = ", ".join("?" * len(row))
            return self._connection.execute(f"INSERT OR IGNORE INTO answers VALUES ({marks})", row).rowcount == 1

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything stored inside becomes durable at once: for many answers that are already on disk elsewhere."""
        with self._named():
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        with self._named():
            self._connection.execute("COMMIT")

    def trusts(self, model: str, revision: str) -> bool:
        """Whether the model has ever answered: only then is a rejection the request's fault."""
        with self._named():
            found = self._connection.execute(
                "SELECT 1 FROM answers WHERE model = ? AND revision = ? AND status = 200 LIMIT 1", (model, revision)
            )
            return found.fetchone() is not None

    def mark_sent(self, requests: Iterable[Sent]) -> None:
        """Remembers requests that stand in a batch file."""
        rows = ((bytes.fromhex(r.key), r.kind, r.model, r.revision, r.endpoint) for r in requests)
        with self.transaction():
            self._connection.executemany("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?, 1)", rows)

    def sent(self, key: str) -> Sent | None:
        """A request that stands in a batch file, by its key; None where there is none."""
        with self._named():
            row = self._connection.execute(
                "SELECT kind, model, revision, endpoint FROM sent WHERE key = ?", (bytes.fromhex(key),)
            ).fetchone()
        return None if row is None else Sent(key, *row)

    def waits(self, request: Request) -> bool:
        """Whether the request stands in a batch file that may still be answered."""
        with self._named():
            found = self._connection.execute(
                "SELECT 1 FROM sent WHERE key = ? AND waiting", (bytes.fromhex(request.key),)
            )
            return found.fetchone() is not None

    def release(self, origin: Sent) -> None:
        """Notes that the batch file failed for a request, so that another may ask for it."""
        with self._named():
            self._connection.execute("UPDATE sent SET waiting = 0 WHERE key = ?", (bytes.fromhex(origin.key),))

    def usage(self, model: str, revision: str) -> Usage:
        """What the model has answered so far, whichever build asked."""
        where = "WHERE model = ? AND revision = ?"
        with self._named():
            execute = self._connection.execute
            count, prompt, completion, last = execute(
                "SELECT count(*), total(prompt_tokens), total(completion_tokens), max(at) "
                f"FROM answers {where} AND status = 200",
                (model, revision),
            ).fetchone()
            recent, tokens, first = execute(
                f"SELECT count(*), total(prompt_tokens + completion_tokens), min(at) FROM answers {where} AND at > ?",
                (model, revision, (last or 0.0) - _RATE_WINDOW_S),
            ).fetchone()
            served = execute(
                f"SELECT served, count(*) FROM answers {where} AND status = 200 GROUP BY served ORDER BY served",
                (model, revision),
            ).fetchall()
        # Servers give whole seconds.
        span = max((last or 0.0) - (first or 0.0), 1.0)
        per_s = 1 / span if recent > 1 else 0.0
        return Usage(count, int(prompt), int(completion), recent * per_s, tokens * per_s, dict(served))
