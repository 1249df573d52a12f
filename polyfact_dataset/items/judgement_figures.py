"""Figures from rows of the verification table: shares by language or relation, and pairs of labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from polyfact_dataset.items.agreement import agreement, share
from polyfact_dataset.items.evidence import rated
from polyfact_dataset.schema import LABELS

ALL = "all"


def ambiguity(rows: Sequence[Mapping[str, Any]], name: str, values: Iterable[str]) -> dict[str, Any]:
    """Value of a column -> share of its items that are ambiguous or incorrect; and of all."""
    entries: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        label = rated(row)
        if label is not None:
            entries[row[name]].append((row["fact_id"], label))
            entries[ALL].append((row["fact_id"], label))
    shares = {}
    for value in (*values, ALL):
        labels = Counter(label for _, label in entries[value])
        doubt = share((fact, label != "correct") for fact, label in entries[value])
        shares[value] = {"labels": {label: labels[label] for label in LABELS}, "doubtful": doubt.as_json()}
    return shares


Pair = tuple[str, str, str]


Pairs = dict[str, list[Pair]]


def label_pairs(rows: Sequence[Mapping[str, Any]]) -> tuple[Pairs, Pairs, Pairs]:
    """(fact, label, label) of judge and reviewer by language, of two reviewers by language, and by their numbers."""
    judged: Pairs = defaultdict(list)
    people: Pairs = defaultdict(list)
    reviewers: Pairs = defaultdict(list)
    for row in rows:
        human = sorted(zip(row["reviewers"], row["human_labels"]), key=lambda entry: int(entry[0][1:]))
        for _, label in human if row["judge_label"] is not None else ():
            judged[row["language"]].append((row["fact_id"], row["judge_label"], label))
        for (first, one), (second, other) in combinations(human, 2):
            people[row["language"]].append((row["fact_id"], one, other))
            reviewers[f"{first} and {second}"].append((row["fact_id"], one, other))
    return judged, people, reviewers


def agreements(pairs: Mapping[str, Sequence[Pair]], names: Iterable[str], relaxed: bool = False) -> dict[str, Any]:
    """Name -> agreement of its pairs, of those `names` that have any; and of all."""
    by_name = {name: list(pairs[name]) for name in names if pairs.get(name)}
    if by_name:
        by_name[ALL] = [pair for group in by_name.values() for pair in group]
    return {name: agreement(group).as_json(relaxed) for name, group in by_name.items()}
