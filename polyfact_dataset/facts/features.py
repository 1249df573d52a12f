"""Stage `features`: features of the subjects and objects of candidates, for wording and matching.

Kind, sex, years, occupations, country, continent, and all places and wholes that contain an entity. They are not
released. All values come from current statements of best rank.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.catalog.relation import HUMAN, kind_of
from polyfact_dataset.common.database import connect, parquet_files, stream
from polyfact_dataset.common.files import table_writer
from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.context import Context, Report
from polyfact_dataset.schema import FEATURES

# Wikidata's values of P21. Grammar follows the gender: trans woman and trans man.
_SEXES = {"Q6581097": "male", "Q6581072": "female", "Q1052281": "female", "Q2449503": "male"}
_MAX_AGE_YEARS = 110
_MAX_STEPS = 6
# The share of births and publications that is ignored for the latest year: announcements and errors.
_LATE_SHARE = 0.001
_PARENTS = ("located_in", "part_of", "subclass_of", "countries", "continents")
_COLUMNS = (
    *("types", "sitelinks", "sexes", "occupations", "countries", "continents", "citizenships"),
    *(
        "located_in",
        "part_of",
        "subclass_of",
        "birth_year",
        "death_year",
        "inception_year",
        "publication_year",
        "is_dead",
    ),
)


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on."""
    return {"features": config.features.model_dump()}


def sex_of(values: list[str]) -> str | None:
    """`male` or `female`; None where the values (P21) name none of them, something else, or both."""
    sexes = {_SEXES.get(value) for value in values}
    return sexes.pop() if len(sexes) == 1 else None


def is_living(row: dict[str, Any], reference_year: int | None) -> bool | None:
    """Whether a person is living according to the statements; None for other kinds or an unknown birth."""
    if row["is_dead"]:
        return False
    if row["birth_year"] is None:
        return None
    if reference_year is not None and row["birth_year"] < reference_year - _MAX_AGE_YEARS:
        return False
    return True if HUMAN in row["types"] else None


def latest_year(connection: duckdb.DuckDBPyConnection, entities: Sequence[str]) -> int | None:
    """The latest year of births and publications in the dump, without the last thousandth; None where it has none."""
    years = connection.execute(
        """
        SELECT year, count(*) FROM (
            SELECT birth_year AS year FROM parquet($entities)
            UNION ALL SELECT publication_year FROM parquet($entities)
        ) WHERE year IS NOT NULL GROUP BY year ORDER BY year DESC
        """,
        {"entities": entities},
    ).fetchall()
    late = _LATE_SHARE * sum(number for _, number in years)
    for year, number in years:
        late -= number
        if late < 0:
            return int(year)
    return None


def _load(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Temporary table `node`: candidates' ends and the entities that contain them, with their columns of `ENTITIES`.

    The dump is read once for each step away from the candidates; only the entities reached are kept.
    """
    connection.execute(
        """
        CREATE TEMP TABLE ends AS
        SELECT subject_id AS id FROM parquet($candidates) UNION SELECT object_id FROM parquet($candidates)
        """,
        {"candidates": parquet_files(context.path("resolved_candidates"))},
    )
    # A work belongs to its country of origin; the first stated one, in the order of the dump.
    connection.execute(
        """
        CREATE TEMP TABLE origin AS
        SELECT subject AS id, arg_min(object, (filename, file_row_number)) AS country
        FROM read_parquet($statements, filename = true, file_row_number = true, hive_partitioning = false)
        WHERE property = 'P495' AND truthy AND NOT ended AND subject IN (SELECT id FROM ends) GROUP BY subject
        """,
        {"statements": parquet_files(context.path("statements"))},
    )
    connection.execute(
        """
        CREATE TEMP TABLE died AS
        SELECT DISTINCT subject AS id FROM parquet($statements)
        WHERE property = 'P20' AND rank <> 'deprecated' AND subject IN (SELECT id FROM ends)
        """,
        {"statements": parquet_files(context.path("statements"))},
    )
    columns = ", ".join(_COLUMNS)
    connection.execute("CREATE TEMP TABLE frontier AS SELECT id FROM ends UNION SELECT country FROM origin")
    for step in range(_MAX_STEPS + 1):
        connection.execute(
            f"""
            {"CREATE TEMP TABLE node AS" if step == 0 else "INSERT INTO node"}
            WITH source_row AS (
                SELECT id, {columns}, 0 AS source, len(labels) AS labels FROM parquet($entities)
                WHERE kind = 'item' AND id IN (SELECT id FROM frontier)
                UNION ALL
                SELECT id, {columns}, 1, len(types) FROM parquet($fetched)
                WHERE id IN (SELECT id FROM frontier)
            )
            SELECT id, {columns} FROM source_row
            QUALIFY row_number() OVER (
                PARTITION BY id ORDER BY source, labels DESC, sitelinks DESC, md5(({columns})::VARCHAR)) = 1
            """,
            {"entities": parquet_files(context.path("entities")), "fetched": parquet_files(context.path("fetched"))},
        )
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE frontier AS
            WITH reached AS (
                SELECT unnest(list_concat({", ".join((*_PARENTS, "citizenships"))})) AS id FROM node
            )
            SELECT DISTINCT id FROM reached ANTI JOIN node USING (id)
            """
        )
        if not connection.execute("SELECT count(*) FROM frontier").fetchone()[0]:  # type: ignore[index]
            break


def _climb(connection: duckdb.DuckDBPyConnection, name: str, parents: str) -> None:
    """Temporary table `name`: (id, ancestor, step, path) of all ends, by the lists `parents` of `node`.

    `path` orders the ancestors of a step by the statements that lead to them; each ancestor is listed once.
    """
    connection.execute(
        f"""
        CREATE TEMP TABLE {name} AS
        SELECT id, id AS ancestor, 0 AS step, []::BIGINT[] AS path FROM ends
        """
    )
    for step in range(1, _MAX_STEPS + 1):
        added = connection.execute(
            f"""
            INSERT INTO {name}
            WITH next AS (
                SELECT e.id, unnest({parents}) AS ancestor, path, generate_subscripts({parents}, 1) AS place
                FROM {name} e JOIN node ON node.id = ancestor WHERE step = {step} - 1
            )
            SELECT id, ancestor, {step}, min(list_append(path, place))
            FROM next ANTI JOIN {name} known USING (id, ancestor) GROUP BY id, ancestor
            """
        ).fetchone()
        if not added or not added[0]:
            break


_RESULT = """
    WITH direct AS (
        SELECT node.id, coalesce(countries[1],
               CASE WHEN list_contains(types, 'Q5') THEN citizenships[1] ELSE origin.country END) AS country
        FROM node LEFT JOIN origin USING (id)
    ), placed AS (
        SELECT lies.id, arg_min(direct.country, (step, path)) AS country
        FROM lies JOIN direct ON direct.id = ancestor WHERE direct.country IS NOT NULL GROUP BY lies.id
    ), containing AS (
        SELECT id, list(ancestor ORDER BY ancestor) FILTER (ancestor <> id) AS containers FROM within GROUP BY id
    )
    SELECT ends.id AS entity_id, coalesce(node.types, []) AS types, coalesce(node.sexes, []) AS sexes,
           node.birth_year, node.death_year, coalesce(node.is_dead, false) OR died.id IS NOT NULL AS is_dead,
           node.inception_year, node.publication_year, coalesce(node.occupations, []) AS occupations,
           placed.country, coalesce(node.continents[1], land.continents[1]) AS continent,
           coalesce(containers, []) AS containers, coalesce(node.sitelinks, 0) AS sitelinks
    FROM ends LEFT JOIN node ON node.id = ends.id LEFT JOIN placed ON placed.id = ends.id
    LEFT JOIN died ON died.id = ends.id
    LEFT JOIN containing ON containing.id = ends.id LEFT JOIN node land ON land.id = placed.country
    ORDER BY entity_id
"""


def features_of(rows: pa.RecordBatch, reference_year: int | None) -> pa.Table:
    """Joined rows of `_RESULT` to rows of `schema.FEATURES`."""
    features = []
    for row in rows.to_pylist():
        living = is_living(row, reference_year)
        features.append(
            {**row, "kind": kind_of(row["types"], row["occupations"]), "sex": sex_of(row["sexes"]), "is_living": living}
        )
    return pa.Table.from_pylist(features, schema=FEATURES.schema)


def run(context: Context) -> Report:
    """Writes `features` for the subjects and objects of all candidates, by id."""
    known: Counter[str] = Counter()
    entities = 0
    with (
        connect(context.folder) as connection,
        table_writer(context.target("features"), FEATURES.schema) as write,
    ):
        reference_year = context.config.features.reference_year
        if reference_year is None:
            reference_year = latest_year(connection, parquet_files(context.path("entities")))
        _load(connection, context)
        _climb(connection, "lies", "located_in")
        _climb(connection, "within", f"list_concat({', '.join(_PARENTS)})")
        for rows in context.workers.map(features_of, stream(connection, _RESULT), reference_year):
            entities += rows.num_rows
            known.update(_coverage(rows))
            write(rows)
    return Report({"entities": entities, "reference_year": reference_year, "known": dict(sorted(known.items()))})


def _coverage(rows: pa.Table) -> dict[str, int]:
    """The number of rows with a value, by column."""
    known = {}
    for field in rows.schema:
        column = rows.column(field.name)
        if field.name in ("entity_id", "sitelinks"):
            continue
        if pa.types.is_list(field.type):
            known[field.name] = pc.sum(pc.greater(pc.list_value_length(column), 0)).as_py() or 0
        else:
            known[field.name] = rows.num_rows - column.null_count
    return known
