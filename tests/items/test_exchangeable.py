"""No rule that sees only the options beats chance: on many facts with Zipf-shaped answers, in every language."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.config.build import Config
from polyfact_dataset.items.selection import choose
from tests.support.shortcuts import outside
from tests.support.synthetic import pool


@pytest.fixture(scope="module")
def languages(pytestconfig):
    """All languages take two minutes: usually four, of four scripts."""
    return PAPER_LANGUAGES if pytestconfig.getoption("--slow") else ("en", "ar", "ru", "zh")


@pytest.fixture(scope="module")
def facts(pytestconfig):
    return 100_000 if pytestconfig.getoption("--slow") else 20_000


@pytest.fixture(scope="module")
def drawn(facts, languages):
    valid = pool(facts * 7 // 5, languages)
    rows, _ = choose(valid, Config(facts=facts, languages=languages))
    return valid, rows


def test_sizes_are_exact(drawn, facts):
    _, rows = drawn
    held_out = facts // 40
    sizes = {"train": facts - 2 * held_out, "validation": held_out, "test": held_out}
    assert Counter(row["split"] for row in rows) == sizes
    # 100,000 facts are 4,545.5 for each of 22 relations, in whole blocks of four; 20,000 are 909.1.
    per_relation = Counter(row["property_id"] for row in rows)
    assert set(per_relation.values()) == ({4544, 4548} if facts == 100_000 else {908, 912})
    per_split = Counter((row["property_id"], row["split"]) for row in rows if row["split"] != "train")
    assert set(per_split.values()) == ({112, 116} if facts == 100_000 else {20, 24})


def test_every_entity_is_four_times_as_often_an_option_as_a_gold(drawn):
    _, rows = drawn
    golds, options = Counter(), Counter()
    for row in rows:
        golds[row["stratum"], row["object_id"]] += 1
        for entity in (row["object_id"], *row["distractor_ids"]):
            options[row["stratum"], entity] += 1
        assert len({row["object_id"], *row["distractor_ids"]}) == 4
    assert all(options[key] == 4 * count for key, count in golds.items()) and options.keys() == golds.keys()


def test_shortcuts_are_at_chance_on_the_test_split_in_every_language(drawn, languages):
    valid, rows = drawn
    texts = {
        code: {qid: entity.texts[position] for qid, entity in valid.entities.items()}
        for position, code in enumerate(languages)
    }
    assert outside(rows, texts) == {}


def test_the_published_way_of_drawing_fails_the_same_test(drawn):
    """Objects that co-occur with the relation, whatever their frequency as golds: what the first release did."""
    valid, rows = drawn
    rng = random.Random(1)
    answers = {relation: sorted({f.answer for f in facts}) for relation, facts in valid.facts.items()}
    published = []
    for row in rows:
        others = [e for e in rng.sample(answers[row["property_id"]], 4) if e != row["object_id"]]
        published.append({**row, "distractor_ids": others[:3]})
    assert "most often a gold in train" in outside(published, {})
