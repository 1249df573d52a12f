"""Small synthetic releases that pass every gate, and the means to plant a defect in them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.synthetic import release, write
from polyfact_dataset.audit import load
from polyfact_dataset.audit.release import OpenItems, Release
from polyfact_dataset.audit.result import Section
from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.release.schema import parallel_rows
from polyfact_dataset.schema import OPTIONS

RELATIONS = ("P38", "P17", "P50", "P170")
Rows = list[dict[str, Any]]


@cache
def _made(count: int, drawing: str, relations: tuple[str, ...], answers: int) -> tuple[pa.Table, np.ndarray]:
    return release(count, drawing=drawing, relations=relations, answers=answers)["parallel"]


def clean_rows(
    count: int = 160, drawing: str = "exchangeable", relations: tuple[str, ...] = RELATIONS, answers: int = 12
) -> Rows:
    """Parallel rows with `split`, each time a new copy."""
    table, splits = _made(count, drawing, relations, answers)
    return [{**row, "split": str(split)} for row, split in zip(table.to_pylist(), splits)]


def as_release(rows: Rows, **known: Any) -> Release:
    """The rows as the audits see them; `known` are further fields of a release, such as `statements`."""
    languages = tuple(rows[0]["translations"])
    schema = parallel_rows(languages).schema.append(pa.field("split", pa.string()))
    # Plants may take away what a release must have.
    loose = pa.schema([field.with_nullable(True) for field in schema])
    table = pa.Table.from_pylist(rows, schema=loose)
    facts = table.drop_columns(["translations"])
    ids = facts.column("fact_id").to_pylist()
    items, malformed = load.items_of_parallel(table, ids)
    malformed += load.missing_items(items, ids, PAPER_LANGUAGES)
    strata = pa.chunked_array([[f"{row['property_id']}/{row['split']}" for row in rows]])
    fields = {"name": "small", "content": "0" * 64, "strata": strata, "malformed": tuple(malformed)}
    fields |= {"opened": OpenItems((), {}), **known}
    return Release(facts=facts, items=items, **fields)


def audited(
    module: Any, rows: Rows, config: AuditConfig | None = None, *, without: str | None = None, **known: Any
) -> Section:
    """One audit of the rows; the items lack the column `without`."""
    release = as_release(rows, **known)
    for items in release.items.values() if without else ():
        object.__setattr__(items, "table", items.table.drop_columns([without]))
    return module.audit(release, config or AuditConfig())


def broken(section: Section) -> set[str]:
    """The gates that do not hold."""
    return {verdict.gate for verdict in section.verdicts if verdict.status == "broken"}


def unchecked(section: Section) -> set[str]:
    """The gates that could not be checked."""
    return {verdict.gate for verdict in section.verdicts if verdict.status == "not checked"}


def reword(rows: Rows, number: int, code: str, question: Callable[[str], str] | str) -> None:
    """Gives an item another question: a function of the present one, or a text in which {} is the subject's label."""
    item = rows[number]["translations"][code]
    item["question"] = question(item["question"]) if callable(question) else question.format(item["subject_label"])


def rename(rows: Rows, entity: str, code: str, text: str) -> None:
    """Gives an entity another label in a language, wherever it is shown."""
    for row in rows:
        item = row["translations"][code]
        for slot, own in enumerate(item["option_ids"]):
            if own == entity:
                item[OPTIONS[slot]] = text
        item["answer_text"] = item[OPTIONS[item["answer_index"]]]
        if row["subject_id"] == entity:
            item["question"] = item["question"].replace(item["subject_label"], text)
            item["subject_label"] = text


def gold(rows: Rows, number: int) -> str:
    """The entity of a fact's gold."""
    return rows[number]["object_id"]


def distractor(rows: Rows, number: int) -> str:
    """The entity of one of a fact's distractors."""
    ids = rows[number]["translations"]["en"]["option_ids"]
    return next(entity for entity in ids if entity != rows[number]["object_id"])


def mark(row: dict[str, Any], code: str, slot: int) -> None:
    """Moves an item's gold to a slot, by swapping two options."""
    item = row["translations"][code]
    old = item["answer_index"]
    for first, second in ((OPTIONS[old], OPTIONS[slot]),):
        item[first], item[second] = item[second], item[first]
    for name in ("option_ids", "option_provenance"):
        item[name][old], item[name][slot] = item[name][slot], item[name][old]
    item["answer_index"] = slot


def offer(rows: Rows, number: int, old: str, new: str, name: str) -> None:
    """Replaces an option of a fact by another entity of that name, in every language."""
    for item in rows[number]["translations"].values():
        slot = item["option_ids"].index(old)
        item["option_ids"][slot] = new
        item[OPTIONS[slot]] = name
        item["answer_text"] = item[OPTIONS[item["answer_index"]]]


def on_disk(folder: Path, count: int = 160, drawing: str = "exchangeable", answers: int = 12) -> Path:
    """A release in the published layout: Parquet per config, one file per split."""
    write(folder, release(count, drawing=drawing, relations=RELATIONS, answers=answers))
    return folder
