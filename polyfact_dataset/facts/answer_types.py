"""Answers of the wrong type: a genre "India", an official language "Finland".

`relations.toml` lists classes of types and the classes that a relation expects. An object that has only other
classes is unexpected. An object without a class is accepted, since new types are added daily; the rare types among
them are reported for review.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from polyfact_dataset.catalog.relation import all_relations, answer_classes

_MAX_STEPS = 10
# A type with a smaller share of a relation's answers than this is reported for review.
_REVIEW_SHARE = 0.005
_LISTED = 20


def register_answer_classes(connection: duckdb.DuckDBPyConnection, entities: Sequence[str]) -> None:
    """Temporary tables: `expected`, `refused` (property, class), `strict` (property), `classified` (id, classes of
    its types and ancestors).

    `entities` is the path of the entities table. Entities without a type in any class are not in `classified`.
    """
    connection.execute("CREATE TEMP TABLE class_type (type TEXT, class TEXT)")
    rows = [(kind, name) for name, types in answer_classes().items() for kind in dict.fromkeys(types)]
    connection.executemany("INSERT INTO class_type VALUES (?, ?)", rows)
    connection.execute("CREATE TEMP TABLE expected (property TEXT, class TEXT)")
    connection.execute("CREATE TEMP TABLE refused (property TEXT, class TEXT)")
    relations = all_relations().values()
    pairs = [(relation.id, name) for relation in relations for name in relation.answers]
    connection.executemany("INSERT INTO expected VALUES (?, ?)", pairs)
    pairs = [(relation.id, name) for relation in relations for name in relation.refused]
    connection.executemany("INSERT INTO refused VALUES (?, ?)", pairs)
    connection.execute("CREATE TEMP TABLE strict (property TEXT)")
    connection.executemany(
        "INSERT INTO strict VALUES (?)", [(relation.id,) for relation in relations if relation.answers_known]
    )
    # From the listed types downwards: subclasses have the classes of their superclass.
    connection.execute(
        """
        CREATE TEMP TABLE subclass AS
        SELECT id AS type, unnest(subclass_of) AS parent FROM parquet($entities)
        WHERE kind = 'item' AND len(subclass_of) > 0
        """,
        {"entities": entities},
    )
    connection.execute("CREATE TEMP TABLE typed AS SELECT DISTINCT type, class, 0 AS step FROM class_type")
    for step in range(1, _MAX_STEPS + 1):
        added = connection.execute(
            f"""
            INSERT INTO typed
            SELECT DISTINCT s.type, t.class, {step}
            FROM subclass s JOIN typed t ON t.type = s.parent AND t.step = {step} - 1
            ANTI JOIN typed known ON known.type = s.type AND known.class = t.class
            """
        ).fetchone()
        if not added or not added[0]:
            break
    connection.execute(
        """
        CREATE TEMP TABLE classified AS
        SELECT id, list(DISTINCT class ORDER BY class) AS classes
        FROM (SELECT id, unnest(types) AS type FROM parquet($entities) WHERE kind = 'item') JOIN typed USING (type)
        WHERE id IN (SELECT object FROM judged_object) GROUP BY id
        """,
        {"entities": entities},
    )


UNEXPECTED = """
    classes IS NULL AND o.id IS NOT NULL AND EXISTS (SELECT 1 FROM strict WHERE strict.property = v.property)
    OR classes IS NOT NULL AND (
        EXISTS (SELECT 1 FROM expected e WHERE e.property = v.property)
        AND NOT EXISTS (SELECT 1 FROM expected e WHERE e.property = v.property AND list_contains(classes, e.class))
        OR EXISTS (SELECT 1 FROM refused r WHERE r.property = v.property AND list_contains(classes, r.class))
    )
"""
"""SQL: whether a relation does not expect, or refuses, the classes of the object `o` of its statement `v`."""


def types_for_review(connection: duckdb.DuckDBPyConnection, entities: Sequence[str]) -> dict[str, dict[str, int]]:
    """Relation -> types of accepted answers without a class, with the number of their statements.

    Only those below 0.5 % of the relation's statements, the most frequent first, at most 20.
    """
    rows = connection.execute(
        """
        WITH kept AS (SELECT property, object FROM decided WHERE early IS NULL),
        total AS (SELECT property, count(*) AS number FROM kept GROUP BY ALL),
        unclassified AS (
            SELECT property, type, count(*) AS number
            FROM (
                SELECT property, unnest(types) AS type
                FROM kept JOIN parquet($entities) e ON e.id = object
                ANTI JOIN classified ON classified.id = object
            ) GROUP BY ALL
        )
        SELECT property, type, unclassified.number FROM unclassified JOIN total USING (property)
        WHERE unclassified.number < $share * total.number
        QUALIFY row_number() OVER (PARTITION BY property ORDER BY unclassified.number DESC, type) <= $listed
        ORDER BY property, unclassified.number DESC, type
        """,
        {"entities": entities, "share": _REVIEW_SHARE, "listed": _LISTED},
    ).fetchall()
    review: dict[str, dict[str, int]] = {}
    for relation, kind, number in rows:
        review.setdefault(relation, {})[kind] = number
    return review
