"""Balance and splits: what must hold whatever the pools look like."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from polyfact_dataset.common.shares import share_evenly
from polyfact_dataset.config.build import SampleConfig
from polyfact_dataset.items.distractors import feasible
from polyfact_dataset.items.splits import Fact, largest, select, split_quotas

CONFIG = SampleConfig()


@given(st.integers(0, 500), st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 100), min_size=1))
def test_fill_is_even_up_to_capacity(total: int, capacity: dict[str, int]) -> None:
    given_ = share_evenly(total, capacity)
    assert sum(given_.values()) == min(total, sum(capacity.values()))
    open_ = [given_[key] for key in capacity if given_[key] < capacity[key]]
    assert all(given_[key] <= capacity[key] for key in capacity)
    assert not open_ or max(given_.values()) - min(open_) <= 1 or max(open_) - min(open_) <= 1
    assert not open_ or max(given_.values()) <= min(open_) + 1


@given(st.lists(st.integers(1, 60), max_size=12), st.integers(0, 200))
def test_largest_is_feasible_and_no_larger_one_is(sizes: list[int], limit: int) -> None:
    def possible(n: int) -> bool:
        return sum(min(size, int(n * 0.25)) for size in sizes) >= n

    best = max((n for n in range(min(limit, sum(sizes)) + 1) if possible(n)), default=0)
    assert largest(sizes, limit, 0.25) == best


def test_split_quotas_of_a_full_release() -> None:
    quotas = split_quotas(share_evenly(100_000, {f"P{n}": 10**6 for n in range(22)}), CONFIG)
    totals = Counter()
    for (_, split), number in quotas.items():
        totals[split] += number
    assert totals == {"train": 95_000, "validation": 2_500, "test": 2_500}


def test_small_relations_have_at_least_four_held_out_facts_and_others_eight() -> None:
    quotas = split_quotas({"P0": 11, "P1": 39, "P2": 40, "P3": 100}, CONFIG)
    assert [quotas["P0", split] for split in ("train", "validation", "test")] == [11, 0, 0]
    assert [quotas["P1", split] for split in ("train", "validation", "test")] == [31, 4, 4]
    assert [quotas["P2", split] for split in ("train", "validation", "test")] == [24, 8, 8]
    assert [quotas["P3", split] for split in ("train", "validation", "test")] == [84, 8, 8]


@st.composite
def pools(draw: st.DrawFn) -> dict[str, list[Fact]]:
    result = {}
    for relation in ("P1", "P2", "P3")[: draw(st.integers(1, 3))]:
        pairs = draw(st.lists(st.tuples(st.integers(1, 80), st.integers(1, 9)), max_size=120, unique=True))
        result[relation] = [Fact(f"Q{s}|{relation}|A{a}", f"Q{s}", relation, f"A{a}", f"T{a % 2}") for s, a in pairs]
    return result


@settings(deadline=None, max_examples=150)
@given(pools(), st.integers(1, 300), st.integers(0, 5))
def test_selection_keeps_its_promises(facts: dict[str, list[Fact]], total: int, seed: int) -> None:
    selection = select(facts, total, seed, CONFIG)
    assert selection.total() <= total
    split_of: dict[str, str] = {}
    for (relation, split), chosen in selection.facts.items():
        answers = Counter(fact.answer for fact in chosen)
        assert len(chosen) >= 4 and 4 * max(answers.values()) <= len(chosen)
        assert len({fact.subject for fact in chosen}) == len(chosen)
        assert chosen == [fact for fact in facts[relation] if fact in set(chosen)]
        for fact in chosen:
            assert split_of.setdefault(fact.subject, split) == split
    asked = [(f.subject, relation) for (relation, _), chosen in selection.facts.items() for f in chosen]
    assert len(asked) == len(set(asked))
    again = select(facts, total, seed, CONFIG)
    assert again.facts == selection.facts


def large(relations: int = 3, subjects: int = 900) -> dict[str, list[Fact]]:
    return {
        f"P{r}": [
            Fact(f"Q{s}|P{r}|A{(s * 7 + r) % 31}", f"Q{s}", f"P{r}", f"A{(s * 7 + r) % 31}") for s in range(subjects)
        ]
        for r in range(relations)
    }


def test_held_out_subjects_never_enter_train_of_a_later_release() -> None:
    first = select(large(), 1200, 1, CONFIG)
    previous = {fact.subject: split for (_, split), chosen in first.facts.items() for fact in chosen}
    held_out = {subject for subject, split in previous.items() if split != "train"}
    second = select(large(4, 1000), 2000, 99, CONFIG, previous)
    assert held_out
    for (_, split), chosen in second.facts.items():
        for fact in chosen:
            if fact.subject in previous:
                assert split == previous[fact.subject]
    assert second.total("train") > first.total("train")
    other = select(large(4, 1000), 2000, 99, CONFIG)
    moved = {f.subject for (_, split), chosen in other.facts.items() if split == "train" for f in chosen} & held_out
    assert moved, "without the earlier release some would have moved, or the test shows nothing"


def test_relations_are_balanced_when_their_pools_allow() -> None:
    selection = select(large(5, 400), 1000, 3, CONFIG)
    assert [selection.of(f"P{r}") for r in range(5)] == [200] * 5


def test_answers_that_fill_a_quarter_leave_room_for_being_offered() -> None:
    """Four continents hold a quarter each; of some countries two are true."""
    facts = [
        Fact(
            f"Q{n}|P30|A{n % 5}",
            f"Q{n}",
            "P30",
            f"A{n % 5}",
            "T",
            frozenset({f"A{n % 5}", f"A{n // 7 % 5 if n % 40 == 0 else n % 5}"}),
        )
        for n in range(3000)
        if n % 5 < 4 or n % 25 == 4
    ]
    selection = select({"P30": facts}, 1000, 7, CONFIG)
    for (_, split), chosen in selection.facts.items():
        assert feasible([fact.answer for fact in chosen], [fact.true for fact in chosen]), split
    assert selection.total() >= 950
