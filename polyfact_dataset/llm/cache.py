"""Every answer of a model on disk: one SQLite file, shared by builds and processes.

An answer is keyed by its request (see `protocol.Request.key`). A row holds the response and no part of the request, so
that no label, key or account token can leak from here. Answers are only ever added. The file also records what is in
flight: requests in batch files (`sent`), and claims of processes that are waiting for an answer (`claims`).
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.sqlite import SqliteFile
from polyfact_dataset.llm.protocol import Answer, Request, read_answer, rejection

_RATE_WINDOW_S = 600.0
# The year 5138: a larger value is not in seconds.
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
    CREATE TABLE IF NOT EXISTS claims (key BLOB PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL);
"""
CACHE_NAME = "model-cache.sqlite"
# A claim of a killed process ends after this time; a live process renews its claims.
CLAIM_S = 30.0


@dataclass(frozen=True)
class Sent:
    """A request without its content: its key in hexadecimal, its kind, model, revision and endpoint."""

    key: str
    kind: str
    model: str
    revision: str
    endpoint: str

    @classmethod
    def of(cls, request: Request) -> Sent:
        return cls(request.key, request.kind, request.model, request.revision, request.endpoint)


@dataclass(frozen=True)
class ModelUsage:
    """The answers and tokens of a model so far, and both per second over the last ten minutes of work."""

    answers: int
    prompt_tokens: int
    completion_tokens: int
    answers_per_s: float
    tokens_per_s: float
    served: dict[str, int]


def _answered_at(answer: Answer) -> float:
    """The server's time stamp, else now: a batch file is read long after it was answered."""
    body = answer.body or {}
    created = body.get("created", body.get("created_at"))
    return float(created) if isinstance(created, int | float) and 0 < created < _LATEST_S else time.time()


def _checksum(status: int, endpoint: str, body: str) -> int:
    """SQLite stores no checksums: a flipped bit in a text would go unnoticed."""
    return zlib.crc32(f"{status} {endpoint} {body}".encode())


class Cache(SqliteFile):
    """Answers by request. Raises `DataError` naming a file that is damaged, not a cache, or locked for a minute."""

    _isolation_level = None

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # FULL: the log is synced at each commit, before a request that depends on its answers. With NORMAL it would be
        # synced at checkpoints only. Answers of a few milliseconds share a commit.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        if "checksum" not in {column[1] for column in connection.execute("PRAGMA table_info(answers)")}:
            # The cache of an earlier version, whose answers have no checksum.
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
                f"cache {self._path}: an answer differs from what was stored; delete it to request it again: "
                f"sqlite3 {self._path} \"DELETE FROM answers WHERE key = x'{request.key}'\""
            )
        value = msgspec.json.decode(body)
        return read_answer(endpoint, value) if status == 200 else rejection(status, value)

    def answered_at(self, request: Request) -> float | None:
        """The time of a request's answer, in seconds since 1970; None while it has no answer."""
        with self._named():
            row = self._connection.execute(
                "SELECT at FROM answers WHERE key = ?", (bytes.fromhex(request.key),)
            ).fetchone()
        return None if row is None else float(row[0])

    def put(self, origin: Sent, answer: Answer) -> bool:
        """Stores an answer, with status 200 or rejected, and ends its claim; whether it is new."""
        body = answer.body if answer.status == 200 else answer.text
        text = msgspec.json.encode(body).decode()
        row = (
            *(bytes.fromhex(origin.key), origin.kind, origin.model, origin.revision, answer.served, answer.status),
            *(origin.endpoint, text, answer.prompt_tokens, answer.completion_tokens, _answered_at(answer)),
            _checksum(answer.status, origin.endpoint, text),
        )
        with self._named():
            marks = ", ".join("?" * len(row))
            new = self._connection.execute(f"INSERT OR IGNORE INTO answers VALUES ({marks})", row).rowcount == 1
            self._connection.execute("DELETE FROM claims WHERE key = ?", row[:1])
        return new

    # ------------------------------------------------------------ claims
    def claim(self, key: str, owner: str) -> bool:
        """Claims a request for `owner` for `CLAIM_S` seconds; False while another owner's claim is valid."""
        now = time.time()
        with self._named():
            cursor = self._connection.execute(
                "INSERT INTO claims VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
                "SET owner = excluded.owner, until = excluded.until WHERE until < ? OR owner = excluded.owner",
                (bytes.fromhex(key), owner, now + CLAIM_S, now),
            )
        return cursor.rowcount == 1

    def renew_claims(self, owner: str) -> None:
        """Extends all claims of `owner` to `CLAIM_S` from now."""
        with self._named():
            self._connection.execute("UPDATE claims SET until = ? WHERE owner = ?", (time.time() + CLAIM_S, owner))

    def end_claims(self, owner: str, key: str | None = None) -> None:
        """Ends one claim of `owner`, or all of them."""
        query, values = "DELETE FROM claims WHERE owner = ?", [owner]
        with self._named():
            if key is None:
                self._connection.execute(query, values)
            else:
                self._connection.execute(f"{query} AND key = ?", (owner, bytes.fromhex(key)))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads inside see one state of the file; each read outside takes and releases the file's lock."""
        if self._connection.in_transaction:
            yield
            return
        with self._named():
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            with self._named():
                self._connection.execute("COMMIT")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits everything stored inside at once."""
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
        """Whether the model has ever answered; until then a rejection may have a cause that all requests share."""
        with self._named():
            cursor = self._connection.execute(
                "SELECT 1 FROM answers WHERE model = ? AND revision = ? AND status = 200 LIMIT 1", (model, revision)
            )
            return cursor.fetchone() is not None

    def mark_sent(self, requests: Iterable[Sent]) -> None:
        """Records requests that are in a batch file."""
        rows = ((bytes.fromhex(r.key), r.kind, r.model, r.revision, r.endpoint) for r in requests)
        with self.transaction():
            self._connection.executemany("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?, 1)", rows)

    def sent(self, key: str) -> Sent | None:
        """A request that is in a batch file, by its key, or None."""
        with self._named():
            row = self._connection.execute(
                "SELECT kind, model, revision, endpoint FROM sent WHERE key = ?", (bytes.fromhex(key),)
            ).fetchone()
        return None if row is None else Sent(key, *row)

    def waits(self, request: Request) -> bool:
        """Whether the request is in a batch file that may still be answered."""
        with self._named():
            cursor = self._connection.execute(
                "SELECT 1 FROM sent WHERE key = ? AND waiting", (bytes.fromhex(request.key),)
            )
            return cursor.fetchone() is not None

    def release(self, origin: Sent) -> None:
        """Records that a batch file failed for a request, so that a later one may include it."""
        with self._named():
            self._connection.execute("UPDATE sent SET waiting = 0 WHERE key = ?", (bytes.fromhex(origin.key),))

    def usage(self, model: str, revision: str) -> ModelUsage:
        """The answers of a model so far, of all builds."""
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
        return ModelUsage(count, int(prompt), int(completion), recent * per_s, tokens * per_s, dict(served))
