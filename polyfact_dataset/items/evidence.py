"""Evidence of a fact's quality: the labels of judges and reviewers, and the ambiguity of relations."""

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
    """The identity of a judged item: 16 hexadecimal digits. The order of the options does not count."""
    text = json.dumps([question, answer, sorted(options)], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def verdict(judge: str | None, people: Sequence[str], drift: Sequence[str]) -> str | None:
    """The combined label; None without labels.

    It is `correct` only where all labels are. It is `incorrect` where all reviewers' labels are, or the judge's label
    where there are no reviewers, because reviewers outrank the judge. Otherwise it is `ambiguous`.
    """
    labels = {*people, *([judge] if judge else [])}
    if not labels and not drift:
        return None
    if set(people) == {"incorrect"} or (not people and judge == "incorrect"):
        return "incorrect"
    return "correct" if labels == {"correct"} and not drift else "ambiguous"


@dataclass(frozen=True)
class Evidence:
    """The evidence of a relation's ambiguity: `ambiguity` decides the tiers, and is None where it is unknown.

    `judged` items of this verification, `doubtful` of them ambiguous or incorrect; `source` names the evidence.
    """

    judged: int
    doubtful: int
    ambiguity: float | None
    source: str


def rated(row: Mapping[str, Any]) -> str | None:
    """The label that counts for rates: the judge's, as in the paper, or else the reviewers'."""
    if row["judge_label"] is not None:
        return str(row["judge_label"])
    return verdict(None, row["human_labels"], ())


def relation_evidence(
    rows: Iterable[Mapping[str, Any]], relations: Iterable[str], config: TiersConfig
) -> dict[str, Evidence]:
    """The evidence for each relation, from rows of the verification table.

    A share of k doubtful among n items is shrunk towards the share p of all relations: (k + m p) / (n + m), with m
        `prior_items`. With fewer than `min_judged_items` the share of `relations.toml` (paper, Table 7) is used.
    """
    labels: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        label = rated(row)
        if label is not None:
            labels[row["property_id"]].append(label)
    doubtful = {
        relation: sum(label != "correct" for label in relation_labels) for relation, relation_labels in labels.items()
    }
    total = sum(map(len, labels.values()))
    overall = sum(doubtful.values()) / total if total else 0.0
    known, evidence = all_relations(), {}
    for relation in relations:
        judged, doubts = len(labels[relation]), doubtful.get(relation, 0)
        default = known[relation].ambiguity if relation in known else None
        if judged >= config.min_judged_items:
            drawn = (doubts + config.prior_items * overall) / (judged + config.prior_items)
            evidence[relation] = Evidence(judged, doubts, drawn, f"{judged} items judged")
        else:
            kept = "not known" if default is None else f"{default:.2f} of the paper's Table 7"
            reason = f"{kept}: {judged} items judged, fewer than {config.min_judged_items}"
            evidence[relation] = Evidence(judged, doubts, default, reason)
    return evidence
