"""Stage `namesakes`: subjects whose name does not identify them, and the descriptions that distinguish them.

Two subjects of one relation with the same label in a language make its question unanswerable. The other subject
may be any item: every item of the dump with a statement of the relation counts, unless the statement is
deprecated. Three rules keep a fact:

1. The other subject is much less known (`namesakes.min_sitelinks_share`): the name means the known one.
2. Every other subject has the same answer: the question still has one answer.
3. Short descriptions distinguish them: they exist in all languages, differ from those of the others, and do not name
   an answer of the relation. Relations whose answer descriptions usually contain do not use this rule.

Answers of the other subjects are never distractors (`excluded_answers`), regardless of the rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import duckdb
import pyarrow as pa

from polyfact_dataset.catalog.language import Language, language
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.database import connect, parquet_files, stream
from polyfact_dataset.common.files import parquet_writer
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.config.build import Config
from polyfact_dataset.facts.answer_names import AnswerNames
from polyfact_dataset.facts.labels import usable
from polyfact_dataset.pipeline.context import Context, Report
from polyfact_dataset.schema import TRUE_OBJECTS, disambiguations

# The form in which DuckDB compares names; `text.normalise` folds more, but only in Python.
_KEY = "lower(nfc_normalize({}))"


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on."""
    return {"languages": config.languages, "namesakes": config.namesakes.model_dump()}


def _codes(entry: Language) -> tuple[str, ...]:
    """The Wikidata codes of a language's labels, the one that is shown first."""
    return (*entry.labels, *(("mul",) if entry.mul else ()))


def _prepare(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Temporary tables: `chain` (code, language, codes tried before it), `asked` (subjects) and `shown` (their names).

    In languages shipped in Simplified Chinese a subject is also known by its labels before their conversion.
    """
    languages = [language(code) for code in context.config.languages]
    connection.execute("CREATE TEMP TABLE chain (code TEXT, language TEXT, earlier TEXT[], unconverted BOOL)")
    for entry in languages:
        codes = _codes(entry)
        rows = [(code, entry.code, list(codes[:n]), "Hans" in entry.scripts) for n, code in enumerate(codes)]
        connection.executemany("INSERT INTO chain VALUES (?, ?, ?, ?)", rows)
    connection.execute(
        "CREATE TEMP TABLE asked AS SELECT DISTINCT subject_id, property_id FROM parquet($candidates)",
        {"candidates": parquet_files(context.path("resolved_candidates"))},
    )
    texts = " UNION ALL ".join(
        f"""SELECT entity_id AS id, '{entry.code}' AS language, "{entry.code}".text AS text FROM resolved_label"""
        for entry in languages
    )
    connection.execute(
        f"""
        CREATE TEMP TABLE shown AS
        WITH resolved_label AS (
            SELECT * FROM parquet($labels) WHERE entity_id IN (SELECT subject_id FROM asked)
        ), dump_label AS (
            SELECT id, unnest(labels) AS label FROM parquet($entities)
            WHERE kind = 'item' AND id IN (SELECT subject_id FROM asked)
        ), named AS (
            {texts}
            UNION ALL SELECT id, language, label.text FROM dump_label JOIN chain ON code = label.code WHERE unconverted
        )
        SELECT DISTINCT id, language, {_KEY.format("text")} AS key FROM named WHERE text IS NOT NULL
        """,
        {
            "labels": parquet_files(context.path("labels")),
            "entities": parquet_files(context.path("entities")),
        },
    )


def _find(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Temporary table `pair`: (subject_id, property_id, language, other), `other` being a namesake of the subject.

    One pass over the labels of the dump, and over the names shown of candidates' subjects, which may be titles.
    """
    tables = {
        "entities": parquet_files(context.path("entities")),
        "labels": parquet_files(context.path("labels")),
        "statements": parquet_files(context.path("statements")),
    }
    connection.execute(
        "CREATE TEMP TABLE subject AS SELECT DISTINCT subject AS id, property FROM parquet($statements) "
        "WHERE rank <> 'deprecated'",
        {"statements": tables["statements"]},
    )
    named = []
    for entry in map(language, context.config.languages):
        first = ", ".join(f"labels['{code}']" for code in _codes(entry))
        named.append(f"{{'language': '{entry.code}', 'text': coalesce({first})}}")
    # Rows may be repeated: `pair` removes the duplicates, which here would take too much memory.
    connection.execute(
        f"""
        CREATE TEMP TABLE namesake AS
        WITH labelled AS (
            SELECT id, sitelinks, map_from_entries(labels) AS labels FROM parquet($entities)
            WHERE kind = 'item' AND len(labels) > 0 AND id IN (SELECT id FROM subject)
        ), named AS (SELECT id, sitelinks, unnest([{", ".join(named)}], recursive := true) FROM labelled)
        SELECT id, language, key, sitelinks
        FROM (SELECT id, sitelinks, language, {_KEY.format("text")} AS key FROM named WHERE text IS NOT NULL)
        SEMI JOIN shown USING (language, key)
        UNION ALL SELECT shown.id, language, key, sitelinks FROM shown
        JOIN parquet($labels) ON entity_id = shown.id
        """,
        {"entities": tables["entities"], "labels": tables["labels"]},
    )
    connection.execute(
        """
        CREATE TEMP TABLE pair AS
        WITH known AS (SELECT entity_id AS id, sitelinks FROM parquet($labels))
        SELECT subject_id, property_id, language, n.id AS other,
               bool_or(n.sitelinks >= $share * known.sitelinks) AS close
        FROM asked
        JOIN shown ON shown.id = subject_id
        JOIN known ON known.id = subject_id
        JOIN namesake n USING (language, key)
        JOIN subject s ON s.id = n.id AND s.property = property_id
        WHERE n.id <> subject_id GROUP BY ALL
        """,
        {"labels": tables["labels"], "share": context.config.namesakes.min_sitelinks_share},
    )


def _answers(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Temporary table `answer`: (subject_id, property_id, shared_answers, excluded_answers) of subjects with namesakes.

    `shared_answers` are objects of all close namesakes, `excluded_answers` those of any namesake.
    """
    connection.execute(
        """
        CREATE TEMP TABLE answer AS
        WITH other AS (
            SELECT subject_id, property_id, other, bool_or(close) AS close FROM pair GROUP BY ALL
        ), stated AS (
            SELECT DISTINCT subject_id, property_id, other, close, object
            FROM other JOIN parquet($statements) ON subject = other AND property = property_id
            WHERE rank <> 'deprecated'
        ), counted AS (
            SELECT subject_id, property_id, object, count(*) FILTER (close) AS times
            FROM stated GROUP BY ALL
        ), needed AS (
            SELECT subject_id, property_id, count(*) FILTER (close) AS others FROM other GROUP BY ALL
        )
        SELECT subject_id, property_id,
               coalesce(list(object ORDER BY object) FILTER (others > 0 AND times = others), []) AS shared_answers,
               list(object ORDER BY object) AS excluded_answers
        FROM counted JOIN needed USING (subject_id, property_id) GROUP BY ALL
        """,
        {"statements": parquet_files(context.path("statements"))},
    )


_DESCRIPTIONS = """
WITH described AS (SELECT subject_id AS id FROM pair WHERE close UNION SELECT other FROM pair WHERE close),
    candidate_text AS (
        SELECT id, unnest(descriptions) AS description, 0 AS place FROM parquet($entities)
        JOIN described USING (id)
        UNION ALL
        SELECT id, unnest(descriptions), 1 FROM parquet($fetched) JOIN described USING (id)
    ), resolved AS (
        SELECT id, language, arg_min(description.text, (place, len(earlier), description.text)) AS text
        FROM candidate_text JOIN chain ON code = description.code WHERE code <> 'mul' GROUP BY ALL
    ), other AS (
        SELECT subject_id, property_id, language, list(DISTINCT text ORDER BY text) AS others
        FROM pair LEFT JOIN resolved r USING (language) WHERE r.id = other AND close GROUP BY ALL
    ), shared AS (
        SELECT subject_id, property_id, list({'language': language, 'others': coalesce(others, [])} ORDER BY language)
               AS shared
        FROM (SELECT DISTINCT subject_id, property_id, language FROM pair WHERE close)
        LEFT JOIN other USING (subject_id, property_id, language) GROUP BY ALL
    ), subject_text AS (
        SELECT id, list({'language': language, 'text': text} ORDER BY language) AS texts FROM resolved GROUP BY id
    ), stated AS (
        SELECT subject_id, property_id, list(object_id ORDER BY object_id) AS answers
        FROM parquet($candidates) GROUP BY ALL
    )
    SELECT a.*, coalesce(shared, []) AS shared, subject_text.texts AS descriptions, stated.answers,
           l.sitelinks, l.en.text AS name
    FROM answer a JOIN stated USING (subject_id, property_id) LEFT JOIN shared USING (subject_id, property_id)
    LEFT JOIN subject_text ON subject_text.id = subject_id JOIN parquet($labels) l ON l.entity_id = subject_id
    ORDER BY subject_id, property_id
"""
_LISTED = 100


def answer_names(connection: duckdb.DuckDBPyConnection, context: Context, relation: str) -> AnswerNames:
    """All names of the answers of a relation's candidates, in each language."""
    codes = context.config.languages
    shown = ", ".join(f'"{code}".text' for code in codes)
    listed = ", ".join(f'flatten(list("{code}") FILTER ("{code}" IS NOT NULL))' for code in codes)
    labels, aliases = (
        connection.execute(
            f"""
            SELECT {columns} FROM parquet($names) WHERE entity_id IN (
                SELECT object_id FROM parquet($candidates) WHERE property_id = $relation
            )
            """,
            {
                "names": parquet_files(context.path(table)),
                "candidates": parquet_files(context.path("resolved_candidates")),
                "relation": relation,
            },
        ).fetchall()
        for columns, table in ((shown, "labels"), (listed, "answer_aliases"))
    )
    names = {
        code: {name for row in labels if (name := row[place]) is not None}.union(aliases[0][place] or ())
        for place, code in enumerate(codes)
    }
    return AnswerNames(names, people=all_relations()[relation].people == "answers")


def describe(
    shared: Mapping[str, Sequence[str]],
    descriptions: Mapping[str, str],
    languages: Sequence[str],
    names: Callable[[], AnswerNames] | None = None,
) -> dict[str, str | None]:
    """The columns `code`, `fault` and the descriptions of a row of `schema.disambiguations`.

    `shared` maps a language in which the name is shared to the namesakes' descriptions, `descriptions` a language to
    the subject's description. The subject's description suffices where a namesake has none. No description may mention
    one of `names()`, the answers of the relation.
    """
    first = next(code for code in languages if code in shared)
    row: dict[str, str | None] = {"code": first, "fault": None}
    for code in languages:
        entry = language(code)
        row[code] = text = usable(descriptions.get(code, ""), entry)
        others = {normalise(text) for other in shared.get(code, ()) if (text := usable(other, entry))}
        if row["fault"] is not None:
            continue
        if row[code] is None:
            row["fault"] = f"namesake_no_description:{code}"
        elif normalise(row[code] or "") in others:
            row["fault"] = f"namesake_same_description:{code}"
        elif names is not None and names().mentioned(row[code] or "", code) is not None:
            row["fault"] = f"namesake_description_answers:{code}"
    return row


def _plain(languages: Sequence[str]) -> dict[str, str | None]:
    """The columns of a row whose subject needs no description."""
    return {"code": None, "fault": None, **dict.fromkeys(languages)}


def _decide(
    row: Mapping[str, Any], languages: Sequence[str], names: Callable[[], AnswerNames]
) -> tuple[str, dict[str, str | None]]:
    """The rule that keeps the facts of one subject in a relation (`lost`: none), and the columns of its row."""
    if not row["shared"]:
        return "less_known", _plain(languages)
    if set(row["answers"]) <= set(row["shared_answers"]):
        return "same_answer", _plain(languages)
    shared = {entry["language"]: entry["others"] for entry in row["shared"]}
    descriptions = {entry["language"]: entry["text"] for entry in row["descriptions"] or ()}
    columns = describe(shared, descriptions, languages, names)
    if not all_relations()[row["property_id"]].descriptions:
        columns["fault"] = f"namesake_not_described:{columns['code']}"
    return "lost" if columns["fault"] else "told_apart", columns


def never_distractors(true_objects: pa.Table, disambiguated: pa.Table) -> pa.Table:
    """`true_objects` with the answers of namesakes: they are true of a subject of that name."""
    known = {(row["subject_id"], row["property_id"]): row["objects"] for row in true_objects.to_pylist()}
    for row in disambiguated.select(["subject_id", "property_id", "excluded_answers"]).to_pylist():
        key = row["subject_id"], row["property_id"]
        known[key] = sorted({*known.get(key, ()), *row["excluded_answers"]})
    rows = [{"subject_id": key[0], "property_id": key[1], "objects": known[key]} for key in sorted(known)]
    return pa.Table.from_pylist(rows, schema=TRUE_OBJECTS.schema)


def run(context: Context) -> Report:
    """Writes `disambiguations`, by subject and relation; reports how many were kept by which rule, and the best known
    of those that were lost."""
    languages, table = context.config.languages, disambiguations(context.config.languages)
    counts: Counter[str] = Counter()
    lost: list[dict[str, Any]] = []
    with (
        connect(context.folder) as connection,
        parquet_writer(context.target("disambiguations"), table.schema) as writer,
    ):
        _prepare(connection, context)
        _find(connection, context)
        _answers(connection, context)
        names = cache(lambda relation: answer_names(connection.cursor(), context, relation))
        parameters = {
            "entities": parquet_files(context.path("entities")),
            "fetched": parquet_files(context.path("fetched")),
            "labels": parquet_files(context.path("labels")),
            "candidates": parquet_files(context.path("resolved_candidates")),
        }
        for batch in stream(connection, _DESCRIPTIONS, parameters):
            rows = []
            for row in batch.to_pylist():
                rule, columns = _decide(row, languages, partial(names, row["property_id"]))
                counts[rule] += 1
                rows.append({**row, **columns})
                if rule == "lost":
                    lost.append({key: row[key] for key in ("subject_id", "name", "property_id", "sitelinks")})
                    lost[-1]["reason"] = columns["fault"]
            writer.write_table(pa.Table.from_pylist(rows, schema=table.schema))
    lost.sort(key=lambda entry: (-entry["sitelinks"], entry["subject_id"], entry["property_id"]))
    kept = {rule: counts[rule] for rule in ("less_known", "same_answer", "told_apart", "lost")}
    return Report({**kept, "best_known_lost": lost[:_LISTED]})
