"""Metrics against worked examples and second computations: brute force, scikit-learn, SciPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from baselines import metrics, resampling
from polyfact_dataset.catalog.language import PAPER_LANGUAGES, known


def brute_rankc(first: list[float], second: list[float]) -> float:
    """RankC of one item straight from the definition, with sets."""
    n = len(first)
    ranked = [sorted(range(n), key=lambda option: (-scores[option], option)) for scores in (first, second)]
    total = sum(math.exp(n - k) for k in range(1, n + 1))
    return sum(math.exp(n - j) / total * len(set(ranked[0][:j]) & set(ranked[1][:j])) / j for j in range(1, n + 1))


# ---------------------------------------------------------------- RankC


def test_weights_floor_and_chance_of_four_options() -> None:
    assert metrics.rankc_weights(4) == pytest.approx([0.643914, 0.236883, 0.087144, 0.032059], abs=5e-7)
    assert metrics.rankc_floor(4) == pytest.approx(0.0901548, abs=5e-8)
    assert metrics.rankc_chance(4) == pytest.approx(0.3768368, abs=5e-8)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_floor_and_chance_by_enumeration(n: int) -> None:
    values = [brute_rankc(list(range(n)), list(order)) for order in itertools.permutations(range(n))]
    assert metrics.rankc_floor(n) == pytest.approx(min(values))
    assert metrics.rankc_chance(n) == pytest.approx(np.mean(values))


def test_rankc_worked_example() -> None:
    # Rankings 0123 and 1023: overlaps 0, 2, 3, 4 -> all but the first term.
    found = metrics.rankc_items([[4.0, 3, 2, 1]], [[3.0, 4, 2, 1]])
    assert found == pytest.approx([1 - 0.643914], abs=1e-6)
    assert metrics.rankc_items([[1.0, 2, 3, 4]], [[1.0, 2, 3, 4]]) == pytest.approx([1.0])
    assert metrics.rankc_items([[1.0, 2, 3, 4]], [[4.0, 3, 2, 1]]) == pytest.approx([metrics.rankc_floor(4)])


def test_rankc_against_brute_force_with_ties() -> None:
    scores = np.random.default_rng(0).integers(0, 3, (60, 5, 4)).astype(float)
    pairs = metrics.rankc_pairs(scores)
    expected = [
        [brute_rankc(list(scores[i, a]), list(scores[i, b])) for a, b in itertools.combinations(range(5), 2)]
        for i in range(60)
    ]
    assert pairs == pytest.approx(np.array(expected), abs=1e-12)
    matrix = metrics.rankc(scores)
    assert matrix[1, 3] == matrix[3, 1] == pytest.approx(pairs[:, 5].mean())
    assert np.diag(matrix).tolist() == [1.0] * 5
    assert metrics.off_diagonal_mean(matrix) == pytest.approx(pairs.mean())


def test_ties_go_to_the_lower_option() -> None:
    assert metrics.ranking([1.0, 2, 2, 1]).tolist() == [1, 2, 0, 3]
    assert metrics.choices([[0.5, 0.5, 0.1, 0.5], [0, 0, 0, 0]]).tolist() == [0, 0]


def test_one_language_has_no_pairs() -> None:
    assert math.isnan(metrics.off_diagonal_mean(metrics.rankc(np.zeros((3, 1, 4)))))


# ---------------------------------------------------------------- accuracy and consistency

CORRECT = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 0]])


def test_accuracy_consistency_and_histogram() -> None:
    assert metrics.accuracy(CORRECT).tolist() == [0.75, 0.5, 0.5]
    assert metrics.total_consistency(CORRECT) == 0.25
    assert metrics.consistency_histogram(CORRECT).tolist() == [1, 0, 2, 1]
    lacking = np.array([[1, np.nan], [0, 1], [np.nan, np.nan]])
    assert metrics.accuracy(lacking).tolist() == [0.5, 1.0]
    assert np.isnan(metrics.accuracy([[np.nan], [np.nan]])).all()


def test_accuracy_and_agreement_are_scikit_learns() -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="needs polyfact[eval]")
    rng = np.random.default_rng(1)
    chosen, gold = rng.integers(0, 4, (50, 3)), rng.integers(0, 4, 50)
    found = metrics.accuracy(chosen == gold[:, None])
    assert found == pytest.approx([sklearn.accuracy_score(gold, chosen[:, code]) for code in range(3)])
    agreement = metrics.pairwise_agreement(chosen)
    assert agreement[0, 2] == pytest.approx(sklearn.accuracy_score(chosen[:, 0], chosen[:, 2]))
    assert np.diag(agreement).tolist() == [1.0] * 3


def test_groups_are_the_papers() -> None:
    members = metrics.groups(("en", "id", "sw", "zh", "bn"))
    assert members == {"high": ["en", "zh"], "low": ["id", "sw", "bn"]}
    assert metrics.groups(("en",)) == {"high": ["en"]}
    # The paper groups its twelve languages only: another one, with a file or without, is never high-resource silently.
    assert metrics.groups(("nl", "en", "ca", "sw")) == {"high": ["en"], "low": ["sw"], "neither": ["nl", "ca"]}
    others = [code for code in known() if code not in PAPER_LANGUAGES]
    assert metrics.groups(known()).get("neither", []) == others
    assert metrics.language_groups("klar", ("en", "ko", "ar")) == {"trained": ["en", "ar"], "held_out": ["ko"]}
    values = {"en": 0.8, "zh": 0.6, "id": 0.1, "sw": 0.2, "bn": 0.6}
    assert metrics.group_means(values, members) == pytest.approx({"high": 0.7, "low": 0.3})


def test_group_means_give_the_papers_global_mmlu() -> None:
    """Table 1's High of the OLMo-2 base (38.72) from the languages of Table 11."""
    languages = ("en", "de", "es", "fr", "pt", "id", "ru", "zh", "ar", "ja", "sw", "bn")
    table11 = (56.49, 42.46, 40.70, 41.75, 36.84, 37.19, 31.58, 31.93, 33.68, 32.98, 29.82, 25.26)
    found = metrics.group_means(dict(zip(languages, table11)), metrics.groups(languages))
    assert found["high"] == pytest.approx(38.72, abs=0.01)


def test_gen_score() -> None:
    assert metrics.gen_score([0.5, 0.4], [0.5, 0.4]) == 0
    assert metrics.gen_score([0.75, 0.4], [0.5, 0.2]) == pytest.approx((0.5 + 0.25) / 2)
    assert metrics.gen_score([0.25], [0.5]) == pytest.approx(-0.5)
    assert math.isnan(metrics.gen_score([1.0], [1.0]))


def test_normalisations() -> None:
    assert metrics.normalised([-6.0, -3.0], None).tolist() == [-6, -3]
    assert metrics.normalised([-6.0, -3.0], [3, 1]).tolist() == [-2, -3]


# ---------------------------------------------------------------- calibration


def test_calibration_worked_example() -> None:
    # Two bins of 0.5 width hold confidences (0.3, 0.5) and (0.8,): |0.4 - 0.5| * 2/3 + |0.8 - 0| * 1/3.
    error, sure, right, size = metrics.calibration([0.3, 0.5, 0.8], [1, 0, 0], bins=2)
    assert error == pytest.approx(0.1 * 2 / 3 + 0.8 / 3)
    assert sure.tolist() == pytest.approx([0.4, 0.8]) and right.tolist() == [0.5, 0.0] and size.tolist() == [2, 1]


def test_calibration_by_a_loop() -> None:
    rng = np.random.default_rng(2)
    sure, right = rng.random(200), rng.integers(0, 2, 200)
    expected = 0.0
    for number in range(15):
        inside = (sure > number / 15) & (sure <= (number + 1) / 15)
        if inside.any():
            expected += abs(sure[inside].mean() - right[inside].mean()) * inside.mean()
    assert metrics.calibration(sure, right)[0] == pytest.approx(expected)
    assert metrics.calibration([1.0, 1.0], [1, 1])[0] == 0


def test_option_distribution() -> None:
    found = metrics.option_distribution([[math.log(1), math.log(3)], [-1000.0, -1000.0]])
    assert found.tolist() == [pytest.approx([0.25, 0.75]), pytest.approx([0.5, 0.5])]


# ---------------------------------------------------------------- uncertainty


def test_bootstrap_resamples_facts_and_not_rows() -> None:
    # Each fact is right in all languages or in none: rows as units would shrink the spread by sqrt(12).
    facts = np.repeat(np.arange(100) % 2, 12).reshape(100, 12).astype(float)
    spread = resampling.bootstrap(facts, 3000).mean(axis=1).std()
    assert spread == pytest.approx(0.05, rel=0.08)


def test_bootstrap_agrees_with_scipy() -> None:
    from scipy import stats

    values = np.random.default_rng(3).random(80)
    low, high = resampling.interval(resampling.bootstrap(values, 6000)[:, 0])
    other = stats.bootstrap((values,), np.mean, n_resamples=6000, method="percentile", rng=4).confidence_interval
    assert (low, high) == pytest.approx((other.low, other.high), abs=0.004)


def test_bootstrap_is_paired_and_skips_what_is_lacking() -> None:
    values = np.random.default_rng(5).random((40, 2))
    assert resampling.bootstrap(values, 200)[:, 0].tolist() == pytest.approx(
        resampling.bootstrap(values[:, 0], 200)[:, 0].tolist()
    )
    holes = values.copy()
    holes[::2, 1] = np.nan
    assert resampling.bootstrap(holes, 4000)[:, 1].mean() == pytest.approx(np.nanmean(holes[:, 1]), abs=0.01)


def test_permutation_test_against_all_sign_changes() -> None:
    first = np.array([1, 1, 1, 0, 1, 1, 1, 1, 0, 1], float)
    second = np.array([0, 0, 1, 1, 0, 0, 1, 0, 0, 0], float)
    gaps = first - second
    signs = np.array(list(itertools.product((-1, 1), repeat=10)))
    exact = (np.abs(signs @ gaps) >= abs(gaps.sum())).mean()
    difference, p = resampling.permutation_test(first, second, 20000)
    assert difference == pytest.approx(gaps.mean()) and p == pytest.approx(exact, abs=0.01)


def test_permutation_test_over_languages_is_scipys_over_means() -> None:
    from scipy import stats

    rng = np.random.default_rng(6)
    first, second = rng.integers(0, 2, (60, 4)).astype(float), rng.integers(0, 2, (60, 4)).astype(float)
    first[:25] = 1.0
    difference, p = resampling.permutation_test(first, second, 8000)
    other = stats.permutation_test(
        (first.mean(axis=1), second.mean(axis=1)),
        lambda a, b: np.mean(a - b),
        permutation_type="samples",
        n_resamples=8000,
        rng=7,
    )
    assert difference == pytest.approx(other.statistic) and p == pytest.approx(other.pvalue, abs=0.012)


def test_equal_runs_do_not_differ() -> None:
    values = np.random.default_rng(8).integers(0, 2, (30, 3))
    assert resampling.permutation_test(values, values, 500) == (0.0, 1.0)
