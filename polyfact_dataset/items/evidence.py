"""Evidence of a fact's quality: what judges and reviewers labelled, and the ambiguity of a relation that follows."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.config.build import TiersConfig


def item_digest(question: str, answer: str, options: Sequence[str]) -> str:
    """What identifies an item as it was judged: 16 hexadecimal digits. The order of the options does not count."""
    text = json.dumps([question, answer, sorted(options)], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


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
