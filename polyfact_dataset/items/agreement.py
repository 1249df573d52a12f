"""Agreement of two raters, and confidence intervals of shares, from counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from polyfact_dataset.schema import LABELS

# The relaxed rule of earlier work, which published 91 %.
RELAXED = "relaxed: judge `correct` with reviewer `ambiguous` counts as agreeing"
_Z = 1.959963984540054


def wilson(hits: float, total: float) -> tuple[float, float] | None:
    """95 % interval of a share (Wilson 1927); None if `total` is 0.

    `total` may be an effective number, not an integer.
    """
    if total <= 0:
        return None
    share, square = hits / total, _Z * _Z
    centre = share + square / (2 * total)
    spread = _Z * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    scale = 1 + square / total
    # At 0 and 1 the bound is the share itself; rounding must not exceed it.
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return (0.0 if hits <= 0 else max(low, 0.0)), (1.0 if hits >= total else min(high, 1.0))


@dataclass(frozen=True)
class Share:
    """A share of items, with the 95 % interval that allows for several items of one fact."""

    hits: int
    items: int
    clusters: int
    low: float | None
    high: float | None

    @property
    def share(self) -> float | None:
        """hits / items; None without items."""
        return self.hits / self.items if self.items else None

    def as_json(self) -> dict[str, Any]:
        names = ("hits", "items", "low", "high")
        return {**{name: getattr(self, name) for name in names}, "facts": self.clusters, "share": self.share}


def share(entries: Iterable[tuple[str, bool]]) -> Share:
    """The share of hits among (cluster, hit). Items of one cluster (a fact in several languages) are correlated.

    The interval is Wilson's for the effective number of items: their number over the design effect (the variance of
    the share by clusters over that of independent items, never below 1; Kish 1965). When all or none hit, it is the
    number of clusters.
    """
    hits: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for cluster, hit in entries:
        hits[cluster] += hit
        sizes[cluster] += 1
    items, total_hits, clusters = sum(sizes.values()), sum(hits.values()), len(sizes)
    if not items:
        return Share(0, 0, 0, None, None)
    mean = total_hits / items
    independent = mean * (1 - mean) / items
    effective = float(clusters)
    if independent and clusters > 1:
        squares = sum((hits[cluster] - mean * size) ** 2 for cluster, size in sizes.items())
        clustered = clusters / (clusters - 1) * squares / items**2
        effective = items / max(clustered / independent, 1.0)
    low, high = wilson(mean * effective, effective) or (None, None)
    return Share(total_hits, items, clusters, low, high)


@dataclass(frozen=True)
class Agreement:
    """Two raters on the same items. `confusion[i][j]`: items that the first labels i and the second j, in the order of
    `schema.LABELS`; `exact` is the share of equal labels."""

    confusion: tuple[tuple[int, ...], ...]
    exact: Share

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa (1960); None where only one label occurs, so that it is undefined."""
        from sklearn.metrics import cohen_kappa_score

        counts = {(i, j): number for i, row in enumerate(self.confusion) for j, number in enumerate(row) if number}
        if len({label for pair in counts for label in pair}) < 2:
            return None
        first, second = zip(*counts)
        return float(cohen_kappa_score(first, second, sample_weight=list(counts.values())))

    @property
    def relaxed(self) -> float | None:
        """See `RELAXED`; the judge is the first rater."""
        total = sum(map(sum, self.confusion))
        return (self.exact.hits + self.confusion[0][1]) / total if total else None

    def as_json(self, relaxed: bool = False) -> dict[str, Any]:
        figures = {
            "exact": self.exact.as_json(),
            "kappa": self.kappa,
            "confusion": [list(row) for row in self.confusion],
        }
        return {**figures, RELAXED: self.relaxed} if relaxed else figures


def agreement(pairs: Sequence[tuple[str, str, str]]) -> Agreement:
    """The agreement over (cluster, first label, second label)."""
    counts = Counter((first, second) for _, first, second in pairs)
    confusion = tuple(tuple(counts[first, second] for second in LABELS) for first in LABELS)
    return Agreement(confusion, share((cluster, first == second) for cluster, first, second in pairs))
