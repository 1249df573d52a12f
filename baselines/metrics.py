"""The measures of accuracy, consistency and calibration, as pure functions on arrays.

Shapes: N facts, L languages, n options. Options stand in one common order for all languages (aligned by entity),
which also decides ties: the lower option wins. Shares are fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The paper's grouping of its twelve languages (section 5.1): all others are high-resource.
LOW_LANGUAGES = ("id", "bn", "sw")
NORMALISATIONS = ("byte", "sum", "token", "char")


def normalised(logprobs: ArrayLike, lengths: ArrayLike | None) -> Floats:
    """Summed log-probabilities over lengths in tokens, characters or bytes; as they are for None (`sum`)."""
    scores = np.asarray(logprobs, np.float64)
    return scores if lengths is None else scores / np.asarray(lengths, np.float64)


def ranking(scores: ArrayLike) -> Ints:
    """Options from best to worst along the last axis; among equals the lower option comes first."""
    return np.argsort(-np.asarray(scores, np.float64), axis=-1, kind="stable")


def choices(scores: ArrayLike) -> Ints:
    """The best option along the last axis; among equals the lowest."""
    return np.asarray(np.argmax(np.asarray(scores, np.float64), axis=-1), np.int64)


def accuracy(correct: ArrayLike) -> Floats:
    """Share of correct facts per language: (N, L) -> (L,). NaN marks a fact that a language lacks."""
    values = np.asarray(correct, np.float64)
    counts = (~np.isnan(values)).sum(axis=0)
    return np.asarray(np.where(counts > 0, np.nansum(values, axis=0) / np.maximum(counts, 1), np.nan), np.float64)


def total_consistency(correct: ArrayLike) -> float:
    """Share of facts that are correct in all languages."""
    return float(np.asarray(correct, bool).all(axis=1).mean())


def consistency_histogram(correct: ArrayLike) -> Ints:
    """(N, L) -> (L + 1,): how many facts are correct in exactly 0, 1, ..., L languages."""
    values = np.asarray(correct, bool)
    return np.bincount(values.sum(axis=1), minlength=values.shape[1] + 1)


def pairwise_agreement(chosen: ArrayLike) -> Floats:
    """(N, L) chosen options -> (L, L): share of facts for which two languages choose the same entity."""
    options = np.asarray(chosen)
    return np.asarray((options[:, :, None] == options[:, None, :]).mean(axis=0), np.float64)


def rankc_weights(n: int) -> Floats:
    """w_j = exp(n - j) / sum_k exp(n - k), j from 1 (Qi et al., EMNLP 2023)."""
    powers = np.exp(n - np.arange(1, n + 1, dtype=np.float64))
    return np.asarray(powers / powers.sum(), np.float64)


def rankc_floor(n: int) -> float:
    """The lowest RankC that two rankings of n options can have: their first j overlap in at least 2j - n."""
    depth = np.arange(1, n + 1)
    return float((rankc_weights(n) * np.maximum(2 * depth - n, 0) / depth).sum())


def rankc_chance(n: int) -> float:
    """The expected RankC of two random rankings: their first j overlap in j * j / n."""
    return float((rankc_weights(n) * np.arange(1, n + 1) / n).sum())


def rankc_items(first: ArrayLike, second: ArrayLike) -> Floats:
    """(N, n) scores in two languages -> (N,): sum_j w_j * |top_j(l) & top_j(l')| / j of each item."""
    # place[i, o] = position of option o in the ranking; o is among the top j of both when both places are below j.
    places = [np.argsort(ranking(scores), axis=-1) for scores in (first, second)]
    later = np.maximum(*places)
    n = later.shape[1]
    depth = np.arange(1, n + 1)
    overlap = (later[:, :, None] < depth).sum(axis=1)
    return np.asarray((overlap * (rankc_weights(n) / depth)).sum(axis=1), np.float64)


def rankc_pairs(scores: ArrayLike) -> Floats:
    """(N, L, n) scores -> (N, L * (L - 1) / 2): RankC of each item for each pair of languages, (0, 1), (0, 2), ..."""
    values = np.asarray(scores, np.float64)
    rows, columns = np.triu_indices(values.shape[1], k=1)
    pairs = [rankc_items(values[:, a], values[:, b]) for a, b in zip(rows, columns)]
    return np.stack(pairs, axis=1) if pairs else np.empty((len(values), 0))


def rankc(scores: ArrayLike) -> Floats:
    """(N, L, n) scores -> (L, L): plain mean over items of RankC for each pair of languages; the diagonal is 1."""
    values = np.asarray(scores, np.float64)
    rows, columns = np.triu_indices(values.shape[1], k=1)
    matrix = np.eye(values.shape[1])
    matrix[rows, columns] = matrix[columns, rows] = rankc_pairs(values).mean(axis=0)
    return matrix


def off_diagonal_mean(matrix: ArrayLike) -> float:
    """Mean over all pairs of different languages; NaN with fewer than two."""
    values = np.asarray(matrix, np.float64)
    pairs = values[np.triu_indices(len(values), k=1)]
    return float(pairs.mean()) if len(pairs) else float("nan")


def gen_score(model: ArrayLike, base: ArrayLike) -> float:
    """Mean over languages of (Acc(model) - Acc(base)) / (1 - Acc(base)): the share of the remaining room filled.

    Source: the RL study (ICLR 2026, hdrG6SaTcA). Accuracies are fractions; a base of 1 leaves no room: NaN.
    """
    new, old = np.asarray(model, np.float64), np.asarray(base, np.float64)
    if (old >= 1).any():
        return float("nan")
    return float(((new - old) / (1 - old)).mean())


def groups(languages: Sequence[str], low: Sequence[str] = LOW_LANGUAGES) -> dict[str, list[str]]:
    """`high` and `low` (paper, section 5.1), each where it is not empty."""
    split = {
        "high": [code for code in languages if code not in low],
        "low": [code for code in languages if code in low],
    }
    return {name: codes for name, codes in split.items() if codes}


def group_means(values: Mapping[str, float], members: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Plain mean over the languages of each group."""
    return {name: float(np.mean([values[code] for code in codes])) for name, codes in members.items()}


def option_distribution(scores: ArrayLike) -> Floats:
    """Softmax over the options (last axis)."""
    values = np.asarray(scores, np.float64)
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float64)


def calibration(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> tuple[float, Floats, Floats, Ints]:
    """Expected calibration error over `bins` equal intervals of confidence, open on the left (Guo et al., 2017).

    Returns the error and, per bin, mean confidence, accuracy (NaN where empty) and size.
    """
    sure, right = np.asarray(confidence, np.float64).ravel(), np.asarray(correct, np.float64).ravel()
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    size = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_sure = np.bincount(place, weights=sure, minlength=bins) / size
        mean_right = np.bincount(place, weights=right, minlength=bins) / size
    error = float(np.nansum(np.abs(mean_sure - mean_right) * size) / max(len(sure), 1))
    return error, mean_sure, mean_right, size


# ---------------------------------------------------------------- uncertainty, over facts


def _columns(values: ArrayLike) -> tuple[Floats, Floats]:
    """(N, K) values with NaN for what is lacking -> values with 0 there, and a mask of what is there."""
    matrix = np.asarray(values, np.float64)
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    there = ~np.isnan(matrix)
    return np.where(there, matrix, 0.0), there.astype(np.float64)


def bootstrap(values: ArrayLike, resamples: int = 2000, seed: int = 42) -> Floats:
    """Column means over resampled facts: (N, K) -> (resamples, K). NaN marks a fact that a column lacks.

    The facts are resampled, never single (fact, language) rows, and the draws depend on N and seed alone: two runs
    over the same facts are resampled in pairs.
    """
    filled, there = _columns(values)
    rng = np.random.default_rng([seed, len(filled)])
    result = np.empty((resamples, filled.shape[1]))
    step = max(1, 4_000_000 // max(len(filled), 1))
    for start in range(0, resamples, step):
        rows = slice(start, min(start + step, resamples))
        size = rows.stop - start
        counts = rng.multinomial(len(filled), np.full(len(filled), 1 / len(filled)), size=size).astype(np.float64)
        weight = counts @ there
        result[rows] = np.where(weight > 0, (counts @ filled) / np.maximum(weight, 1), np.nan)
    return result


def interval(samples: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of resampled statistics."""
    low, high = np.nanquantile(np.asarray(samples, np.float64), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def permutation_test(first: ArrayLike, second: ArrayLike, resamples: int = 5000, seed: int = 42) -> tuple[float, float]:
    """Paired test between two runs over the same facts: (N, K) each -> (difference, two-sided p).

    The statistic is the mean over columns (languages) of the column means of first - second. Under the null the
    two runs can be exchanged fact by fact, in all columns at once.
    """
    difference, there = _columns(np.asarray(first, np.float64) - np.asarray(second, np.float64))
    weights = difference / np.maximum(there.sum(axis=0), 1)
    per_fact = weights.mean(axis=1)
    observed = float(per_fact.sum())
    rng = np.random.default_rng([seed, len(per_fact)])
    extreme = 0
    step = max(1, 4_000_000 // max(len(per_fact), 1))
    for start in range(0, resamples, step):
        signs = rng.integers(0, 2, (min(step, resamples - start), len(per_fact)), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ per_fact) >= abs(observed) - 1e-12).sum())
    return observed, (extreme + 1) / (resamples + 1)
