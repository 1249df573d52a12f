"""Rules that see only the options, and how often they are right. Apart from the project's audit, to check it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

Rule = Callable[[Mapping, str], float]


def accuracy(rows: Sequence[Mapping], rule: Rule) -> float:
    """Share of rows whose gold has the highest value; among k that tie, the gold counts 1/k."""
    right = 0.0
    for row in rows:
        values = {entity: rule(row, entity) for entity in (row["object_id"], *row["distractor_ids"])}
        best = [entity for entity, value in values.items() if value == max(values.values())]
        right += (row["object_id"] in best) / len(best)
    return right / len(rows)


def rules(train: Iterable[Mapping], texts: Mapping[str, Mapping[str, str]]) -> dict[str, Rule]:
    """The issue's rules. `texts` is language -> entity -> label."""
    golds = Counter((row["property_id"], row["object_id"]) for row in train)
    found: dict[str, Rule] = {
        "most often a gold in train": lambda row, entity: golds[row["property_id"], entity],
        "least often a gold in train": lambda row, entity: -golds[row["property_id"], entity],
    }
    for code, labels in texts.items():
        ranks = {entity: rank for rank, entity in enumerate(sorted(labels, key=lambda entity: labels[entity]))}
        found[f"longest in {code}"] = lambda row, entity, own=labels: len(own[entity])
        found[f"shortest in {code}"] = lambda row, entity, own=labels: -len(own[entity])
        found[f"first in the alphabet in {code}"] = lambda row, entity, own=ranks: -own[entity]
    return found


def outside(rows: Sequence[Mapping], texts: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Rules whose accuracy on test is more than three standard errors from 25 %."""
    test = [row for row in rows if row["split"] == "test"]
    error = math.sqrt(0.25 * 0.75 / len(test))
    scores = {
        name: accuracy(test, rule) for name, rule in rules([r for r in rows if r["split"] == "train"], texts).items()
    }
    return {name: score for name, score in scores.items() if abs(score - 0.25) > 3 * error}
