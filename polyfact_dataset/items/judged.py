"""The labels of judges and reviewers for the items of a build that have not changed since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.config.build import Config
from polyfact_dataset.items.agreement import agreement
from polyfact_dataset.items.columns import Labels, item_columns
from polyfact_dataset.items.evidence import Evidence, item_digest, relation_evidence
from polyfact_dataset.items.judgement_figures import agreements, ambiguity, label_pairs
from polyfact_dataset.schema import OPTIONS

UNVERIFIED = "unverified"


@dataclass(frozen=True)
class Judged:
    """Rows of the verification table about unchanged items, each with the item's options and the `split` of its fact.

    `stale` is the number of rows about changed or removed items, which are ignored. `evidence` is that of each
    relation, `labels` maps facts to their languages with a label.
    """

    rows: Sequence[Mapping[str, Any]]
    stale: int
    evidence: Mapping[str, Evidence]
    labels: Mapping[str, Mapping[str, str]]

    def of(self, fact: str) -> tuple[str, tuple[str, ...]]:
        """The fact's label and the languages that decided it: the worst of its items, `unverified` where none."""
        label_of = self.labels.get(fact, {})
        for label in ("incorrect", "ambiguous", "correct"):
            codes = tuple(code for code, item_label in label_of.items() if item_label == label)
            if codes:
                return label, codes
        return UNVERIFIED, ()

    def counts(self, languages: Sequence[str], relations: Sequence[str]) -> dict[str, Any]:
        """For the manifest: figures by language and relation, agreement, judges and days."""
        judged, _, reviewers = label_pairs(self.rows)
        days = sorted(row["judge_date"] for row in self.rows if row["judge_date"])
        return {
            "items": len(self.rows),
            "stale": self.stale,
            "judges": sorted({row["judge_model"] for row in self.rows if row["judge_model"]}),
            "days": [days[0], days[-1]] if days else [],
            "reviewers": len({reviewer for row in self.rows for reviewer in row["reviewers"]}),
            "by_language": ambiguity(self.rows, "language", languages),
            "by_relation": ambiguity(self.rows, "property_id", relations),
            "agreement": agreements(judged, languages),
            "people": {names: agreement(pairs).as_json() for names, pairs in sorted(reviewers.items())},
        }


def _items_by_digest(
    items: pa.Table, question_labels: pa.Table, languages: Sequence[str]
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """(fact, language, digest of the item) -> its split, options and `answer_index`, of all `items`."""
    labels, known = Labels(question_labels), {}
    facts, subjects = items.column("fact_id").to_pylist(), items.column("subject_id").combine_chunks()
    splits = items.column("split").to_pylist()
    for code in languages:
        shown = item_columns(items.column(code).combine_chunks(), subjects, labels, code)
        texts = [shown[name].to_pylist() for name in ("question", "answer_text", "answer_index", *OPTIONS)]
        for fact, split, question, answer, marked, *options in zip(facts, splits, *texts):
            key = fact, code, item_digest(question, answer, options)
            known[key] = {"split": split, "answer_index": marked, **dict(zip(OPTIONS, options))}
    return known


def judged(table: pa.Table | None, items: pa.Table, question_labels: pa.Table, config: Config) -> Judged:
    """The labels of a verification table for `items` (all their columns)."""
    relations = config.relations
    if table is None:
        return Judged((), 0, relation_evidence((), relations, config.tiers), {})
    judged_items = items.filter(pc.is_in(items.column("fact_id"), table.column("fact_id").combine_chunks()))
    known = _items_by_digest(judged_items, question_labels, config.languages)
    table_rows = table.to_pylist()
    keyed = [(row, known.get((row["fact_id"], row["language"], row["item"]))) for row in table_rows]
    rows = [{**row, **item} for row, item in keyed if item is not None]
    labels: dict[str, dict[str, str]] = defaultdict(dict)
    order = {code: position for position, code in enumerate(config.languages)}
    for row in sorted(rows, key=lambda row: (row["fact_id"], order[row["language"]])):
        if row["label"] is not None:
            labels[row["fact_id"]][row["language"]] = row["label"]
    return Judged(rows, len(table_rows) - len(rows), relation_evidence(rows, relations, config.tiers), labels)
