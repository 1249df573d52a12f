"""The verification table: the labels of judge and reviewers for each item, combined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import read_parquet
from polyfact_dataset.common.untrusted import Untrusted, read_validated
from polyfact_dataset.items.evidence import verdict
from polyfact_dataset.schema import UNSURE, VERIFICATION
from polyfact_dataset.verification.journal import Reviews

Key = tuple[str, str, str]
"""Fact, language, digest of the item."""


@dataclass(frozen=True)
class JudgeTable:
    """A judge's table: rows by item, and the judge's settings in `about`. `name` is None where there is no table."""

    name: str | None
    about: Mapping[str, Any]
    rows: Mapping[Key, Mapping[str, Any]]


def key_of(row: Mapping[str, Any]) -> Key:
    """The identity of a judged item."""
    return row["fact_id"], row["language"], row["item"]


class _SelfTest(Untrusted):
    recall: float = Field(ge=0, le=1)
    false_alarms: float = Field(ge=0, le=1)


class JudgeRecord(Untrusted):
    """The description of a judge next to its table."""

    model: str
    api: str
    search_tool: str
    served: dict[str, int] = {}
    self_test: _SelfTest | None = None


def judge_table(folder: Path, kind: str, name: str) -> JudgeTable:
    """The judge's table in the subfolder `kind` whose name begins with `name`.

    Raises `ConfigError` when several do, or when a named one does not exist.
    """
    matching = [path for path in sorted((folder / kind).glob("*.parquet")) if path.stem.startswith(name)]
    if len(matching) > 1 or (name and not matching):
        known = ", ".join(path.stem for path in matching or sorted((folder / kind).glob("*.parquet")))
        raise ConfigError(f"{folder / kind} contains {known or 'no judge'}; select one by the start of its name")
    if not matching:
        return JudgeTable(None, {}, {})
    rows = {key_of(row): row for row in read_parquet(matching[0]).to_pylist()}
    about = read_validated(matching[0].with_suffix(".json"), JudgeRecord, "run the judge again")
    return JudgeTable(matching[0].stem, about, rows)


def table_rows(judge: JudgeTable, drift: JudgeTable, reviews: Sequence[Reviews]) -> list[dict[str, Any]]:
    """Rows of `schema.VERIFICATION`, sorted; reviewers by number, in the order in which they began.

    Answers `unsure` of reviewers are left out: they are no labels.
    """
    people: dict[Key, list[tuple[str, str, str]]] = defaultdict(list)
    texts: dict[Key, Mapping[str, Any]] = {}
    for number, reviewer in enumerate(reviews, start=1):
        for key, review in reviewer.labels.items():
            if review.label == UNSURE:
                continue
            people[key].append((f"r{number}", review.label, review.at[:10]))
            texts[key] = {"question": review.question, "answer_text": review.answer_text}
    texts |= {**drift.rows, **judge.rows}
    rows = []
    for key in sorted(texts):
        judgement = judge.rows.get(key) or {}
        label = judgement.get("label")
        problems = (drift.rows.get(key) or {}).get("problems") or []
        reviewers, labels, dates = map(list, zip(*people[key])) if key in people else ([], [], [])
        combined = verdict(label, labels, problems)
        if combined is None:
            continue
        rows.append(
            {
                **dict(zip(("fact_id", "language", "item"), key)),
                "property_id": key[0].split("|")[1],
                "question": texts[key]["question"],
                "answer_text": texts[key]["answer_text"],
                "label": combined,
                "judge_label": label,
                "judge_model": judge.about.get("model") if label else None,
                "judge_date": judgement.get("date") if label else None,
                "judge_rationale": judgement.get("rationale") if label else None,
                "judge_urls": judgement.get("urls") or [],
                "judge_also_right": judgement.get("also_right") or [],
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
