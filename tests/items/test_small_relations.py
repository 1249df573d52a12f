"""A relation that cannot have its minimum in every split is left out, or is only in train."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from polyfact_dataset.config.build import Config, SampleConfig, load_config
from polyfact_dataset.items.small_relations import as_sentence, choose_whole, minimum, short_relations
from polyfact_dataset.pipeline.context import Previous


def rows_of(relation: str, train: int, validation: int, test: int) -> list[dict[str, Any]]:
    sizes = {"train": train, "validation": validation, "test": test}
    return [{"property_id": relation, "split": split} for split, size in sizes.items() for _ in range(size)]


SIZES = {"P36": (30, 8, 8), "P30": (0, 4, 8), "P136": (210, 0, 0), "P17": (40, 7, 8), "P38": (12, 4, 4)}


def choose(pool: SimpleNamespace, config: Config, previous: object) -> tuple[list[dict[str, Any]], set[str]]:
    return [row for relation in pool.facts for row in rows_of(relation, *SIZES[relation])], set()


def pool(*relations: str) -> Any:
    return SimpleNamespace(facts=dict.fromkeys(relations, ()))


def test_the_minimum_follows_the_size() -> None:
    assert [minimum(size, SampleConfig()) for size in (12, 39, 40, 500)] == [4, 4, 8, 8]


def test_short_relations_are_found_with_their_sizes() -> None:
    rows, _ = choose(pool(*SIZES), Config(), Previous())
    assert short_relations(rows, SampleConfig()) == {
        "P136": {"train": 210, "validation": 0, "test": 0},
        "P17": {"train": 40, "validation": 7, "test": 8},
        "P30": {"train": 0, "validation": 4, "test": 8},
    }


def test_they_are_left_out_as_a_whole() -> None:
    rows, _, left_out = choose_whole(pool(*SIZES), Config(), Previous(), choose)
    assert {row["property_id"] for row in rows} == {"P36", "P38"}
    assert set(left_out) == {"P136", "P17", "P30"}
    sentence = as_sentence("P30", left_out["P30"], SampleConfig())
    assert sentence == "sample: P30 is left out: train holds 0 of at least 4 facts"


def test_they_may_stay_in_train_alone() -> None:
    config = load_config(sample__small_relations="train")
    rows, _, short = choose_whole(pool(*SIZES), config, Previous(), choose)
    kept = {(row["property_id"], row["split"]) for row in rows}
    assert kept == {
        *(("P36", split) for split in ("train", "validation", "test")),
        *(("P38", split) for split in ("train", "validation", "test")),
        ("P136", "train"),
        ("P17", "train"),
    }
    assert "is only in train" in as_sentence("P136", short["P136"], config.sample)


def test_a_release_in_which_no_relation_is_whole_stays_as_it_is() -> None:
    rows, _, left_out = choose_whole(pool("P136", "P30"), Config(), Previous(), choose)
    assert len(rows) == 222 and left_out == {}


@pytest.mark.parametrize("choice", ["drop", ""])
def test_another_choice_is_refused(choice: str) -> None:
    with pytest.raises(Exception, match="small_relations"):
        load_config(sample__small_relations=choice)
