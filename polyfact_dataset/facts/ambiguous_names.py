"""Stage `namesakes`: subjects whose name does not identify them, and the descriptions that tell them apart.

Two subjects of one relation with the same label in a language make its question unanswerable. The other subject need
not be a candidate: every item of the dump with a statement of the relation counts, unless the statement is
deprecated. Such a subject is named with its short description, in all languages alike, so that every language says
as much; without a description in all of them, or when a namesake has the same one, its facts are rejected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa

from polyfact_dataset.catalog.language import Language, language
from polyfact_dataset.common.database import connect, stream
from polyfact_dataset.common.files import parquet_writer
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.config.build import Config
from polyfact_dataset.facts.labels import usable
from polyfact_dataset.pipeline.context import Context, Report
from polyfact_dataset.schema import disambiguations

# The form in which DuckDB compares names; `text.normalise` folds more, but only in Python.
_KEY = "lower(nfc_normalize({}))"


def settings(config: Config) -> dict[str, object]:
    """What the result depends on besides the tables read."""
    return {"languages": config.languages, "namesakes": config.namesakes.model_dump()}


def _codes(entry: Language) -> tuple[str, ...]:
    """The Wikidata codes of a language's labels, the one that is shown first."""
    return (*entry.labels, *(("mul",) if entry.mul else ()))


def _prepare(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Temporary tables: `chain` (code, language, codes tried before it), `asked` (subjects) and `shown` (their names).

    In languages shipped in Simplified Chinese a subject is also known by its labels as they stand.
    """
    languages = [language(code) for code in context.config.languages]
    connection.execute("CREATE TEMP TABLE chain (code TEXT, language TEXT, earlier TEXT[], as_it_stands BOOL)")
    for entry in languages:
        codes = _codes(entry)
        rows = [(code, entry.code, list(codes[:n]), "Hans" in entry.scripts) for n, code in enumerate(codes)]
        connection.executemany("INSERT INTO chain VALUES (?, ?, ?, ?)", rows)
    connection.execute(
        "CREATE TEMP TABLE asked AS SELECT DISTINCT subject_id, property_id FROM read_parquet($candidates)",
        {"candidates": str(context.path("resolved_candidates"))},
    )
    texts = " UNION ALL ".join(
        f"""SELECT entity_id AS id, '{entry.code}' AS language, "{entry.code}".text AS text FROM own"""
        for entry in languages
    )
    connection.execute(
        f"""
        CREATE TEMP TABLE shown AS
        WITH own AS (
            SELECT * FROM read_parquet($labels) WHERE entity_id IN (SELECT subject_id FROM asked)
        ), held AS (
            SELECT id, unnest(labels) AS label FROM read_parquet($entities)
            WHERE kind = 'item' AND id IN (SELECT subject_id FROM asked)
        ), named AS (
            {texts}
            UNION ALL SELECT id, language, label.text FROM held JOIN chain ON code = label.code WHERE as_it_stands
        )
        SELECT DISTINCT id, language, {_KEY.format("text")} AS key FROM named WHERE text IS NOT NULL
        """,
        {
            "labels": str(context.path("labels")),
            "entities": str(context.path("entities")),
        },
    )


def _find(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Temporary table `pair`: (subject_id, property_id, language, other), `other` being a namesake of the subject.

    One pass over the labels of the dump, and over the names shown of candidates' subjects, which may be titles.
    """
    tables = {
        "entities": str(context.path("entities")),
        "labels": str(context.path("labels")),
        "statements": str(context.path("statements")),
    }
    connection.execute(
        "CREATE TEMP TABLE subject AS SELECT DISTINCT subject AS id, property FROM read_parquet($statements) "
        "WHERE rank <> 'deprecated'",
        {"statements": tables["statements"]},
    )
    named = []
    for entry in map(language, context.config.languages):
        first = ", ".join(f"labels['{code}']" for code in _codes(entry))
        named.append(f"{{'language': '{entry.code}', 'text': coalesce({first})}}")
    # Rows may stand twice: telling them apart would take more memory than all else, and `pair` does so.
    connection.execute(
        f"""
        CREATE TEMP TABLE namesake AS
        WITH held AS (
            SELECT id, sitelinks, map_from_entries(labels) AS labels FROM read_parquet($entities)
            WHERE kind = 'item' AND len(labels) > 0 AND id IN (SELECT id FROM subject)
        ), named AS (SELECT id, sitelinks, unnest([{", ".join(named)}], recursive := true) FROM held)
        SELECT id, language, key, sitelinks
        FROM (SELECT id, sitelinks, language, {_KEY.format("text")} AS key FROM named WHERE text IS NOT NULL)
        SEMI JOIN shown USING (language, key)
        UNION ALL SELECT shown.id, language, key, sitelinks FROM shown
        JOIN read_parquet($labels) ON entity_id = shown.id
        """,
        {"entities": tables["entities"], "labels": tables["labels"]},
    )
    connection.execute(
        """
        CREATE TEMP TABLE pair AS
        WITH known AS (SELECT entity_id AS id, sitelinks FROM read_parquet($labels))
        SELECT DISTINCT subject_id, property_id, language, n.id AS other
        FROM asked
        JOIN shown ON shown.id = subject_id
        JOIN known ON known.id = subject_id
        JOIN namesake n USING (language, key)
        JOIN subject s ON s.id = n.id AND s.property = property_id
        WHERE n.id <> subject_id AND n.sitelinks >= $share * known.sitelinks
        """,
        {"labels": tables["labels"], "share": context.config.namesakes.min_sitelinks_share},
    )


_DESCRIPTIONS = """
    WITH wanted AS (SELECT subject_id AS id FROM pair UNION SELECT other FROM pair),
    held AS (
        SELECT id, unnest(descriptions) AS description, 0 AS place FROM read_parquet($entities) JOIN wanted USING (id)
        UNION ALL
        SELECT id, unnest(descriptions), 1 FROM read_parquet($fetched) JOIN wanted USING (id)
    ), resolved AS (
        SELECT id, language, arg_min(description.text, (place, len(earlier), description.text)) AS text
        FROM held JOIN chain ON code = description.code WHERE code <> 'mul' GROUP BY ALL
    ), other AS (
        SELECT subject_id, property_id, language, list(DISTINCT text ORDER BY text) AS others
        FROM pair LEFT JOIN resolved r USING (language) WHERE r.id = other GROUP BY ALL
    ), shared AS (
        SELECT DISTINCT subject_id, property_id, language FROM pair
    )
    SELECT subject_id, property_id,
           list({'language': language, 'others': coalesce(others, [])} ORDER BY language) AS shared,
           any_value(own.texts) AS own
    FROM shared LEFT JOIN other USING (subject_id, property_id, language)
    LEFT JOIN (
        SELECT id, list({'language': language, 'text': text} ORDER BY language) AS texts FROM resolved GROUP BY id
    ) own ON own.id = subject_id
    GROUP BY ALL ORDER BY subject_id, property_id
"""


def tell_apart(
    shared: Mapping[str, Sequence[str]], own: Mapping[str, str], languages: Sequence[str]
) -> dict[str, str | None]:
    """One row of `schema.disambiguations`, but for the ids.

    `shared` maps a language in which the name is shared to the namesakes' descriptions, `own` a language to the
    subject's description. A namesake without a description is told apart by the subject's.
    """
    first = next(code for code in languages if code in shared)
    row: dict[str, str | None] = {"code": first, "fault": None}
    for code in languages:
        entry = language(code)
        row[code] = usable(own.get(code, ""), entry)
        others = {normalise(text) for other in shared.get(code, ()) if (text := usable(other, entry))}
        if row["fault"] is None and row[code] is None:
            row["fault"] = f"namesake_no_description:{code}"
        elif row["fault"] is None and normalise(row[code] or "") in others:
            row["fault"] = f"namesake_same_description:{code}"
    return row


def run(context: Context) -> Report:
    """Writes `disambiguations`, by subject and relation."""
    languages, table = context.config.languages, disambiguations(context.config.languages)
    counts: Counter[str] = Counter()
    with (
        connect(context.folder) as connection,
        parquet_writer(context.target("disambiguations"), table.schema) as writer,
    ):
        _prepare(connection, context)
        _find(connection, context)
        parameters = {
            "entities": str(context.path("entities")),
            "fetched": str(context.path("fetched")),
        }
        for batch in stream(connection, _DESCRIPTIONS, parameters):
            rows = []
            for row in batch.to_pylist():
                shared = {entry["language"]: entry["others"] for entry in row["shared"]}
                own = {entry["language"]: entry["text"] for entry in row["own"] or ()}
                rows.append({**row, **tell_apart(shared, own, languages)})
                counts["told_apart" if rows[-1]["fault"] is None else "not_told_apart"] += 1
            writer.write_table(pa.Table.from_pylist(rows, schema=table.schema))
    return Report({"told_apart": counts["told_apart"], "not_told_apart": counts["not_told_apart"]})
