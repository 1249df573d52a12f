"""Permutations of the golds: what must hold, tight cases, and what cannot be served."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfact_dataset.items import distractors
from polyfact_dataset.items.distractors import NoDrawingError, draw, feasible
from polyfact_dataset.items.layout import order_of


def never(*_: int) -> bool:
    return False


def same(one: int, other: int) -> bool:
    return one == other


def test_feasible() -> None:
    assert feasible([1, 2, 3, 4]) and feasible([1, 1, 2, 2, 3, 3, 4, 4])
    assert not feasible([1, 1, 2, 3]) and not feasible([1, 2, 3])


def test_feasible_counts_the_facts_of_which_an_answer_is_true_too() -> None:
    golds = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    also = [{gold} for gold in golds]
    assert feasible(golds, also)
    also[3] = {1, 0}  # 0 could be offered to eight facts only, and has to be in nine
    assert not feasible(golds, also) and feasible([*golds, 4], [*also, {4}])
    # One row in a hundred stays free for exclusions that are not known yet.
    assert feasible(list(range(4)) * 25) and not feasible(list(range(4)) * 25, [{0}] * 100)


@pytest.mark.parametrize("size", [3, 400])
def test_what_is_impossible_is_found_at_once(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    golds, drawn = [0, 1, 2, 3] * size, []
    repair = distractors._Column.repair
    monkeypatch.setattr(distractors._Column, "repair", lambda self: (drawn.append(1), repair(self))[1])
    with pytest.raises(NoDrawingError) as caught:
        draw(golds, lambda row, entity: (row, entity) == (1, 0), same, "x")
    assert caught.value.row == 1
    assert len(drawn) <= 3, "one attempt of three columns"


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(0, 12), min_size=4, max_size=60),
    st.sets(st.tuples(st.integers(0, 59), st.integers(0, 12)), max_size=12),
)
def test_columns_are_permutations_and_items_are_sound(golds: list[int], bars: set[tuple[int, int]]) -> None:
    try:
        result = draw(golds, lambda row, entity: (row, entity) in bars, same, "seed")
    except NoDrawingError as error:
        assert 0 <= error.row < len(golds)
        return
    assert feasible(golds)
    for column in result.columns:
        assert Counter(column) == Counter(golds)
    for row, options in enumerate(zip(golds, *result.columns)):
        assert len(set(options)) == 4
        assert not any((row, entity) in bars for entity in options[1:])


@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_the_tightest_strata_are_served(size: int) -> None:
    golds = [0, 1, 2, 3] * size
    result = draw(golds, never, same, "tight")
    assert all(set(options) == {0, 1, 2, 3} for options in zip(golds, *result.columns))


def test_an_infeasible_stratum_names_a_fact() -> None:
    with pytest.raises(NoDrawingError):
        draw([0, 0, 1, 2], never, same, "x")
    with pytest.raises(NoDrawingError) as caught:
        draw([0, 1, 2, 3, 4], lambda row, entity: row == 2, same, "x")
    assert caught.value.row == 2


def test_conflicting_entities_never_share_an_item() -> None:
    golds = list(range(12)) * 2

    def conflicting(one: int, other: int) -> bool:
        return one // 2 == other // 2

    result = draw(golds, never, conflicting, "pairs")
    assert all(len({entity // 2 for entity in options}) == 4 for options in zip(golds, *result.columns))


def test_a_drawing_depends_on_its_seed_alone() -> None:
    golds = [n % 11 for n in range(60)]
    one, again, other = (draw(golds, never, same, seed) for seed in ("a", "a", "b"))
    assert one == again != other


def test_gold_positions_are_uniform_in_every_language() -> None:
    for code in ("en", "bn", "zh"):
        counts = Counter(order_of(42, f"Q{n}|P36|Q{n + 1}", code).index(0) for n in range(8000))
        chi_square = sum((counts[position] - 2000) ** 2 / 2000 for position in range(4))
        assert chi_square < 16.27  # 0.1 % point with 3 degrees of freedom
    assert order_of(1, "x", "en") == order_of(1, "x", "en")
    assert len({order_of(seed, "x", "en") for seed in range(60)}) > 15
