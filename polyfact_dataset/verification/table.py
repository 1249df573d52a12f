"""The verification table: what judge and people say of an item, together; and what follows for its relation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import read_json, read_parquet
from polyfact_dataset.items.evidence import verdict
from polyfact_dataset.schema import VERIFICATION
from polyfact_dataset.verification.journal import Reviews

Key = tuple[str, str, str]
"""Fact, language, digest of the item."""


@dataclass(frozen=True)
class Source:
    """A judge's table: rows by item, and how it was asked. `name` is None where there is none."""

    name: str | None
    about: Mapping[str, Any]
    rows: Mapping[Key, Mapping[str, Any]]


def key_of(row: Mapping[str, Any]) -> Key:
    """What identifies a judged item."""
    return row["fact_id"], row["language"], row["item"]


def source(folder: Path, kind: str, name: str) -> Source:
    """The judge's table in the subfolder `kind` whose name begins with `name`.

    Raises `ConfigError` when several do, or none does though one was named.
    """
    found = [path for path in sorted((folder / kind).glob("*.parquet")) if path.stem.startswith(name)]
    if len(found) > 1 or (name and not found):
        known = ", ".join(path.stem for path in found or sorted((folder / kind).glob("*.parquet")))
        raise ConfigError(f"{folder / kind} holds {known or 'no judge'}; say which one counts by the start of its name")
    if not found:
        return Source(None, {}, {})
    rows = {key_of(row): row for row in read_parquet(found[0]).to_pylist()}
    return Source(found[0].stem, read_json(found[0].with_suffix(".json")), rows)


def table_rows(judge: Source, drift: Source, reviews: Sequence[Reviews]) -> list[dict[str, Any]]:
    """Rows of `records.VERIFICATION`, sorted; reviewers by number, in the order in which they began."""
    people: dict[Key, list[tuple[str, str, str]]] = defaultdict(list)
    texts: dict[Key, Mapping[str, Any]] = {}
    for number, own in enumerate(reviews, start=1):
        for key, review in own.labels.items():
            people[key].append((f"r{number}", review.label, review.at[:10]))
            texts[key] = {"question": review.question, "answer_text": review.answer_text}
    texts |= {**drift.rows, **judge.rows}
    rows = []
    for key in sorted(texts):
        said = judge.rows.get(key) or {}
        label = said.get("label")
        problems = (drift.rows.get(key) or {}).get("problems") or []
        reviewers, labels, dates = map(list, zip(*people[key])) if key in people else ([], [], [])
        together = verdict(label, labels, problems)
        if together is None:
            continue
        rows.append(
            {
                **dict(zip(("fact_id", "language", "item"), key)),
                "property_id": key[0].split("|")[1],
                "question": texts[key]["question"],
                "answer_text": texts[key]["answer_text"],
                "label": together,
                "judge_label": label,
                "judge_model": judge.about.get("model") if label else None,
                "judge_date": said.get("date") if label else None,
                "judge_rationale": said.get("rationale") if label else None,
                "judge_urls": said.get("urls") or [],
                "judge_also_right": said.get("also_right") or [],
                "drift": list(problems),
                "reviewers": reviewers,
                "human_labels": labels,
                "human_dates": dates,
            }
        )
    return rows


def as_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows with the declared schema."""
    return pa.Table.from_pylist(list(rows), schema=VERIFICATION.schema)
