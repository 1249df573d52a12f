"""No rule that sees only the options beats chance: on 100,000 facts with Zipf-shaped answers, in every language."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from polyfact_dataset.config import Config
from polyfact_dataset.facts.sample import choose
from polyfact_dataset.languages import PAPER_LANGUAGES
from tests.synthetic import pool


@pytest.fixture(scope="module")
def drawn():
    survivors = pool(140_000, PAPER_LANGUAGES)
    rows, _ = choose(survivors, Config(facts=100_000))
    return survivors, rows


def test_sizes_are_exact(drawn):
    _, rows = drawn
    assert Counter(row["split"] for row in rows) == {"train": 95_000, "validation": 2_500, "test": 2_500}
    per_relation = Counter(row["property_id"] for row in rows)
    assert max(per_relation.values()) - min(per_relation.values()) <= 1
    held_out = Counter((row["property_id"], row["split"]) for row in rows if row["split"] != "train")
    assert set(held_out.values()) <= {113, 114}


def test_every_entity_is_four_times_as_often_an_option_as_a_gold(drawn):
    _, rows = drawn
    golds, options = Counter(), Counter()
    for row in rows:
        golds[row["stratum"], row["object_id"]] += 1
        for entity in (row["object_id"], *row["distractor_ids"]):
            options[row["stratum"], entity] += 1
        assert len({row["object_id"], *row["distractor_ids"]}) == 4
    assert all(options[key] == 4 * count for key, count in golds.items()) and options.keys() == golds.keys()


def accuracy(rows, pick) -> float:
    """Share of rows whose gold is picked; a tie of k options that holds the gold counts 1/k."""
    right = 0.0
    for row in rows:
        options = [row["object_id"], *row["distractor_ids"]]
        keys = [pick(row, entity) for entity in options]
        best = [entity for entity, key in zip(options, keys) if key == max(keys)]
        right += (row["object_id"] in best) / len(best)
    return right / len(rows)


def test_shortcuts_are_at_chance_on_the_test_split_in_every_language(drawn):
    survivors, rows = drawn
    test = [row for row in rows if row["split"] == "test"]
    train = Counter((row["property_id"], row["object_id"]) for row in rows if row["split"] == "train")
    three_errors = 3 * math.sqrt(0.25 * 0.75 / len(test))
    rules = {
        "most often a gold in train": lambda row, e: train[row["property_id"], e],
        "least often a gold in train": lambda row, e: -train[row["property_id"], e],
    }
    for position, code in enumerate(PAPER_LANGUAGES):
        ranks = {
            e: r for r, e in enumerate(sorted(survivors.entities, key=lambda e: survivors.entities[e].texts[position]))
        }
        rules[f"longest {code}"] = lambda row, e, p=position: len(survivors.entities[e].texts[p])
        rules[f"shortest {code}"] = lambda row, e, p=position: -len(survivors.entities[e].texts[p])
        rules[f"first in the alphabet {code}"] = lambda row, e, r=ranks: -r[e]
    scores = {name: accuracy(test, rule) for name, rule in rules.items()}
    assert {name: score for name, score in scores.items() if abs(score - 0.25) > three_errors} == {}
