"""Statistics of a release, counted from its `parallel` rows. All are integers, so they are equal on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyfact_dataset.common.files import readable
from polyfact_dataset.common.untrusted import read_validated
from polyfact_dataset.release.models import Statistics
from polyfact_dataset.release.query import select_rows
from polyfact_dataset.release.reader import config_files, locate, read_manifest, source_of
from polyfact_dataset.schema import SPLITS, TIERS

if TYPE_CHECKING:
    # Imported where rows are counted: the figures of most releases are in a file.
    import duckdb

_FACT_COLUMNS = (
    "fact_id",
    "subject_id",
    "property_id",
    "object_id",
    "relation",
    "domain",
    "quality_tier",
    "n_langs_attested",
    "n_langs_subject_attested",
    "popularity",
    "verification",
)
_ITEM_COLUMNS = (
    "question",
    "answer_index",
    "option_provenance",
    "subject_provenance",
    "question_source",
    "template",
)
PERCENTILES = (5, 25, 50, 75, 95)
# Bins of popularity: from one edge up to the next, the last one open.
POPULARITY_EDGES = (0, 1, 2, 5, 10, 20, 50, 100, 200)


@contextmanager
def opened(folder: Path, config: str, columns: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which the table `facts` holds the given columns of a config, and `split`."""
    import duckdb

    with readable(folder), duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        _load(connection, folder, config, columns)
        yield connection


def _load(connection: duckdb.DuckDBPyConnection, folder: Path, config: str, columns: Sequence[str]) -> None:
    """Makes the table `facts` of a config, in place of that of another."""
    rows = select_rows(config_files(folder, config), ", ".join(columns))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE facts AS {rows}")


def _counts(connection: duckdb.DuckDBPyConnection, expression: str) -> dict[Any, int]:
    """Value of an expression -> number of facts, sorted by value."""
    query = f"SELECT {expression} AS value, count(*) FROM facts GROUP BY value ORDER BY value"
    return dict(connection.execute(query).fetchall())


def _relations(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Relation -> label, domain, answers, and facts by split and tier, in the order of `relations.toml`."""
    from polyfact_dataset.catalog.relation import all_relations

    relations: dict[str, Any] = {}
    for relation, label, domain, answers in connection.execute(
        "SELECT property_id, any_value(relation), any_value(domain), count(DISTINCT object_id) "
        "FROM facts GROUP BY property_id ORDER BY property_id"
    ).fetchall():
        relations[relation] = {"label": label, "domain": domain, "answers": answers, "splits": {}, "tiers": {}}
    for key, column, order in (("splits", "split", SPLITS), ("tiers", "quality_tier", TIERS)):
        query = f"SELECT property_id, {column}, count(*) FROM facts GROUP BY ALL"
        counts = {(relation, value): number for relation, value, number in connection.execute(query).fetchall()}
        for relation, entry in relations.items():
            entry[key] = {value: counts.get((relation, value), 0) for value in order}
    known = list(all_relations())
    return dict(
        sorted(relations.items(), key=lambda item: (known.index(item[0]) if item[0] in known else 1000, item[0]))
    )


def _popularity(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Percentiles of the subjects' sitelinks, and facts by bin and tier."""
    shares = ", ".join(str(percentile / 100) for percentile in PERCENTILES)
    row = connection.execute(f"SELECT quantile_disc(popularity, [{shares}]) FROM facts").fetchone()
    bins = " ".join(f"WHEN popularity < {edge} THEN {position}" for position, edge in enumerate(POPULARITY_EDGES[1:]))
    query = f"SELECT CASE {bins} ELSE {len(POPULARITY_EDGES) - 1} END, quality_tier, count(*) FROM facts GROUP BY ALL"
    counts = {(position, tier): number for position, tier, number in connection.execute(query).fetchall()}
    return {
        "percentiles": dict(zip(map(str, PERCENTILES), row[0] if row else [])),
        "bins": {tier: [counts.get((p, tier), 0) for p in range(len(POPULARITY_EDGES))] for tier in TIERS},
    }


def _language(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Statistics of the items of one language: provenance of labels, positions of the answer, lengths."""
    options = connection.execute(
        "SELECT value, count(*) FROM (SELECT unnest(option_provenance) AS value FROM facts) "
        "GROUP BY value ORDER BY value"
    ).fetchall()
    row = connection.execute(
        "SELECT count(DISTINCT question), coalesce(sum(length(question)), 0)::BIGINT FROM facts"
    ).fetchone()
    positions = _counts(connection, "answer_index")
    return {
        "subject_provenance": _counts(connection, "subject_provenance"),
        "answer_provenance": _counts(connection, "option_provenance[answer_index + 1]"),
        "option_provenance": dict(options),
        "question_source": _counts(connection, "question_source"),
        "template": _counts(connection, "template"),
        "answer_index": [positions.get(position, 0) for position in range(4)],
        "questions": row[0] if row else 0,
        "question_characters": row[1] if row else 0,
    }


def read_statistics(release: str) -> dict[str, Any]:
    """The statistics of a release in a folder or on the Hub: the included ones if they describe its content.

    Otherwise its data are fetched and counted. Raises as `locate` and `read_manifest` do.
    """
    folder = locate(release, ())
    path, manifest = folder / "statistics.json", read_manifest(folder)
    if path.is_file():
        shipped = read_validated(path, Statistics, "render it again: polyfact card")
        if shipped["content"] == manifest["content"]:
            return shipped
    return statistics(locate(release, ("parallel", *manifest["build"]["config"]["languages"])))


def statistics(folder: Path) -> dict[str, Any]:
    """The statistics of a release folder, counted from its rows, as JSON."""
    manifest = read_manifest(folder)
    languages = manifest["build"]["config"]["languages"]
    with opened(folder, "parallel", _FACT_COLUMNS) as connection:
        row = connection.execute(
            "SELECT count(*), count(DISTINCT subject_id), count(DISTINCT object_id) FROM facts"
        ).fetchone()
        facts, subjects, answers = row or (0, 0, 0)
        splits, tiers = _counts(connection, "split"), _counts(connection, "quality_tier")
        counted: dict[str, Any] = {
            "content": manifest["content"],
            "source": source_of(manifest),
            "facts": facts,
            "items": facts * len(languages),
            "subjects": subjects,
            "answers": answers,
            "sizes": manifest["sizes"],
            "splits": {split: splits.get(split, 0) for split in SPLITS},
            "tiers": {tier: tiers.get(tier, 0) for tier in TIERS},
            "relations": _relations(connection),
            "domains": _counts(connection, "domain"),
            "verification": _counts(connection, "verification"),
            "languages_attesting": {
                "answer": {str(key): n for key, n in _counts(connection, "n_langs_attested").items()},
                "subject": {str(key): n for key, n in _counts(connection, "n_langs_subject_attested").items()},
            },
            "popularity": _popularity(connection),
            "languages": {},
        }
        for code in languages:
            _load(connection, folder, code, _ITEM_COLUMNS)
            counted["languages"][code] = _language(connection)
        return counted


def popularity_names() -> list[str]:
    """The names of the bins of popularity, such as `5–9`."""
    spans = [
        f"{low}–{high - 1}" if high - low > 1 else str(low) for low, high in zip(POPULARITY_EDGES, POPULARITY_EDGES[1:])
    ]
    return [*spans, f"{POPULARITY_EDGES[-1]}+"]
