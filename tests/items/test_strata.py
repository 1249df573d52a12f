"""Strata and what may not be a distractor, in a planted world."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import read_parquet
from polyfact_dataset.config.build import DistractConfig
from polyfact_dataset.items.strata import ENDED, Pool, answer_classes
from polyfact_dataset.pipeline.stages import SAMPLE, stage_folder, table_path
from tests.support.planted import build, item, labels, state, world


def load(out: Path) -> Pool:
    return Pool(
        read_parquet(table_path(out, "valid_candidates")),
        read_parquet(table_path(out, "labels")),
        read_parquet(table_path(out, "answer_aliases")),
        read_parquet(table_path(out, "questions")),
        read_parquet(table_path(out, "true_objects")),
        PAPER_LANGUAGES,
    )


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    entities = world(40)
    # The first country's former capital is the second's; the third country is called like the fourth's capital;
    # two capitals look the same in Chinese only.
    state(entities[0], "P36", ("Q1002", "normal", "1900"))
    entities[4]["labels"]["en"]["value"] = "Land of Town 4"
    entities[21]["labels"]["zh"]["value"] = entities[23]["labels"]["zh"]["value"]
    # In Swahili one capital is also known by another's name.
    town = next(own for own in entities if own["id"] == "Q1015")["labels"]["sw"]["value"]
    other = next(own for own in entities if own["id"] == "Q1017")
    other["aliases"] = {"sw": [{"language": "sw", "value": town}]}
    # One "capital" is a person by mistake.
    state(next(own for own in entities if own["id"] == "Q1019"), "P31", "Q5")
    return load(build(tmp_path_factory.mktemp("pool"), entities, "validate"))


def fact(pool: Pool, name: str):
    return next(f for f in pool.facts["P36"] if f.id == name)


def test_answers_of_a_class_share_a_type() -> None:
    types = {"A": ("Q515", "Q1"), "B": ("Q515",), "C": ("Q3957", "Q1"), "D": ()}
    facts = [("1", "A"), ("2", "B"), ("3", "B"), ("4", "C"), ("5", "D")]
    assert answer_classes(facts, types) == {"A": "Q515", "B": "Q515", "C": "Q1", "D": ""}


def test_what_is_no_more_is_a_class_of_its_own() -> None:
    types = {"Germany": ("Q6256",), "Soviet Union": ("Q3024240", "Q6256x"), "Suriname": ("Q6256", "Q3024240")}
    facts = [(str(number), answer) for number, answer in enumerate(types)]
    assert answer_classes(facts, types) == {"Germany": "Q6256", "Soviet Union": ENDED, "Suriname": "Q6256"}


def test_excluded(pool: Pool) -> None:
    first, third = fact(pool, "Q1|P36|Q1001"), fact(pool, "Q3|P36|Q1003")
    assert pool.excluded(first, pool.questions_of([first])[0], "Q1001")
    assert pool.excluded(first, pool.questions_of([first])[0], "Q1002")  # once true
    assert not pool.excluded(first, pool.questions_of([first])[0], "Q1003")
    assert pool.excluded(third, pool.questions_of([third])[0], "Q1004")  # "Land of Town 4" names it in English
    assert not pool.excluded(third, pool.questions_of([third])[0], "Q1005")


def test_entities_that_look_the_same_in_one_language_conflict(pool: Pool) -> None:
    assert (
        pool.conflicting("Q1011", "Q1012") and pool.conflicting("Q1012", "Q1011") and pool.conflicting("Q1001", "Q1001")
    )
    assert not pool.conflicting("Q1011", "Q1013")
    assert (
        pool.conflicting("Q1015", "Q1017")
        and pool.conflicting("Q1017", "Q1015")
        and not pool.conflicting("Q1016", "Q1017")
    )
    eleventh = fact(pool, "Q11|P36|Q1011")
    assert pool.excluded(eleventh, pool.questions_of([eleventh])[0], "Q1012")  # looks like the answer


def test_strata_partition_the_facts_and_stay_feasible(pool: Pool) -> None:
    facts = pool.facts["P36"]
    strata = pool.strata(facts, DistractConfig(min_stratum_facts=8))
    assert sorted(f.id for _, part in strata for f in part) == sorted(f.id for f in facts)
    for _, part in strata:
        assert len(part) >= 8 and 4 * max(Counter(f.answer for f in part).values()) <= len(part)


def test_types_and_lengths_separate_strata(tmp_path: Path) -> None:
    entities = []
    for number in range(1, 61):
        kind = "Q5" if number % 2 else "Q43229"
        long = " of the Most Serene and Ancient City" if number % 3 == 0 else ""
        entities.append(state(item(f"Q{number}", labels(f"Thing {number}")), "P176", f"Q{1000 + number}"))
        entities.append(item(f"Q{1000 + number}", labels(f"Body {number}{long}"), (kind,)))
    pool = load(build(tmp_path, entities, "validate"))
    strata = [part for _, part in pool.strata(pool.facts["P176"], DistractConfig(min_stratum_facts=8))]
    assert len(strata) >= 4
    for part in strata:
        assert len({pool.entities[f.answer].types for f in part}) == 1
        lengths = [len(pool.entities[f.answer].texts[0]) for f in part]
        assert max(lengths) <= 1.5 * min(lengths)


def test_a_fact_that_nothing_can_serve_is_left_out_with_its_reason(tmp_path: Path) -> None:
    entities = world(40)
    first = entities[0]
    state(first, "P36", *((f"Q{1000 + n}", "normal", "1900") for n in range(2, 41)))
    out = build(tmp_path, entities, "sample")
    rejects = pq.read_table(stage_folder(out, SAMPLE) / "rejects.parquet").to_pylist()
    assert {"fact_id": "Q1|P36|Q1001", "property_id": "P36", "reason": "no_distractors"} in rejects


def test_a_dump_without_four_answers_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="four answers"):
        build(tmp_path, world(3), "sample")


def test_a_person_is_no_option_among_other_things(pool: Pool) -> None:
    assert pool.conflicting("Q1019", "Q1020") and pool.conflicting("Q1020", "Q1019")
    assert not pool.conflicting("Q1018", "Q1020")
