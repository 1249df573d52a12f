"""Stage `backfill`: labels of candidates that the dump lacks, from Wikidata's API. Off by default.

It requests subjects and objects of candidates that have no usable label in some language, and objects that the dump
does not contain. Redirects are replaced by their targets; candidates with a deleted subject or object are dropped. When
disabled, it sends no requests and the candidates are unchanged.
"""

from __future__ import annotations

from collections import Counter

import duckdb
import msgspec
import pyarrow as pa

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.database import connect, one_row_per_id, parquet_files, stream, write_query
from polyfact_dataset.common.errors import DataError, RetryableError
from polyfact_dataset.common.files import parquet_writer
from polyfact_dataset.config.build import Config
from polyfact_dataset.facts.labels import Texts, resolve
from polyfact_dataset.pipeline.context import Context, Report, Tally
from polyfact_dataset.schema import ANSWERS, CANDIDATES, FETCHED, REJECTS, TRUE_OBJECTS
from polyfact_dataset.wikidata.api import Client, Outcome
from polyfact_dataset.wikidata.cache import Cache
from polyfact_dataset.wikidata.columns import Rows
from polyfact_dataset.wikidata.entities import Reader
from polyfact_dataset.wikidata.extract import extracted_fields

CACHE_NAME = "wikidata-cache.sqlite"
_ROWS_AT_ONCE = 5_000


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on, in addition to the answers of the API."""
    return {"enabled": config.backfill.enabled, "languages": config.languages if config.backfill.enabled else None}


def lacking(connection: duckdb.DuckDBPyConnection, context: Context) -> tuple[list[str], list[str]]:
    """Sorted ids of subjects and objects that lack a label in some language, and of those that the dump lacks."""
    entries = [language(code) for code in context.config.languages]
    query = f"""
        WITH ends AS (
            SELECT subject_id AS id FROM parquet($candidates)
            UNION SELECT object_id FROM parquet($candidates)
        ), in_dump AS (
            SELECT id, labels, aliases, titles FROM parquet($entities) WHERE kind = 'item'
            QUALIFY {one_row_per_id()}
        )
        SELECT id, in_dump.id IS NOT NULL AS is_in_dump, labels, aliases, titles
        FROM ends LEFT JOIN in_dump USING (id) ORDER BY id
    """
    parameters = {
        "candidates": parquet_files(context.path("candidates")),
        "entities": parquet_files(context.path("entities")),
    }
    incomplete, absent = [], []
    for batch in stream(connection, query, parameters):
        for row in batch.to_pylist():
            if not row["is_in_dump"]:
                absent.append(row["id"])
                continue
            texts = Texts.of(row)
            if any(resolve(entry, texts) is None for entry in entries):
                incomplete.append(row["id"])
    return incomplete, absent


class _Head(msgspec.Struct):
    """The fields of a cached answer that are read here."""

    id: str
    lastrevid: int


class _Writer:
    """Turns cached answers into the tables `fetched` and `answers`, in the order of the ids."""

    def __init__(self, reader: Reader, fetched: object, answers: object) -> None:
        self._reader, self._fetched, self._answers = reader, fetched, answers
        self._rows, self._answered = Rows(), list[dict[str, object]]()
        self.status: Counter[str] = Counter()

    def add(self, requested_id: str, entity: bytes | None) -> None:
        if entity is None:
            self._answer(requested_id, "deleted", None, None)
            return
        try:
            head = msgspec.json.decode(entity, type=_Head)
        except (msgspec.DecodeError, RecursionError) as error:
            raise DataError(
                f"the cached answer for {requested_id} is not an entity ({error}); remove the cache, then "
                "rerun the same command"
            ) from error
        self._reader.read(entity, 1, self._rows)
        self._answer(requested_id, "found" if head.id == requested_id else "redirect", head.id, head.lastrevid)
        if len(self._answered) >= _ROWS_AT_ONCE:
            self.flush()

    def _answer(self, requested_id: str, status: str, qid: str | None, revision: int | None) -> None:
        self.status[status] += 1
        self._answered.append({"asked": requested_id, "status": status, "id": qid, "revision": revision})

    def flush(self) -> None:
        entities = self._rows.tables()[0]
        self._fetched.write_table(entities)  # type: ignore[attr-defined]
        self._answers.write_table(pa.Table.from_pylist(self._answered, schema=ANSWERS.schema))  # type: ignore[attr-defined]
        self._rows, self._answered = Rows(), []


def _resolve_redirects(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Temporary tables: `moved` (redirected or deleted ids), `resolved` (candidates with new ids, or the reason)."""
    connection.execute(
        """
        CREATE TEMP TABLE moved AS
        SELECT asked, min(id) AS target, bool_or(status = 'deleted') AS deleted
        FROM parquet($answers) WHERE status <> 'found' GROUP BY asked
        """,
        {"answers": str(context.target("answers"))},
    )
    connection.execute(
        """
        CREATE TEMP TABLE resolved AS
        WITH followed AS (
            SELECT coalesce(s.target, subject_id) AS subject_id, property_id,
                   coalesce(o.target, object_id) AS object_id, priority,
                   coalesce(s.deleted, false) AS subject_deleted, coalesce(o.deleted, false) AS object_deleted
            FROM parquet($candidates)
            LEFT JOIN moved s ON s.asked = subject_id LEFT JOIN moved o ON o.asked = object_id
        )
        SELECT subject_id || '|' || property_id || '|' || object_id AS fact_id, *,
               CASE WHEN subject_deleted THEN 'subject_deleted' WHEN object_deleted THEN 'object_deleted'
                    WHEN subject_id = object_id THEN 'self_reference'
                    WHEN row_number() OVER (
                        PARTITION BY subject_id, property_id, object_id ORDER BY priority) > 1 THEN 'repeated'
               END AS reason
        FROM followed
        """,
        {"candidates": parquet_files(context.path("candidates"))},
    )


def _write_resolved(connection: duckdb.DuckDBPyConnection, context: Context) -> Tally:
    """Writes `candidates`, `true_objects` and `rejects`, with every redirected id replaced by that of its target."""
    _resolve_redirects(connection, context)
    columns = ", ".join(CANDIDATES.schema.names)
    write_query(
        connection,
        f"SELECT {columns} FROM resolved WHERE reason IS NULL ORDER BY property_id, priority",
        CANDIDATES,
        context.target("resolved_candidates"),
    )
    write_query(
        connection,
        "SELECT fact_id, property_id, reason FROM resolved WHERE reason IS NOT NULL ORDER BY property_id, priority",
        REJECTS,
        context.target("rejects"),
    )
    write_query(
        connection,
        """
        WITH one AS (SELECT subject_id, property_id, unnest(objects) AS object FROM parquet($true_objects))
        SELECT coalesce(s.target, subject_id) AS subject_id, property_id,
               list_sort(list(DISTINCT coalesce(o.target, object))) AS objects
        FROM one LEFT JOIN moved s ON s.asked = subject_id LEFT JOIN moved o ON o.asked = object
        GROUP BY ALL ORDER BY ALL
        """,
        TRUE_OBJECTS,
        context.target("resolved_true_objects"),
        {"true_objects": parquet_files(context.path("true_objects"))},
    )
    tally = Tally()
    query = "SELECT property_id, reason, count(*) FROM resolved GROUP BY ALL ORDER BY ALL"
    for relation, reason, number in connection.execute(query).fetchall():
        tally.count(relation, reason, number)
    return tally


def _fetch(context: Context, incomplete: list[str], absent: list[str], writer: _Writer) -> int:
    """Requests the ids and passes the answers to the writer; returns the number of ids without an answer.

    Raises `RetryableError` when a request failed permanently, after all obtainable answers are in the cache.
    """
    config, log = context.config.backfill, context.log
    groups = (("with labels lacking", incomplete, False), ("not in the dump", absent, True))
    with Cache(config.cache or context.out / CACHE_NAME) as cache:
        client = Client(config, cache, Reader(extracted_fields(context.config)), log)
        outcomes = []
        for what, ids, claims in groups:
            outcomes.append(client.fetch(ids, claims))
            log.line(f"backfill: {len(ids):,} ids {what}: {outcomes[-1]}")
        failed = [qid for outcome in outcomes for qid in outcome.failed]
        if failed and not config.offline:
            raise RetryableError(_unanswered(failed, outcomes))
        for _, ids, claims in groups:
            for asked, entity in cache.read(ids, client.key(claims)):
                writer.add(asked, entity)
    if failed:
        log.line(f"backfill: {len(failed):,} ids are not in the cache; run without --offline to request them")
    return len(failed)


def _unanswered(failed: list[str], outcomes: list[Outcome]) -> str:
    named = ", ".join(failed[:3]) + (", ..." if len(failed) > 3 else "")
    error = next(outcome.last_error for outcome in outcomes if outcome.last_error)
    return (
        f"Wikidata's API gave no answer for {len(failed):,} ids ({named}): {error}; "
        "rerun the same command to request only these, or continue without them with --offline"
    )


def run(context: Context) -> Report:
    """Writes `answers` and `fetched`, and the candidates with redirects followed: `candidates`, `true_objects`."""
    pending = 0
    with connect(context.folder) as connection:
        with (
            parquet_writer(context.target("fetched"), FETCHED.schema) as fetched,
            parquet_writer(context.target("answers"), ANSWERS.schema) as answers,
        ):
            writer = _Writer(Reader(extracted_fields(context.config)), fetched, answers)
            if context.config.backfill.enabled:
                pending = _fetch(context, *lacking(connection, context), writer)
            writer.flush()
        tally = _write_resolved(connection, context)
    counts = {name: writer.status[name] for name in ("found", "redirect", "deleted")}
    return Report({**counts, "pending": pending, "candidates": sum(tally.kept.values())}, tally, pending)
