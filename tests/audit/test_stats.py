"""Variances and bounds against enumeration, scipy and simulation."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from polyfact_dataset.audit.stats import (
    Figure,
    Pool,
    bound,
    corrected,
    earned,
    earned_left_out,
    figure,
    lower_bound,
    moments,
    uniform_p,
)


def test_ties_share() -> None:
    scores = np.array([[1.0, 2.0, 0.0, 0.0], [3.0, 3.0, 1.0, 1.0], [5.0, 5.0, 5.0, 5.0]])
    assert earned(scores).tolist() == [[0, 1, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4]


def test_moments_are_those_of_a_gold_that_is_any_option() -> None:
    expected, variance = moments(np.array([[0.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.25] * 4]))
    assert expected.tolist() == [0.25] * 3
    assert variance.tolist() == [3 / 16, 1 / 16, 0]


def test_leaving_an_item_out_is_expected_to_find_rare_golds() -> None:
    # Every option is a gold once in train: without the item its gold has none, so "least often" finds it.
    matrix = earned_left_out(np.ones((1, 4)), np.array([True]), -1)
    assert matrix.tolist() == [[1.0] * 4]
    assert earned_left_out(np.ones((1, 4)), np.array([True]), 1).tolist() == [[0.0] * 4]
    assert earned_left_out(np.ones((1, 4)), np.array([False]), -1).tolist() == [[0.25] * 4]


def test_left_out_matches_counting_by_hand() -> None:
    counts = np.array([[3.0, 1.0, 2.0, 2.0]])
    # Gold 0: 2 1 2 2, a tie of three. Gold 1: 3 0 2 2 picks option 0, wrong. Gold 2, 3: option 0, wrong.
    assert earned_left_out(counts, np.array([True]), 1).tolist() == [[1 / 3, 0, 0, 0]]


def test_distance_counts_from_the_nearer_of_chance_and_expectation() -> None:
    assert Figure(100, 0.40, 0.45, 0.02).distance == 0
    assert Figure(100, 0.49, 0.45, 0.02).distance == pytest.approx(2)
    assert Figure(100, 0.21, 0.45, 0.02).distance == pytest.approx(-2)
    assert Figure(100, 0.25, 0.25, 0.0).distance == 0
    assert Figure(100, 0.26, 0.25, 0.0).distance > 100


def test_p_is_the_binomial_one() -> None:
    for right in (0, 2, 9, 12, 16):
        exact = binomtest(right, 16, 0.25)
        above = binomtest(right, 16, 0.25, "greater").pvalue
        below = binomtest(right, 16, 0.25, "less").pvalue
        got = Figure(16, right / 16, 0.25, math.sqrt(0.1875 / 16)).p
        assert got == pytest.approx(min(1, 2 * min(above, below)), rel=1e-6)
        assert got >= exact.pvalue - 1e-9


def test_p_agrees_with_the_normal_in_large_samples() -> None:
    error = math.sqrt(0.1875 / 1_000_000)
    assert Figure(1_000_000, 0.25 + 3 * error, 0.25, error).p == pytest.approx(2 * norm.sf(3), rel=0.05)


def test_pool_takes_the_languages_of_a_fact_as_one_trial() -> None:
    rng = np.random.default_rng(3)
    facts, gold = 4000, rng.integers(0, 4, 4000)
    matrix = np.eye(4)[rng.integers(0, 4, facts)]
    rows, order = np.arange(facts), np.tile(np.arange(4), (facts, 1))
    for aligned in (True, False):
        pool = Pool(facts, aligned)
        for _ in range(12):
            pool.add(rows, matrix, gold, order)
        same = pool.figure(np.ones(facts, dtype=bool))
        assert same.error == pytest.approx(math.sqrt(0.1875 / facts), rel=1e-3)
    pool = Pool(facts, True)
    for slot in (0, 1, 2, 3):
        pool.add(rows, np.eye(4)[np.full(facts, slot)], gold, order)
    # One rule for each slot: together they are always right a quarter of the time.
    assert pool.figure(np.ones(facts, dtype=bool)).error == pytest.approx(0, abs=1e-6)


def test_pool_aligns_options_by_entity() -> None:
    # In the second language the options are in reverse order; the rule takes the same entity.
    pool, rows = Pool(1, True), np.array([0])
    pool.add(rows, np.array([[1.0, 0, 0, 0]]), np.array([0]), np.array([[0, 1, 2, 3]]))
    pool.add(rows, np.array([[0, 0, 0, 1.0]]), np.array([3]), np.array([[3, 2, 1, 0]]))
    found = pool.figure(np.array([True]))
    assert (found.accuracy, found.error) == (1.0, pytest.approx(math.sqrt(0.1875)))


def test_figure_of_nothing_is_harmless() -> None:
    empty = figure(np.array([]), np.array([]), np.array([]))
    assert empty.facts == 0 and math.isnan(empty.accuracy)


def test_error_is_exact_for_small_cases() -> None:
    # Two facts, one decided by a tie of two: enumerate the golds.
    matrix = np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])
    values = [(matrix[0, a] + matrix[1, b]) / 2 for a, b in product(range(4), repeat=2)]
    expected, variance = moments(matrix)
    assert figure(matrix[:, 0], expected, variance).error == pytest.approx(np.std(values))


def test_correction_and_bound_agree() -> None:
    assert corrected(1e-5, 500) == pytest.approx(5e-3) and corrected(0.1, 500) == 1
    assert 2 * norm.sf(bound(500, 0.01)) * 500 == pytest.approx(0.01)


def test_uniform_p() -> None:
    assert uniform_p(np.array([25, 25, 25, 25])) == 1
    assert uniform_p(np.array([100, 0, 0, 0])) < 1e-50
    assert uniform_p(np.array([0, 0, 0, 0])) == 1


@pytest.mark.parametrize(("share", "facts"), [(1.0, 30), (0.8, 50), (0.5, 12), (0.3, 200)])
def test_surely_is_where_the_binomial_tail_meets_the_level(share: float, facts: int) -> None:
    from scipy.stats import binom

    least = lower_bound(share, facts, 0.01)
    assert 0 < least < share
    assert binom.sf(round(share * facts) - 1, facts, least) == pytest.approx(0.01)


def test_nothing_is_surely_right_of_none() -> None:
    assert lower_bound(0.0, 50, 0.01) == 0.0
    assert lower_bound(1.0, 6, 1e-4) == pytest.approx(1e-4 ** (1 / 6))
