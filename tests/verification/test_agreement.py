"""Agreement, kappa and intervals against worked examples and other libraries."""

from __future__ import annotations

import random

import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from polyfact_dataset.items.agreement import RELAXED, agreement, share, wilson
from polyfact_dataset.schema import LABELS

C, A, I = LABELS  # noqa: E741


def pairs(counts: dict[tuple[str, str], int]) -> list[tuple[str, str, str]]:
    """So many independent items of each pair of labels."""
    listed = [pair for pair, number in counts.items() for _ in range(number)]
    return [(str(number), *pair) for number, pair in enumerate(listed)]


def test_a_worked_example() -> None:
    # 50 grants: both yes 20, both no 15, 5 and 10 apart. Observed 0.70, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.50.
    found = agreement(pairs({(C, C): 20, (C, A): 5, (A, C): 10, (A, A): 15}))
    assert found.exact.share == 0.7 and found.kappa == pytest.approx(0.4)
    assert found.confusion == ((20, 5, 0), (10, 15, 0), (0, 0, 0))
    # Three labels, by hand: 100 items, 82 equal; by chance (80*79 + 15*15 + 5*6) / 100^2 = 0.6575.
    found = agreement(
        pairs({(C, C): 72, (C, A): 6, (C, I): 2, (A, C): 6, (A, A): 8, (A, I): 1, (I, C): 1, (I, A): 1, (I, I): 3})
    )
    assert found.exact.share == 0.83 and found.kappa == pytest.approx((0.83 - 0.6575) / (1 - 0.6575))
    # Of the 17 that differ, 6 are judge correct, reviewer ambiguous.
    assert found.relaxed == pytest.approx(0.89) and RELAXED not in found.as_json()
    assert found.as_json(relaxed=True)[RELAXED] == pytest.approx(0.89)


def test_kappa_is_scikit_learns() -> None:
    draw = random.Random(7)
    for _ in range(200):
        weights = [draw.random() ** 2 for _ in LABELS]
        first = draw.choices(LABELS, weights, k=draw.randint(2, 120))
        second = [label if draw.random() < 0.7 else draw.choice(LABELS) for label in first]
        found = agreement([(str(n), *pair) for n, pair in enumerate(zip(first, second))])
        assert [list(row) for row in found.confusion] == confusion_matrix(first, second, labels=LABELS).tolist()
        if len({*first, *second}) > 1:
            assert found.kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_kappa_of_one_label_only_is_undefined() -> None:
    found = agreement(pairs({(C, C): 10}))
    assert found.exact.share == 1 and found.kappa is None
    assert agreement([]).kappa is None and agreement([]).exact.share is None and agreement([]).relaxed is None
    assert agreement(pairs({(C, A): 10})).kappa == 0


def test_wilson_is_scipys() -> None:
    for hits, total in ((0, 1), (0, 30), (1, 1), (91, 100), (4, 36), (300, 300), (13, 300), (1, 3600)):
        interval = binomtest(hits, total).proportion_ci(method="wilson")
        assert wilson(hits, total) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert wilson(0, 0) is None
    # Worked: 10 of 100.
    assert wilson(10, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)


def test_items_of_one_fact_are_not_independent() -> None:
    apart = share((str(number), number < 24) for number in range(120))
    assert (apart.low, apart.high) == pytest.approx(wilson(24, 120), abs=2e-3)
    # The same 120 items, twelve languages of ten facts, of which two are doubtful in all: as good as ten items.
    together = share((str(number // 12), number < 24) for number in range(120))
    assert together.share == apart.share == 0.2
    assert (together.low, together.high) == pytest.approx(wilson(1.8, 9), abs=1e-9)
    # Doubts spread evenly over the facts tell as much as independent items, and no more.
    spread = share((str(number // 12), number % 5 == 0) for number in range(120))
    assert (spread.low, spread.high) == pytest.approx(wilson(24, 120), abs=1e-9)
    sure = share((str(number // 12), False) for number in range(120))
    assert (sure.low, sure.high) == pytest.approx(wilson(0, 10)) and sure.clusters == 10
    assert share([]).as_json() == {"hits": 0, "items": 0, "low": None, "high": None, "facts": 0, "share": None}
