"""Queries over the rows of a release: one fact in its languages, and a search for ids, relations and texts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import readable
from polyfact_dataset.common.untrusted import validate
from polyfact_dataset.release.models import ShownFact
from polyfact_dataset.release.reader import config_files, read_manifest
from polyfact_dataset.schema import OPTIONS

# Imported where a search needs them, since they take longer than showing a fact: DuckDB and the languages.

_ID = re.compile(r"[QP]\d+(\|[QP]\d+)*", re.IGNORECASE)


def select_rows(splits: Mapping[str, Sequence[Path]], columns: str = "*") -> str:
    """The rows of a config with their split, as a DuckDB query. `columns` is a select list without `split`."""
    from polyfact_dataset.common.database import rows_of

    return " UNION ALL BY NAME ".join(
        f"SELECT {columns}, '{split}' AS split FROM {rows_of(paths)}" for split, paths in splits.items()
    )


def _languages(folder: Path, languages: Sequence[str]) -> list[str]:
    """The requested languages, or all. Raises `ConfigError` for one that the release does not have."""
    available = list(read_manifest(folder)["build"]["config"]["languages"])
    unknown = [code for code in languages if code not in available]
    if unknown:
        raise ConfigError(f"{folder} has no language {', '.join(unknown)}; it has {', '.join(available)}")
    return list(languages) or available


def fact(folder: Path, fact_id: str, languages: Sequence[str]) -> dict[str, Any]:
    """A parallel row with its split and the requested languages (all if none is given).

    Raises `DataError` when the release does not contain the fact, or its row lacks an item.
    """
    codes = _languages(folder, languages)
    for split, paths in config_files(folder, "parallel").items():
        for path in paths:
            row = _row(path, fact_id)
            if row is not None:
                items = row.get("translations")
                chosen = {code: items.get(code) for code in codes} if isinstance(items, dict) else items
                fact = {**row, "translations": chosen, "split": split}
                validate(ShownFact, fact, path, "rebuild or download the release again")
                return fact
    raise DataError(f"{folder} contains no fact {fact_id!r}; ids look like Q42|P50|Q5682, and `search` finds them")


def _row(path: Path, fact_id: str) -> dict[str, Any] | None:
    """The row of a fact in a Parquet file: of the other rows only their ids are read."""
    with readable(path), pq.ParquetFile(path) as file:
        if "fact_id" not in file.schema_arrow.names:
            raise DataError(f"{path} has no column fact_id; rebuild or download the release again")
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, ["fact_id"]).column("fact_id").to_pylist()
            if fact_id in ids:
                row: dict[str, Any] = file.read_row_group(group).slice(ids.index(fact_id), 1).to_pylist()[0]
                return row
    return None


def _folded(expression: str, code: str) -> str:
    """SQL for a text without case and, in alphabets with accents, without accents; other scripts need their marks."""
    from polyfact_dataset.catalog.language import language

    accents = set(language(code).scripts) <= {"Latn", "Cyrl", "Grek"}
    return f"strip_accents(lower({expression}))" if accents else f"lower({expression})"


def _condition(text: str, item: str, code: str) -> str:
    """SQL condition of rows that match `text`: an id, the label of the relation, or a part of the item's texts."""
    if _ID.fullmatch(text.strip()):
        ids = f"list_concat([fact_id, subject_id, property_id, object_id], {item}.option_ids)"
        return f"list_contains({ids}, upper(trim($text))) OR starts_with(fact_id, upper(trim($text)) || '|')"
    pattern = _folded("trim($text)", code)
    texts = [f"contains({_folded(f'{item}.{name}', code)}, {pattern})" for name in ("question", *OPTIONS)]
    return " OR ".join((*texts, "lower(relation) = lower(trim($text))"))


def search(folder: Path, text: str, languages: Sequence[str], limit: int) -> tuple[list[dict[str, Any]], int]:
    """Items whose question or options contain `text`, ignoring case and accents: at most `limit`, and their number.

    A Wikidata id finds the items in which the entity or relation occurs, a fact id its items, and the English label of
    a relation its items. Each result is a dict of `fact_id`, `split`, `quality_tier`, `language`, `question` and
    `answer`, the most popular subjects first. Raises `ConfigError` for an empty text.
    """
    import duckdb

    if not text.strip():
        raise ConfigError("TEXT must not be empty")
    parts = []
    for position, code in enumerate(_languages(folder, languages)):
        item = f'translations."{code}"'
        parts.append(
            f"SELECT fact_id, split, quality_tier, popularity, '{code}' AS language, {position} AS place, "
            f"{item}.question AS question, {item}.answer_text AS answer FROM facts WHERE {_condition(text, item, code)}"
        )
    query = (
        f"WITH facts AS ({select_rows(config_files(folder, 'parallel'))}), hits AS ({' UNION ALL '.join(parts)}) "
        "SELECT * EXCLUDE (place, popularity), count(*) OVER () AS total "
        "FROM hits ORDER BY popularity DESC, fact_id, place LIMIT $limit"
    )
    with readable(folder), duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        rows = connection.sql(query, params={"text": text, "limit": limit}).to_arrow_table().to_pylist()
    total = rows[0]["total"] if rows else 0
    return [{key: value for key, value in row.items() if key != "total"} for row in rows], total
