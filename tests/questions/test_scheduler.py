"""Which candidates are asked next."""

from __future__ import annotations

from collections import Counter

from polyfact_dataset.questions.scheduler import Candidate, CandidateScheduler


def pool(relation: str, size: int, answers: int = 50, subjects: int | None = None) -> list[Candidate]:
    return [
        Candidate(f"{relation}:{n}", f"{relation} subject {n % (subjects or size)}", f"{relation} answer {n % answers}")
        for n in range(size)
    ]


def need(pools: dict[str, list[Candidate]], total: int) -> CandidateScheduler:
    return CandidateScheduler(pools, total, spare_share=0.05, answer_share_cap=0.25)


def by_relation(chosen: list[Candidate]) -> Counter[str]:
    return Counter(candidate.fact_id.partition(":")[0] for candidate in chosen)


def used(**counts: int) -> dict[str, set[str]]:
    return {relation: {f"{relation} subject {n}" for n in range(count)} for relation, count in counts.items()}


def test_the_first_round_is_the_share_and_little_more_in_the_order_of_the_pool() -> None:
    chosen = need({"A": pool("A", 400), "B": pool("B", 400)}, 200).first()
    assert by_relation(chosen) == {"A": 107, "B": 107}
    assert [c.fact_id for c in chosen[:107]] == [f"A:{n}" for n in range(107)]


def test_nothing_more_is_asked_when_the_sampler_has_its_share() -> None:
    wanted = need({"A": pool("A", 400), "B": pool("B", 400)}, 200)
    wanted.first()
    assert wanted.next(used(A=100, B=100)) == []


def test_what_a_relation_lacks_is_asked_of_that_relation() -> None:
    wanted = need({"A": pool("A", 400), "B": pool("B", 400)}, 200)
    for candidate in wanted.first()[:20]:
        wanted.fail("A", candidate.fact_id)
    chosen = wanted.next(used(A=87, B=100))
    assert set(by_relation(chosen)) == {"A"} and 13 <= len(chosen) <= 30
    assert chosen[0].fact_id == "A:107"


def test_a_relation_that_has_no_more_is_made_up_for_by_the_others() -> None:
    wanted = need({"A": pool("A", 30), "B": pool("B", 400)}, 200)
    first = wanted.first()
    assert by_relation(first)["A"] == 30 and by_relation(first)["B"] >= 170
    for candidate in first[:10]:
        wanted.fail("A", candidate.fact_id)
    chosen = wanted.next(used(A=20, B=170))
    assert set(by_relation(chosen)) == {"B"} and len(chosen) >= 10


def test_a_subject_is_not_asked_twice_and_a_full_answer_not_at_all_while_there_are_others() -> None:
    repeated = [Candidate(f"A:{n}", f"s{n // 3}", f"a{n}") for n in range(90)]
    chosen = need({"A": repeated}, 20).first()
    assert len({c.subject for c in chosen}) == len(chosen) == 23
    skewed = [Candidate(f"A:{n}", f"s{n}", "one" if n < 60 else f"a{n}") for n in range(120)]
    chosen = need({"A": skewed}, 40).first()
    assert Counter(c.answer for c in chosen)["one"] <= 12 and len(chosen) == 44


def test_what_was_passed_over_is_asked_in_the_end_but_no_subject_that_is_used() -> None:
    wanted = need({"A": pool("A", 60, subjects=20)}, 30)
    asked = [c.fact_id for c in wanted.first()]
    while chosen := wanted.next(used(A=18)):
        asked += [c.fact_id for c in chosen]
    assert len(asked) == len(set(asked))
    late = [name for name in asked if int(name.partition(":")[2]) >= 20]
    assert {int(name.partition(":")[2]) % 20 for name in late} >= {18, 19}


def test_it_ends_when_all_fails() -> None:
    wanted = need({"A": pool("A", 50), "B": pool("B", 7)}, 20)
    chosen, asked = wanted.first(), 0
    while chosen:
        asked += len(chosen)
        for candidate in chosen:
            wanted.fail(candidate.fact_id.partition(":")[0], candidate.fact_id)
        chosen = wanted.next({})
    assert asked == 57
    assert need({}, 20).first() == []
