"""Relations that are too small for their splits: left out as a whole, or kept only in train.

A relation without test facts cannot be measured, and one without train facts cannot be learned. The minimum is
`sample.min_split_facts`. A relation below `sample.min_relation_facts` needs four facts, since an item has four options.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from polyfact_dataset.config.build import Config, SampleConfig
from polyfact_dataset.items.strata import Pool
from polyfact_dataset.pipeline.context import Previous
from polyfact_dataset.schema import SPLITS

FEWEST = 4
Rows = list[dict[str, Any]]
Choose = Callable[[Pool, Config, Previous], tuple[Rows, set[str]]]


def minimum(facts: int, config: SampleConfig) -> int:
    """The minimum number of facts in each split of a relation with this total number of facts."""
    return config.min_split_facts if facts >= config.min_relation_facts else FEWEST


def short_relations(rows: Rows, config: SampleConfig) -> dict[str, dict[str, int]]:
    """Relation -> facts by split, of the relations that have less than their minimum in some split."""
    counts = Counter((row["property_id"], row["split"]) for row in rows)
    short = {}
    for relation in sorted({relation for relation, _ in counts}):
        sizes = {split: counts[relation, split] for split in SPLITS}
        if min(sizes.values()) < minimum(sum(sizes.values()), config):
            short[relation] = sizes
    return short


def _without(pool: Pool, relations: Collection[str]) -> Pool:
    """The pool without the facts of some relations."""
    rest = copy.copy(pool)
    rest.facts = {relation: facts for relation, facts in pool.facts.items() if relation not in relations}
    return rest


def choose_whole(
    pool: Pool, config: Config, previous: Previous, choose: Choose
) -> tuple[Rows, set[str], dict[str, dict[str, int]]]:
    """The selection of `choose` from the relations that have their minimum in every split, and the other relations.

    Facts of the others are replaced by facts of the remaining relations. With `small_relations = "train"` they are only
    in train instead. Where no relation has its minimum, as in a release of a few facts, nothing is left out.
    """
    left_out: dict[str, dict[str, int]] = {}
    while True:
        rows, unserved = choose(_without(pool, left_out), config, previous)
        short = short_relations(rows, config.sample)
        if len(short) == len({row["property_id"] for row in rows}):
            return rows, unserved, left_out
        if config.sample.small_relations == "train":
            kept = [row for row in rows if row["property_id"] not in short or _stays_in_train(row, short)]
            return kept, unserved, short
        if not short:
            return rows, unserved, left_out
        left_out.update(short)


def _stays_in_train(row: Mapping[str, Any], short: Mapping[str, Mapping[str, int]]) -> bool:
    return bool(row["split"] == "train" and short[row["property_id"]]["train"] >= FEWEST)


def as_sentence(relation: str, sizes: Mapping[str, int], config: SampleConfig) -> str:
    """The log message about a relation that lacks its minimum in some split."""
    least = minimum(sum(sizes.values()), config)
    lacking = ", ".join(f"{split} holds {size}" for split, size in sizes.items() if size < least)
    effect = "is left out" if config.small_relations == "leave_out" else "is only in train"
    return f"sample: {relation} {effect}: {lacking} of at least {least} facts"
