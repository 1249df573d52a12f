"""`polyfact verify sample`: the items to be judged, stratified by language and balanced over relations; or a census.

The facts of each relation are ordered by a hash of the seed and their ids, and relations take turns. A larger sample
therefore contains the smaller one, and a fact is removed only if a new fact of its relation precedes it: when
a release grows by a tenth, about a tenth of the sample changes, and earlier judgements stay valid.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from polyfact_dataset.common.database import connect, rows_of
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import write_json, write_parquet
from polyfact_dataset.items.evidence import item_digest
from polyfact_dataset.release.reader import read_manifest
from polyfact_dataset.schema import OPTIONS, SPLITS
from polyfact_dataset.verification.items import locked
from polyfact_dataset.verification.schema import VERIFY_FACTS, VERIFY_SAMPLE

_SHOWN = ("fact_id", "property_id", "question", *OPTIONS, "answer_index", "answer_text", "subject_label")
# Relations take turns; the seed orders their facts, for all languages together or for each.
_DRAW = """
    WITH turns AS (
        SELECT fact_id, property_id, row_number() OVER (
            PARTITION BY property_id ORDER BY md5($seed || ':verify:' || $language_prefix || fact_id), fact_id
        ) AS turn
        FROM items
    )
    SELECT fact_id FROM turns ORDER BY turn, md5($seed || ':verify:' || property_id), property_id LIMIT $number
"""


@dataclass(frozen=True)
class Draw:
    """How a sample is drawn. `items` per language, None for all; no `splits` or `languages` mean all of them.

    With `independent` each language has different facts; otherwise, as in the paper, all have the same ones.
    """

    items: int | None
    seed: int
    splits: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    independent: bool = False


def _files(release: Path, draw: Draw) -> dict[str, list[tuple[str, Path]]]:
    """Language -> (split, file) to draw from. Raises `ConfigError` for a missing release, language, split or item."""
    manifest = read_manifest(release)
    released: Sequence[str] = manifest["build"]["config"]["languages"]
    for kind, requested, known in (("languages", draw.languages, released), ("splits", draw.splits, SPLITS)):
        if unknown := [name for name in requested if name not in known]:
            raise ConfigError(f"{release} has no {', '.join(unknown)}; its {kind} are {', '.join(known)}")
    files = {
        code: [
            (split, release / path)
            for split in SPLITS
            if not draw.splits or split in draw.splits
            for path in manifest["configs"][code].get(split, ())
        ]
        for code in released
    }
    if not all(files.values()):
        raise ConfigError(f"{release} contains no item of {', '.join(draw.splits) or 'any split'}; nothing is drawn")
    return files


def _load(connection: duckdb.DuckDBPyConnection, files: Sequence[tuple[str, Path]]) -> None:
    """Temporary table `items`: the items of one language with their split."""
    columns = ", ".join((*_SHOWN, "subject", "relation", "object"))
    parts = [f"SELECT {columns}, '{split}' AS split FROM {rows_of([path])}" for split, path in files]
    connection.execute(f"CREATE OR REPLACE TEMP TABLE items AS {' UNION ALL '.join(parts)}")


def _digest(row: Mapping[str, Any]) -> str:
    return item_digest(row["question"], row["answer_text"], [row[name] for name in OPTIONS])


def draw_sample(release: Path, draw: Draw) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `VERIFY_SAMPLE`, by language and place, and of `VERIFY_FACTS`, by fact."""
    files, chosen = _files(release, draw), dict[str, list[str]]()
    rows: list[dict[str, Any]] = []
    facts: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as spill, connect(Path(spill)) as connection:
        for code in draw.languages or files:
            _load(connection, files[code])
            number = draw.items if draw.items is not None else 2**62
            prefix = f"{code}:" if draw.independent else ""
            values = {"seed": str(draw.seed), "language_prefix": prefix, "number": number}
            chosen[code] = [fact for (fact,) in connection.execute(_DRAW, values).fetchall()]
        drawn = sorted({fact for ids in chosen.values() for fact in ids})
        for code in files:
            _load(connection, files[code])
            connection.register("drawn", pa.table({"fact_id": pa.array(drawn, pa.string())}))
            table = connection.sql("SELECT items.* FROM items SEMI JOIN drawn USING (fact_id)").to_arrow_table()
            by_fact = {row["fact_id"]: {**row, "language": code, "item": _digest(row)} for row in table.to_pylist()}
            rows += [{**by_fact[fact], "place": place} for place, fact in enumerate(chosen.get(code, ()), start=1)]
            for fact, row in by_fact.items():
                entry = facts.setdefault(fact, {**row, "items": []})
                item = {name: row[name] for name in ("language", "item", "question")}
                entry["items"].append({**item, "subject": row["subject_label"], "answer": row["answer_text"]})
    return rows, [facts[fact] for fact in sorted(facts)]


def write_sample(release: Path, folder: Path, draw: Draw) -> None:
    """Draws a sample into a folder and prints its size; judgements and reviews in the folder are kept.

    Raises `ConfigError` when nothing can be drawn.
    """
    rows, facts = draw_sample(release, draw)
    manifest = read_manifest(release)
    languages = [code for code in manifest["build"]["config"]["languages"] if code in (draw.languages or (code,))]
    about = {
        "release": manifest["content"],
        "polyfact": manifest["polyfact"],
        "seed": draw.seed,
        "items_per_language": draw.items,
        "splits": list(draw.splits or SPLITS),
        "languages": languages,
        "same_facts": not draw.independent,
    }
    with locked(folder):
        write_parquet(folder / "facts.parquet", pa.Table.from_pylist(facts, schema=VERIFY_FACTS.schema))
        write_json(folder / "sample.json", about)
        write_parquet(folder / "sample.parquet", pa.Table.from_pylist(rows, schema=VERIFY_SAMPLE.schema))
    counts = Counter(row["property_id"] for row in rows)
    print(
        f"{len(rows):,} items of {len(facts):,} facts: {len(rows) // len(languages):,} in each of {len(languages)} "
        f"languages, {min(counts.values())} to {max(counts.values())} of each of {len(counts)} relations",
        file=sys.stderr,
    )
