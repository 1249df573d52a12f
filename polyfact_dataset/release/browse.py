"""Reading a release back: one fact in every language, and a search over its texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import read_json, readable
from polyfact_dataset.release.reader import config_files, read_manifest
from polyfact_dataset.release.stats import file_list, statistics
from polyfact_dataset.schema import OPTIONS


def read_statistics(folder: Path) -> dict[str, Any]:
    """The figures of a release: those that it ships when they are about its content, else counted anew."""
    path = folder / "statistics.json"
    if path.is_file():
        shipped: dict[str, Any] = read_json(path)
        if shipped.get("content") == read_manifest(folder)["content"]:
            return shipped
    return statistics(folder)


def _from(folder: Path) -> str:
    """The parallel rows with their split, as a DuckDB query."""
    return " UNION ALL BY NAME ".join(
        f"SELECT *, '{split}' AS split FROM read_parquet({file_list(paths)})"
        for split, paths in config_files(folder, "parallel").items()
    )


def _languages(folder: Path, languages: list[str]) -> list[str]:
    """The languages asked for, or all. Raises `ConfigError` for one that the release does not have."""
    known = list(read_manifest(folder)["build"]["config"]["languages"])
    unknown = [code for code in languages if code not in known]
    if unknown:
        raise ConfigError(f"{folder} has no language {', '.join(unknown)}; it has {', '.join(known)}")
    return languages or known


def fact(folder: Path, fact_id: str, languages: list[str]) -> dict[str, Any]:
    """A parallel row with its split and the languages asked for (all when none is).

    Raises `DataError` when the release does not hold the fact.
    """
    codes = _languages(folder, languages)
    with readable(folder), duckdb.connect() as connection:
        rows = connection.sql(f"SELECT * FROM ({_from(folder)}) WHERE fact_id = $id", params={"id": fact_id})
        found = rows.to_arrow_table().to_pylist()
    if not found:
        raise DataError(f"{folder} holds no fact {fact_id!r}; ids look like Q42|P50|Q5682, and `search` finds them")
    return {**found[0], "translations": {code: found[0]["translations"][code] for code in codes}}


def search(folder: Path, text: str, languages: list[str], limit: int) -> tuple[list[dict[str, Any]], int]:
    """Items whose question or options hold `text`, whatever its case: at most `limit`, and how many there are.

    Each is a dict of `fact_id`, `split`, `quality_tier`, `language`, `question` and `answer`, the most popular
    subjects first. Raises `ConfigError` for an empty text.
    """
    if not text.strip():
        raise ConfigError("search for what? the text is empty")
    codes = _languages(folder, languages)
    parts = []
    for place, code in enumerate(codes):
        item = f'translations."{code}"'
        hit = " OR ".join(f"contains(lower({item}.{name}), lower($text))" for name in ("question", *OPTIONS))
        parts.append(
            f"SELECT fact_id, split, quality_tier, popularity, '{code}' AS language, {place} AS place, "
            f"{item}.question AS question, {item}.answer_text AS answer FROM facts WHERE {hit}"
        )
    query = (
        f"WITH facts AS ({_from(folder)}), hits AS ({' UNION ALL '.join(parts)}) "
        "SELECT * EXCLUDE (place, popularity), count(*) OVER () AS found "
        "FROM hits ORDER BY popularity DESC, fact_id, place LIMIT $limit"
    )
    with readable(folder), duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        rows = connection.sql(query, params={"text": text, "limit": limit}).to_arrow_table().to_pylist()
    total = rows[0]["found"] if rows else 0
    return [{key: value for key, value in row.items() if key != "found"} for row in rows], total
