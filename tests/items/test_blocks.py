"""Blocks of four facts: exact exchangeability, whatever the golds, and only options that may be offered."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfact_dataset.config.build import Config, DistractConfig, load_config
from polyfact_dataset.items import block_selection
from polyfact_dataset.items.block_selection import _cells, block_quotas
from polyfact_dataset.items.blocks import FORBIDDEN, SIZE, costs_of, dividable, divide, improve
from polyfact_dataset.items.selection import choose, withdraw
from polyfact_dataset.items.splits import Fact
from polyfact_dataset.pipeline.context import Previous
from tests.support.synthetic import pool

GOLDS = st.lists(st.sampled_from("abcdefgh"), max_size=60)


@given(GOLDS)
def test_a_dividable_subset_is_in_order_and_as_even_as_blocks_need(golds: list[str]) -> None:
    rows = dividable(golds)
    assert rows == sorted(set(rows)) and len(rows) % SIZE == 0
    assert all(count <= len(rows) // SIZE for count in Counter(golds[row] for row in rows).values())


@given(GOLDS)
def test_what_is_dividable_as_a_whole_stays_whole(golds: list[str]) -> None:
    even = [golds[row] for row in dividable(golds)]
    assert dividable(even) == list(range(len(even)))


@given(GOLDS, st.integers(0, 5), st.integers(0, 3))
@settings(deadline=None)
def test_every_gold_is_an_option_four_times_as_often_as_a_gold(golds: list[str], rounds: int, seed: int) -> None:
    kept = [golds[row] for row in dividable(golds)]
    if not kept:
        return
    rng = np.random.default_rng(seed)
    prices = rng.integers(0, 1000, (len(kept), len(kept)))
    cost = prices + prices.T
    same = np.array(kept)[:, None] == np.array(kept)[None, :]
    cost[same] = FORBIDDEN
    np.fill_diagonal(cost, 0)
    start = divide(kept, list(range(len(kept))))
    blocks = improve(start, cost, rounds, rng)
    assert sorted(blocks.ravel().tolist()) == list(range(len(kept)))
    assert costs_of(blocks, cost).sum() <= costs_of(start, cost).sum()
    options: Counter[str] = Counter()
    for block in blocks.tolist():
        assert len({kept[row] for row in block}) == SIZE
        for _ in block:
            options.update(kept[row] for row in block)
    assert options == Counter({gold: SIZE * count for gold, count in Counter(kept).items()})


def test_rows_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of four"):
        divide(["a", "a", "b", "c"], range(4))


def _fact(number: int, answer: str, kinds: tuple[str, ...], kind_of_answer: str = "") -> Fact:
    name = f"Q{number}|P136|{answer}"
    return Fact(name, f"Q{number}", "P136", answer, kinds=kinds, answer_class=kind_of_answer)


def test_facts_of_two_kinds_are_never_in_one_cell() -> None:
    kinds = (("film", "production"), ("series", "production"), ("game",))
    facts = [_fact(number, f"A{number % 7}", kinds[number % 3]) for number in range(96)]
    cells = _cells(facts, DistractConfig())
    assert all(len({fact.kinds for fact in cell}) == 1 for cell in cells) and sum(map(len, cells)) == 96


def test_too_few_of_a_kind_are_put_together_with_the_wider_kind_alone() -> None:
    facts = [_fact(number, f"A{number % 7}", ("film", "production")) for number in range(40)]
    facts += [_fact(100 + number, f"A{number}", ("series", "production")) for number in range(4)]
    facts += [_fact(200 + number, f"A{number}", ("game",)) for number in range(3)]
    cells = _cells(facts, DistractConfig())
    assert {len({fact.kinds[-1] for fact in cell}) for cell in cells} == {1}
    assert sum(map(len, cells)) == 44


def test_a_wide_kind_that_is_a_heading_puts_nothing_together() -> None:
    console, phone, missile = ("console", "device", "product"), ("phone", "device", "product"), ("missile", "product")

    def facts(*kinds: tuple[str, ...]) -> list[Fact]:
        return [Fact(f"f{n}", f"s{n}", "P176", f"a{n}", kinds=one, wording="w") for n, one in enumerate(kinds)]

    car, ship = ("car", "vehicle", "product"), ("ship", "vehicle", "product")
    config = DistractConfig(min_cell_facts=4)
    assert _cells(facts(car, car, ship, ship), config) == []
    assert [len(cell) for cell in _cells(facts(console, console, phone, phone), config)] == [4]
    assert _cells(facts(console, console, missile, missile), config) == []


def test_more_facts_are_matched_where_there_are_more() -> None:
    few, some, many = (pool(number, ("en",), answers=40) for number in (100, 220, 600))
    config = Config(facts=100)
    assert [round(block_selection._oversample(one, config), 1) for one in (few, some, many)] == [1.4, 2.2, 3.0]


def test_quotas_are_whole_blocks_with_the_minima_of_held_out_splits() -> None:
    available = {("P36", "train"): 100, ("P36", "test"): 5, ("P36", "validation"): 5, ("P17", "train"): 3}
    quotas = block_quotas(available, Config(facts=200))
    assert quotas["P36", "test"] == quotas["P36", "validation"] == 2
    assert sum(quotas.values()) <= 50 and quotas["P17", "train"] == 3


@pytest.fixture(scope="module")
def drawn() -> tuple[Any, list[dict[str, Any]]]:
    valid = pool(1400, ("en", "zh"), answers=40)
    rows, _ = choose(valid, load_config(facts=500, languages=("en", "zh")))
    return valid, rows


def test_blocks_have_each_others_golds_as_options(drawn: Any) -> None:
    valid, rows = drawn
    blocks = defaultdict(list)
    for row in rows:
        blocks[row["stratum"]].append(row)
    facts = {fact.id: fact for own in valid.facts.values() for fact in own}
    for block in blocks.values():
        golds = {row["object_id"] for row in block}
        assert len(block) == len(golds) == SIZE
        assert len({(row["property_id"], row["split"]) for row in block}) == 1
        for row in block:
            assert {row["object_id"], *row["distractor_ids"]} == golds
            fact = facts[row["fact_id"]]
            questions = valid.questions_of([fact])[0]
            assert not any(valid.excluded(fact, questions, entity) for entity in row["distractor_ids"])
            assert not any(valid.conflicting(one, two) for one in golds for two in golds if one != two)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_blocks_do_not_depend_on_the_number_of_processes(
    drawn: Any, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_selection, "_MANY_FACTS", 1)
    valid, rows = drawn
    config = load_config(facts=500, languages=("en", "zh"), extract__workers=workers)
    assert choose(valid, config)[0] == rows


def test_the_same_pool_gives_the_same_blocks(drawn: Any) -> None:
    _, rows = drawn
    again, _ = choose(pool(1400, ("en", "zh"), answers=40), load_config(facts=500, languages=("en", "zh")))
    assert again == rows


def test_the_subjects_of_an_earlier_release_keep_their_split(drawn: Any) -> None:
    valid, rows = drawn
    previous = {row["subject_id"]: row["split"] for row in rows}
    config = load_config(facts=550, languages=("en", "zh"), seed=9)
    later, _ = choose(valid, config, Previous(previous))
    assert all(previous.get(row["subject_id"], row["split"]) == row["split"] for row in later)
    assert len({row["subject_id"] for row in later} & previous.keys()) > 100


def _as_previous(rows: list[dict[str, Any]]) -> Previous:
    """What a release of these rows fixes."""
    blocks: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        blocks[row["stratum"]].append(row["fact_id"])
    return Previous({row["subject_id"]: row["split"] for row in rows}, tuple(map(tuple, blocks.values())))


def _content(rows: list[dict[str, Any]]) -> dict[str, tuple[str, list[str]]]:
    return {row["fact_id"]: (row["split"], row["distractor_ids"]) for row in rows}


def test_the_same_candidates_give_the_blocks_of_the_earlier_release(drawn: Any) -> None:
    valid, rows = drawn
    later, _ = choose(valid, load_config(facts=500, languages=("en", "zh")), _as_previous(rows))
    assert _content(later) == _content(rows)


def test_only_blocks_of_what_is_gone_are_replaced(drawn: Any) -> None:
    _, rows = drawn
    gone = {row["fact_id"] for row in rows[::50]}
    broken = {row["stratum"] for row in rows[::50]}
    valid = pool(1400, ("en", "zh"), answers=40)
    withdraw(valid, gone)
    later, _ = choose(valid, load_config(facts=500, languages=("en", "zh")), _as_previous(rows))
    before, after = _content(rows), _content(later)
    kept = {row["fact_id"] for row in rows if row["stratum"] not in broken}
    assert {name: after.get(name) for name in kept} == {name: before[name] for name in kept}
    assert len(after) == len(before) and not gone & after.keys()
    orphans = before.keys() - kept - gone
    assert len(orphans & after.keys()) > len(orphans) / 3, "they are preferred"
    assert all(after[name][0] == before[name][0] for name in after.keys() & before.keys())


def test_strata_are_still_a_choice(drawn: Any) -> None:
    valid, _ = drawn
    rows, _ = choose(valid, load_config(facts=500, languages=("en", "zh"), distract__design="strata"))
    assert max(Counter(row["stratum"] for row in rows).values()) > SIZE
