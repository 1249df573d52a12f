"""Every measure against a second computation from its formula, and what the tables and figures make of an entry."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines import metrics
from baselines.evaluate.aligned import AlignedScores
from baselines.evaluate.measures import MEASURES, measures_of, values_of
from baselines.evaluate.tables import Uncertainty, measures

CODES = ["en", "de", "sw"]
PAIRS = list(itertools.combinations(range(3), 2))


def aligned(seed: int = 0, facts: int = 60, **changes: object) -> AlignedScores:
    """Random scores of four options in three languages; option 0 tends to be the gold's."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(facts, 3, 4))
    gold = np.repeat(rng.integers(0, 4, (facts, 1)), 3, axis=1)
    np.put_along_axis(scores, gold[:, :, None], np.take_along_axis(scores, gold[:, :, None], 2) + 1, axis=2)
    correct = (scores.argmax(axis=2) == gold).astype(float)
    found = AlignedScores([f"Q{n}" for n in range(facts)], list(CODES), correct, "byte", scores=scores, gold=gold)
    return replace(found, **changes)  # type: ignore[arg-type]


def test_kappa_p_by_its_formula() -> None:
    scores = aligned()
    p = np.exp(scores.scores) / np.exp(scores.scores).sum(axis=2, keepdims=True)
    expected = []
    for one, other in PAIRS:
        observed = np.mean([(p[x, one] * p[x, other]).sum() for x in range(60)])
        a, b = (np.mean([p[x, code, scores.gold[x, code]] for x in range(60)]) for code in (one, other))
        chance = a * b + (1 - a) * (1 - b) / 3
        expected.append((observed - chance) / (1 - chance))
    assert values_of(scores)["kappa_p"] == pytest.approx(np.mean(expected), abs=1e-12)


def test_kappa_p_of_equal_certain_models_is_one_and_of_independent_ones_near_zero() -> None:
    certain = np.where(np.arange(4) == np.arange(60)[:, None, None] % 4, 50.0, 0.0) * np.ones((60, 3, 4))
    assert values_of(aligned(scores=certain))["kappa_p"] == pytest.approx(1)
    rng = np.random.default_rng(1)
    independent = rng.normal(size=(4000, 3, 4))
    gold = np.zeros((4000, 3), np.int64)
    found = aligned(facts=4000, scores=independent, gold=gold, correct=(independent.argmax(2) == 0).astype(float))
    assert abs(values_of(found)["kappa_p"] or 0) < 0.01


def test_jaccard_transfer_and_fleiss_by_counting() -> None:
    scores = aligned(3)
    sets = [set(np.flatnonzero(scores.correct[:, code])) for code in range(3)]
    values = values_of(scores)
    assert values["jaccard"] == pytest.approx(
        np.mean([len(sets[a] & sets[b]) / len(sets[a] | sets[b]) for a, b in PAIRS])
    )
    both = sum(len(sets[0] & sets[target]) for target in (1, 2))
    assert values["transfer_english"] == pytest.approx(both / (2 * len(sets[0])))
    assert values["transfer_overall"] == pytest.approx(both / (2 * 60))
    assert values["transfer_conditional"] == values["transfer_english"]
    agreement = np.mean([np.mean([row[a] == row[b] for a, b in PAIRS]) for row in scores.correct])
    p = scores.correct.mean()
    chance = p * p + (1 - p) ** 2
    assert values["fleiss_kappa"] == pytest.approx((agreement - chance) / (1 - chance))


def test_the_source_is_the_language_of_the_only_article() -> None:
    correct = np.array([[0, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 1]], float)
    articles = np.empty(4, object)
    articles[:] = [["de", "fr"], ["en", "de"], ["sw"], []]
    found = aligned(facts=4, correct=correct, attributes={"subject_articles": articles})
    # Sources: de, en (several articles), sw, en (none). Pairs with both: de-sw; en-de; none; none.
    assert values_of(found)["transfer_overall"] == pytest.approx(2 / 8)
    assert values_of(found)["transfer_conditional"] == pytest.approx(2 / 4)


def test_partition_and_gaps() -> None:
    scores = aligned(5)
    values = values_of(scores)
    chosen = scores.scores.argmax(axis=2)
    same = (chosen == chosen[:, :1]).all(axis=1)
    right = scores.correct.all(axis=1)
    assert values["same_but_wrong"] == pytest.approx((same & ~right).mean())
    assert values["disagreeing"] == pytest.approx((~same).mean())
    assert values["total_consistency"] + values["same_but_wrong"] + values["disagreeing"] == pytest.approx(1)
    means = scores.correct.mean(axis=0)
    assert values["gap_range"] == pytest.approx(means.max() - means.min())
    assert values["gap_english"] == pytest.approx(means[0] - means[1:].mean())


def test_the_variance_share() -> None:
    rng = np.random.default_rng(0)
    same = (rng.random((4000, 3, 8)) < 0.5).astype(float)  # languages differ by chance alone
    found = aligned(facts=4000, samples=same, correct=same.mean(axis=2), declined=np.zeros((4000, 3)))
    assert values_of(found)["variance_share"] == pytest.approx(1, abs=0.02)
    fixed = np.repeat(rng.integers(0, 2, (4000, 3, 1)).astype(float), 8, axis=2)
    found = replace(found, samples=fixed, correct=fixed.mean(axis=2))
    assert values_of(found)["variance_share"] == pytest.approx(0)
    # (p_l - p_m)^2 without bias: p = 1/2 and 1, two samples each.
    terms = metrics.variance_terms(np.array([[[1.0, 0], [1, 1]], [[0, 1], [1, 1]], [[1, 1], [1, 1]], [[0, 0], [1, 1]]]))
    assert terms[:, 0].mean() == pytest.approx(0.25)


def test_declining_is_neither_right_nor_wrong() -> None:
    correct = np.array([[1.0, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 1]])
    declined = np.array([[0.0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]])
    values = values_of(aligned(facts=4, correct=correct, declined=declined, scores=None, gold=None))
    right, quiet = correct.mean(axis=0), declined.mean(axis=0)
    assert values["net_score"] == pytest.approx((right - (1 - right - quiet)).mean())
    assert values["accuracy_attempted"] == pytest.approx((right / (1 - quiet)).mean())
    assert values["declined"] == pytest.approx(quiet.mean()) and "ece" not in values and "kappa_p" not in values


def test_calibration_error_is_that_of_the_binned_definition() -> None:
    scores = aligned(7)
    spread = metrics.option_distribution(scores.scores)
    expected = metrics.calibration(spread.max(axis=2), scores.correct)[0]
    assert values_of(scores)["ece"] == pytest.approx(expected, abs=1e-12)


def test_rankc_of_pools_of_different_sizes_and_of_many_options() -> None:
    rng = np.random.default_rng(2)
    scores = np.full((6, 2, 5), np.nan)
    sizes = [2, 3, 5, 5, 2, 4]
    for row, size in enumerate(sizes):
        scores[row, :, :size] = rng.normal(size=(2, size))
    pairs = metrics.rankc_pairs(scores)[:, 0]
    for row, size in enumerate(sizes):
        alone = metrics.rankc_items(scores[row : row + 1, 0, :size], scores[row : row + 1, 1, :size])
        assert pairs[row] == pytest.approx(alone[0])
    assert np.isfinite(metrics.rankc_weights(720)).all() and metrics.rankc_weights(720).sum() == pytest.approx(1)
    many = rng.normal(size=(3, 2, 720))
    assert metrics.rankc_pairs(many).shape == (3, 1) and metrics.rankc_pairs(many[:, [0, 0]]) == pytest.approx(1)


def test_every_measure_is_in_the_table_with_an_interval_around_it() -> None:
    scores = aligned(1, facts=200, label="Base")
    other = aligned(2, facts=200, label="GRPO")
    text = measures("mcq", {"Base": scores, "GRPO": other}, Uncertainty(200))
    for measure in measures_of(scores):
        line = next(line for line in text.splitlines() if line.startswith(f"| {measure.title}"))
        value, difference = measure.of(scores), measure.of(other) - measure.of(scores)
        assert f"| {measure.shown(value)} [" in line and f"| {measure.shown(difference, sign=True)} [" in line
    unsure = Uncertainty(2000)
    for measure in measures_of(scores):
        samples = unsure.samples(scores, measure)
        assert samples.shape == (2000,) and np.quantile(samples, 0.001) < measure.of(scores) < np.quantile(
            samples, 0.999
        )


def test_names_are_unique_and_equal_models_do_not_differ() -> None:
    assert len({measure.name for measure in MEASURES}) == len({measure.title for measure in MEASURES}) == len(MEASURES)
    text = measures("mcq", {"A": aligned(label="A"), "B": aligned(label="B")}, Uncertainty(100))
    assert "+0.00 [+0.00, +0.00]" in text and "| B - A |" in text


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_bounds(seed: int, facts: int) -> None:
    values = values_of(aligned(seed, facts))
    for name in ("mean_accuracy", "total_consistency", "agreement", "jaccard", "transfer_overall", "rankc", "ece"):
        value = values[name]
        assert value is None or (0 <= value <= 1 and not math.isnan(value))
    assert values["rankc"] >= metrics.rankc_floor(4) - 1e-12
    assert values["kappa_p"] <= 1 and (values["fleiss_kappa"] is None or values["fleiss_kappa"] <= 1 + 1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_languages_changes_nothing_but_english_first(seed: int) -> None:
    scores = aligned(seed, 20)
    order = [2, 0, 1]
    turned = replace(
        scores,
        languages=[CODES[n] for n in order],
        correct=scores.correct[:, order],
        scores=scores.scores[:, order],
        gold=scores.gold[:, order],
    )
    for name, value in values_of(scores).items():
        assert values_of(turned)[name] == pytest.approx(value, nan_ok=True), name


def test_resamples_of_one_result_are_never_those_of_another() -> None:
    """Results that are gone leave their ids to others."""
    unsure = Uncertainty(50)
    for languages in (3, 2, 3, 2, 3, 2):
        scores = aligned(languages).restrict(np.arange(3)[None, :].repeat(60, axis=0) < languages)
        assert unsure.languages(scores).shape == (50, languages)
        del scores
