"""Stage `candidates`: selects the statements that may become facts, in a seeded order per relation.

DuckDB processes the extracted tables in one out-of-core pass. Each statement is kept or rejected with the first
reason that applies, in the order of `_REASONS`. The last reason is `beyond_pool`, which depends on the place in the
pool. A relation's pool begins with the facts whose ends are labelled in all languages, so that a backfill is used
only where these do not suffice.
"""

from __future__ import annotations

import math

import duckdb

from polyfact_dataset.catalog.language import language
from polyfact_dataset.catalog.relation import all_relations, ended
from polyfact_dataset.common.database import connect, one_row_per_id, parquet_files, write_query
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.config.build import Config
from polyfact_dataset.facts.answer_types import UNEXPECTED, register_answer_classes, types_for_review
from polyfact_dataset.facts.written_labels import register_written_labels
from polyfact_dataset.pipeline.context import Context, Report, Tally
from polyfact_dataset.pipeline.stages import EXTRACT
from polyfact_dataset.schema import CANDIDATES, REJECTS, TRUE_OBJECTS
from polyfact_dataset.wikidata.extract import is_cut_off

# Wikimedia's internal pages are items, too: disambiguations, lists, categories, templates, name items.
_NOT_A_SUBJECT = (
    "Q4167410",
    "Q13406463",
    "Q4167836",
    "Q11266439",
    "Q15184295",
    "Q101352",
    "Q202444",
    "Q11879590",
    "Q12308941",
    "Q3409032",
)

# A minor planet is named with its number, which may look like a year: 1955 McMath.
_ASTEROID = "Q3863"

# (reason, SQL condition over one row of `judged`), the first that applies decides.
_REASONS: tuple[tuple[str, str], ...] = (
    ("repeated", "copy > 1"),
    ("deprecated", "rank = 'deprecated'"),
    ("not_best_rank", "NOT truthy"),
    ("ended", "ended AND NOT past"),
    ("self_reference", "subject = object"),
    ("subject_not_a_thing", "subject_page"),
    ("subject_is_no_more", "subject_ended AND present"),
    ("object_not_in_dump", "object_coverage IS NULL AND NOT $backfill"),
    ("subject_unlabelled", "subject_coverage < $min_languages"),
    ("object_unlabelled", "object_coverage < $min_languages"),
    ("unexpected_type", "unexpected"),
    ("catalogue_designation", "catalogue"),
    ("not_unique", "single AND values > 1"),
)


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on."""
    return {
        "seed": config.seed,
        "facts": config.facts,
        "languages": config.languages,
        "relations": config.relations,
        "candidates": config.candidates.model_dump(),
        "min_languages": config.min_languages,
        "backfill": config.backfill.enabled,
    }


def _codes(code: str) -> list[str]:
    """The codes of labels that name an entity in a language."""
    entry = language(code)
    return [*entry.labels, *(["mul"] if entry.mul else [])]


def _coverage(languages: tuple[str, ...]) -> str:
    """SQL: in how many languages an entity has a label, a variant, a Wikipedia title or, for Latin script, `mul`."""
    terms = []
    for code in languages:
        listed = ", ".join(f"'{name}'" for name in _codes(code))
        terms.append(f"(list_has_any(codes, [{listed}]) OR list_contains(wikis, '{language(code).wiki}'))::INT")
    return " + ".join(terms)


def _prepare(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Temporary tables: `entity` (coverage and English label), `redirect`, and `judged` of `_judge`."""
    pages, no_more, still = (
        ", ".join(f"'{qid}'" for qid in listed) for listed in (_NOT_A_SUBJECT, ended().types, ended().unless)
    )
    english = ", ".join(f"'{code}'" for code in (*language("en").labels, "mul"))
    register_written_labels(connection, context)
    connection.execute(
        f"""
        CREATE TEMP TABLE entity AS
        WITH named AS (
            SELECT id, types, sitelinks, titles, e.labels AS own_labels,
                   list_concat(e.labels, coalesce(w.labels, [])) AS labels
            FROM parquet($entities) e LEFT JOIN written_label w ON w.entity_id = id WHERE kind = 'item'
        ), raw AS (
            SELECT id, types, own_labels AS labels, sitelinks,
                   list_transform(labels, lambda x: x.code) AS codes,
                   list_transform(titles, lambda x: x.code) AS wikis,
                   list_filter(labels, lambda x: list_contains([{english}], x.code)) AS english
            FROM named
        )
        SELECT id, {_coverage(context.config.languages)} AS coverage,
               list_has_any(types, [{pages}]) AS page,
               list_has_any(types, [{no_more}]) AND NOT list_has_any(types, [{still}]) AS ended,
               list_contains(types, '{_ASTEROID}') AS asteroid,
               coalesce(english[1].text, '') AS english
        FROM raw
        QUALIFY {one_row_per_id()}
        """,
        {"entities": parquet_files(context.path("entities"))},
    )
    connection.execute(
        """
        CREATE TEMP TABLE redirect AS
        SELECT redirected_from AS source, min(id) AS target FROM parquet($entities)
        WHERE redirected_from IS NOT NULL GROUP BY ALL
        """,
        {"entities": parquet_files(context.path("entities"))},
    )
    connection.execute(
        "CREATE TEMP TABLE judged_object AS SELECT object FROM parquet($statements) UNION SELECT target FROM redirect",
        {"statements": parquet_files(context.path("statements"))},
    )
    register_answer_classes(connection, parquet_files(context.path("entities")))
    _judge(connection, context)


def _judge(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Temporary table `judged`: statements with their objects resolved, the first reason against each, or its rank."""
    config, relations = context.config, all_relations().values()
    multi, past, present = (
        ", ".join(f"'{relation.id}'" for relation in chosen) or "''"
        for chosen in (
            [r for r in relations if r.values == "multi"],
            [r for r in relations if r.past],
            [r for r in relations if r.present],
        )
    )
    patterns = "|".join(f"(?:{pattern})" for pattern in config.candidates.catalogue_patterns) or "^$."
    connection.execute(
        rf"""
        CREATE TEMP TABLE judged AS
        WITH resolved AS (
            SELECT subject, property, coalesce(target, object) AS object, rank, truthy, ended
            FROM parquet($statements) LEFT JOIN redirect ON source = object
        ), counted AS (
            SELECT *, row_number() OVER (
                       PARTITION BY subject, property, object
                       ORDER BY (truthy AND NOT ended) DESC, truthy DESC, ended, rank) AS copy
            FROM resolved
        ), valued AS (
            SELECT *, count(*) FILTER (copy = 1 AND truthy AND NOT ended)
                      OVER (PARTITION BY subject, property) AS values
            FROM counted
        ), joined AS (
            SELECT v.*, subject || '|' || property || '|' || object AS fact_id,
                   s.coverage AS subject_coverage, o.coverage AS object_coverage,
                   s.page AS subject_page, s.ended AS subject_ended, property IN ({present}) AS present,
                   property NOT IN ({multi}) AS single, property IN ({past}) AS past,
                   regexp_matches(s.english, $patterns) OR (s.asteroid AND regexp_matches(s.english, '^\d+ '))
                   AS catalogue,
                   {UNEXPECTED} AS unexpected
            FROM valued v JOIN entity s ON s.id = subject LEFT JOIN entity o ON o.id = object
            LEFT JOIN classified ON classified.id = object
        ), eligible AS (
            SELECT *, {_first_reason()} AS early FROM joined
        )
        SELECT *, CASE WHEN early IS NULL THEN row_number() OVER (
                      PARTITION BY property, early IS NULL
                      ORDER BY least(subject_coverage, coalesce(object_coverage, 0)) < $languages,
                               md5($seed || ':candidates:' || fact_id), fact_id) END AS priority
        FROM eligible
        """,
        {
            "statements": parquet_files(context.path("statements")),
            "min_languages": config.min_languages,
            "languages": len(config.languages),
            "backfill": config.backfill.enabled,
            "patterns": patterns,
            "seed": str(config.seed),
        },
    )


def _first_reason() -> str:
    cases = " ".join(f"WHEN {condition} THEN '{reason}'" for reason, condition in _REASONS)
    return f"CASE {cases} END"


def _require_names(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Raises `DataError` naming the languages in which no entity has a name, if there are any."""
    codes_with_names = {
        code
        for (code,) in connection.execute(
            """
            SELECT DISTINCT name.code FROM (
                SELECT unnest(labels) AS name FROM parquet($entities)
                UNION ALL SELECT unnest(labels) FROM written_label)
            UNION SELECT DISTINCT title.code FROM (SELECT unnest(titles) AS title FROM parquet($entities))
            """,
            {"entities": parquet_files(context.path("entities"))},
        ).fetchall()
    }
    nameless = [
        code for code in context.config.languages if codes_with_names.isdisjoint({*_codes(code), language(code).wiki})
    ]
    if nameless:
        raise DataError(
            f"no statement can be a fact: no entity has a name in {', '.join(nameless)}; "
            "remove them from languages, or give a table of names (--labels)"
        )


def _tally(connection: duckdb.DuckDBPyConnection) -> Tally:
    """The statements of each relation that are kept, and those rejected by reason."""
    tally = Tally()
    query = "SELECT property, reason, count(*) FROM decided GROUP BY ALL ORDER BY ALL"
    for relation, reason, number in connection.execute(query).fetchall():
        tally.count(relation, reason, number)
    return tally


def run(context: Context) -> Report:
    """Writes `candidates`, `true_objects` (for the candidates' subjects) and `rejects`."""
    config, extracted = context.config, context.entry(EXTRACT)["counts"]
    if is_cut_off(extracted):
        raise DataError(
            "the dump begins with [ but does not end with ]: it is truncated; download it again, or "
            "`polyfact merge` the "
            "extractions of all files of a split dump"
        )
    share = config.candidates.pool_factor * config.facts / len(config.relations)
    pool = max(math.ceil(share), config.candidates.min_pool)
    symmetric = ", ".join(f"'{relation.id}'" for relation in all_relations().values() if relation.symmetric) or "''"
    with connect(context.folder) as connection:
        _prepare(connection, context)
        connection.execute(
            "CREATE TEMP TABLE decided AS "
            "SELECT *, CASE WHEN early IS NULL AND priority > $pool THEN 'beyond_pool' ELSE early END AS reason "
            "FROM judged",
            {"pool": pool},
        )
        kept = write_query(
            connection,
            "SELECT fact_id, subject AS subject_id, property AS property_id, object AS object_id, priority "
            "FROM decided WHERE reason IS NULL ORDER BY property_id, priority",
            CANDIDATES,
            context.target("candidates"),
        )
        write_query(
            connection,
            f"""
            WITH stated AS (
                SELECT subject, property, object FROM judged
                UNION SELECT object, property, subject FROM judged WHERE property IN ({symmetric})
            )
            SELECT subject AS subject_id, property AS property_id, list(object ORDER BY object) AS objects
            FROM stated WHERE (subject, property) IN (SELECT (subject, property) FROM decided WHERE reason IS NULL)
            GROUP BY ALL ORDER BY subject_id, property_id
            """,
            TRUE_OBJECTS,
            context.target("true_objects"),
        )
        write_query(
            connection,
            "SELECT fact_id, property AS property_id, reason FROM decided WHERE reason IS NOT NULL "
            "ORDER BY property_id, fact_id, reason",
            REJECTS,
            context.target("rejects"),
        )
        tally = _tally(connection)
        if not kept and tally.input:
            _require_names(connection, context)
        review = types_for_review(connection, parquet_files(context.path("entities")))
    return Report({"candidates": kept, "pool": pool, "types_for_review": review}, tally)
