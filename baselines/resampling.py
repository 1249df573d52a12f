"""Uncertainty of measures over facts: paired bootstrap, percentile intervals, and paired permutation tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from baselines.metrics import Floats


def _columns(values: ArrayLike) -> tuple[Floats, Floats]:
    """(N, K) values with NaN for what is lacking -> values with 0 there, and a mask of the others."""
    matrix = np.asarray(values, np.float64)
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    present = ~np.isnan(matrix)
    return np.where(present, matrix, 0.0), present.astype(np.float64)


def bootstrap_weights(facts: int, resamples: int = 2000, seed: int = 42) -> Floats:
    """(resamples, N): how often each resample draws each fact. They depend on the arguments alone.

    Facts are resampled, never single (fact, language) rows: two runs over the same facts are resampled in pairs.
    """
    rng = np.random.default_rng([seed, facts])
    draws = rng.integers(0, facts, (resamples, facts)) + facts * np.arange(resamples)[:, None]
    return np.bincount(draws.ravel(), minlength=resamples * facts).reshape(resamples, facts).astype(np.float64)


def bootstrap(values: ArrayLike, resamples: int = 2000, seed: int = 42, weights: Floats | None = None) -> Floats:
    """Column means over resampled facts: (N, K) -> (resamples, K). NaN marks a fact that a column lacks.

    `weights` are those of `bootstrap_weights`, drawn here unless given.
    """
    filled, present = _columns(values)
    drawn = bootstrap_weights(len(filled), resamples, seed) if weights is None else weights
    count = drawn @ present
    return np.asarray(np.where(count > 0, (drawn @ filled) / np.maximum(count, 1), np.nan), np.float64)


def interval(samples: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of resampled statistics; NaN where all of them are."""
    values = np.asarray(samples, np.float64)
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def permutation_test(first: ArrayLike, second: ArrayLike, resamples: int = 5000, seed: int = 42) -> tuple[float, float]:
    """Paired test between two runs over the same facts: (N, K) each -> (difference, two-sided p).

    The statistic is the mean over columns (languages) of the column means of first - second. Under the null the
    two runs can be exchanged fact by fact, in all columns at once.
    """
    difference, present = _columns(np.asarray(first, np.float64) - np.asarray(second, np.float64))
    weights = difference / np.maximum(present.sum(axis=0), 1)
    per_fact = weights.mean(axis=1)
    observed = float(per_fact.sum())
    rng = np.random.default_rng([seed, len(per_fact)])
    extreme = 0
    step = max(1, 4_000_000 // max(len(per_fact), 1))
    for start in range(0, resamples, step):
        signs = rng.integers(0, 2, (min(step, resamples - start), len(per_fact)), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ per_fact) >= abs(observed) - 1e-12).sum())
    return observed, (extreme + 1) / (resamples + 1)
