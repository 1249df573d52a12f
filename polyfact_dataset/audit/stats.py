"""The distance of a rule from chance: exact variances for ties and for one fact in many languages, corrected bounds.

Chance is that each of a fact's four entities is as likely to be the gold. For one item, let `earned[g]` be what a
rule earns if option `g` is the gold: 1, 0, or 1/k where k options tie. Its expectation is the mean of `earned` over
the four, its variance their variance. Over languages `earned` is averaged entity by entity before the variance is
taken, because the languages of a fact are not independent trials: this is the standard error by fact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from polyfact_dataset.audit.release import Bools, Floats, Ints

CHANCE = 0.25
# The probability with which a gate finds a bias of the size that is reported as found.
POWER = 0.8
# Two-sided 95 % of a normal distribution, in standard errors.
Z95 = 1.959963984540054
_VARIANCE = CHANCE * (1 - CHANCE)
_ENDLESS = 999.0


def earned(scores: Floats) -> Floats:
    """What the rule "take the option of the highest score" earns for each possible gold; (items, 4) to (items, 4)."""
    best = scores == scores.max(axis=1, keepdims=True)
    share: Floats = best / best.sum(axis=1, keepdims=True)
    return share


def earned_left_out(counts: Floats, includes_item: Bools, sign: int) -> Floats:
    """The same for `sign * counts`; the counts of rows in `includes_item` include the item itself, which is subtracted.

    Leaving an item out lowers the count of its gold. Each possible gold therefore has separate scores, and "least often
    a gold" earns more than chance even with faultless options.
    """
    result = earned(sign * counts)
    for gold in range(counts.shape[1]):
        scores = counts[includes_item].copy()
        scores[:, gold] -= 1
        result[includes_item, gold] = earned(sign * scores)[:, gold]
    return result


@dataclass(frozen=True)
class Figure:
    """A rule on a set of items: accuracy, what exchangeable options would give (from, to), standard error, number."""

    facts: int
    accuracy: float
    expected: float
    error: float

    @property
    def distance(self) -> float:
        """Standard errors from the expectation; 0 between expectation and chance, where the two differ."""
        low, high = min(self.expected, CHANCE), max(self.expected, CHANCE)
        beyond = max(self.accuracy - high, 0.0) - max(low - self.accuracy, 0.0)
        if abs(beyond) < 1e-9:
            return 0.0
        # Without variance, any deviation exceeds every bound.
        return beyond / self.error if self.error > 0 else math.copysign(_ENDLESS, beyond)

    def as_row(self) -> dict[str, Any]:
        """The figure as columns of a floor in the report, rounded to 6 digits; `low` and `high` bound it at 95 %."""
        columns = {
            "accuracy": self.accuracy,
            "expected": self.expected,
            "standard_error": self.error,
            "low": max(self.accuracy - Z95 * self.error, 0.0),
            "high": min(self.accuracy + Z95 * self.error, 1.0),
            "distance": self.distance,
        }
        return {"facts": self.facts, **{name: round(value, 6) for name, value in columns.items()}}

    @property
    def p(self) -> float:
        """Two-sided p of the distance, from the binomial with the number of trials that the standard error implies.

        The binomial has the heavier tail in small samples; its distribution function is taken as the incomplete
        beta function, which also applies to non-integer numbers of trials.
        """
        from scipy.special import betainc

        if self.distance == 0:
            return 1.0
        if self.error == 0:
            return 0.0
        trials = _VARIANCE / self.error**2
        right = min(max(trials * CHANCE + self.distance * math.sqrt(trials * _VARIANCE), 0.0), trials)
        above = float(betainc(right, trials - right + 1, CHANCE)) if right > 0 else 1.0
        below = float(betainc(trials - right, right + 1, 1 - CHANCE)) if right < trials else 1.0
        return min(1.0, 2 * min(above, below))


def figure(gained: Floats, expected: Floats, variance: Floats) -> Figure:
    """The figure of items with what each gained, its expectation and its variance."""
    size = len(gained)
    if not size:
        return Figure(0, math.nan, CHANCE, 0.0)
    error = math.sqrt(max(float(variance.sum()), 0.0)) / size
    return Figure(size, float(gained.mean()), float(expected.mean()), error)


def moments(matrix: Floats) -> tuple[Floats, Floats]:
    """Expectation and variance of each row when every column is as likely to be the gold."""
    expected = matrix.mean(axis=1)
    return expected, np.maximum((matrix**2).mean(axis=1) - expected**2, 0.0)


class Pool:
    """One rule over languages: sums by fact, in an order of the options that is the same in every language."""

    def __init__(self, facts: int, aligned: bool) -> None:
        self._matrix = np.zeros((facts, 4), dtype=np.float32)
        self._sums = np.zeros((facts, 3), dtype=np.float32)
        self._times = np.zeros(facts, dtype=np.int32)
        self._aligned = aligned

    def add(self, rows: Ints, matrix: Floats, gold: Ints, order: Ints) -> None:
        """Adds a language. `order` sorts each item's options by entity."""
        expected, variance = moments(matrix)
        gained = matrix[np.arange(len(gold)), gold]
        np.add.at(self._matrix, rows, np.take_along_axis(matrix, order, axis=1).astype(np.float32))
        np.add.at(self._sums, rows, np.stack([gained, expected, variance], axis=1).astype(np.float32))
        np.add.at(self._times, rows, 1)

    def figure(self, chosen: Bools) -> Figure:
        """The figure of the chosen facts. Where entities are not known, languages count as fully dependent."""
        keep = chosen & (self._times > 0)
        times = self._times[keep].astype(np.float64)
        gained, expected, variance = (self._sums[keep, column] / times for column in range(3))
        if self._aligned:
            variance = moments(self._matrix[keep] / times[:, None])[1]
        return figure(gained, expected, variance)


def lower_bound(share: float, facts: int, level: float) -> float:
    """The least accuracy that an exact binomial test at `level` (one-sided) does not rule out (Clopper-Pearson).

    A share that is a mean over languages varies less than that of as many trials, so the test is conservative.
    """
    from scipy.special import betaincinv

    right = share * facts
    return float(betaincinv(right, facts - right + 1, level)) if right > 0 else 0.0


def corrected(smallest: float, tests: int) -> float:
    """Bonferroni: an upper bound of the probability that any of `tests` gives a p as small."""
    return min(1.0, smallest * max(tests, 1))


def bound(tests: int, level: float) -> float:
    """Standard errors that the worst of `tests` normal figures exceeds with at most probability `level`."""
    from scipy.special import ndtri

    return float(-ndtri(level / (2 * max(tests, 1))))


def least_detectable(standard_error: float, errors: float) -> float:
    """The smallest accuracy above chance that a gate at so many standard errors finds with probability `POWER`."""
    from scipy.special import ndtri

    return CHANCE + (errors + float(ndtri(POWER))) * standard_error


def uniform_p(counts: npt.NDArray[np.int64]) -> float:
    """Chi-square p of counts that should be equal."""
    from scipy.stats import chisquare

    return float(chisquare(counts).pvalue) if counts.sum() else 1.0
