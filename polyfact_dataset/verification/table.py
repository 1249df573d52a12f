"""The verification table: what judge and people say of an item, together; and what follows for its relation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import read_json, read_parquet
from polyfact_dataset.config.build import TiersConfig
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


def verdict(judge: str | None, people: Sequence[str], drift: Sequence[str]) -> str | None:
    """What all say together; None when nobody says anything.

    `correct` only where nobody doubts. `incorrect` where all people say so, or the judge where no one reviewed: people
    outrank it. Everything between is `ambiguous`.
    """
    labels = {*people, *([judge] if judge else [])}
    if not labels and not drift:
        return None
    if set(people) == {"incorrect"} or (not people and judge == "incorrect"):
        return "incorrect"
    return "correct" if labels == {"correct"} and not drift else "ambiguous"


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


# ---------------------------------------------------------------- relations
@dataclass(frozen=True)
class Evidence:
    """What is known of a relation's ambiguity: `ambiguity` is what tiers follow, None where nothing is known.

    `judged` items of this verification, `doubtful` of them ambiguous or incorrect; `source` says what decided.
    """

    judged: int
    doubtful: int
    ambiguity: float | None
    source: str


def rated(row: Mapping[str, Any]) -> str | None:
    """The label that counts for rates: the judge's, as in the paper; people's where the judge has none."""
    if row["judge_label"] is not None:
        return str(row["judge_label"])
    return verdict(None, row["human_labels"], ())


def relation_evidence(
    rows: Iterable[Mapping[str, Any]], relations: Iterable[str], config: TiersConfig
) -> dict[str, Evidence]:
    """The evidence for each relation, from rows of the verification table.

    A share of k doubtful among n items is drawn towards the share p of all relations: (k + m p) / (n + m), with m
    `prior_items`. With fewer than `min_judged_items` the share of `relations.toml` (paper, Table 7) stays.
    """
    labels: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        label = rated(row)
        if label is not None:
            labels[row["property_id"]].append(label)
    doubtful = {relation: sum(label != "correct" for label in own) for relation, own in labels.items()}
    total = sum(map(len, labels.values()))
    overall = sum(doubtful.values()) / total if total else 0.0
    known, found = all_relations(), {}
    for relation in relations:
        judged, doubts = len(labels[relation]), doubtful.get(relation, 0)
        default = known[relation].ambiguity if relation in known else None
        if judged >= config.min_judged_items:
            drawn = (doubts + config.prior_items * overall) / (judged + config.prior_items)
            found[relation] = Evidence(judged, doubts, drawn, f"{judged} items judged")
        else:
            kept = "not known" if default is None else f"{default:.2f} of the paper's Table 7"
            reason = f"{kept}: {judged} items judged, fewer than {config.min_judged_items}"
            found[relation] = Evidence(judged, doubts, default, reason)
    return found
