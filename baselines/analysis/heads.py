"""The mathematics of LAHIS: language-important attention heads (Liu et al. 2025, arXiv 2511.07498; paper, 5.5, E.2).

Shapes: K languages, J layers, H heads per layer. A head is (layer, position).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyfact_dataset.common.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
TOP_SHARE = 0.02
GENERAL_LANGUAGES = 4
SCALE = 1000.0


@dataclass
class Importance:
    """Sums over samples of |g * m| and of [g * m < 0], g = d(loss)/d(mask): memory does not grow with the text."""

    shape: tuple[int, int]
    samples: int = 0
    magnitude: Floats = field(init=False)
    negative: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.magnitude, self.negative = np.zeros(self.shape), np.zeros(self.shape, np.int64)

    def add(self, products: ArrayLike) -> None:
        """One sample's g * m, (J, H). Raises `DataError` where one is not finite."""
        values = np.asarray(products, np.float64)
        if not np.isfinite(values).all():
            raise DataError(f"sample {self.samples}: a gradient is not finite; run in float32 (--dtype float32)")
        self.magnitude += np.abs(values)
        self.negative += values < 0
        self.samples += 1

    @property
    def value(self) -> Floats:
        """(J, H): mean of |g * m| * 1000, times the share of samples in which g * m < 0 (the head lowers the loss)."""
        if not self.samples:
            raise DataError("importance of heads: there was no sample")
        return np.asarray(SCALE * self.magnitude / self.samples * (self.negative / self.samples))


def check_selection(heads: int, share: float | None, quantile: float | None) -> None:
    """Raises `ConfigError` unless exactly one of `share` and `quantile` is given and the share is of some head."""
    if (share is None) == (quantile is None):
        raise ConfigError("choose either a top share or a quantile of heads")
    if share is not None and not round(share * heads):
        raise ConfigError(f"a share of {share} of {heads} heads is none; one head is a share of {1 / heads:.4g}")


def top(importance: ArrayLike, share: float | None = TOP_SHARE, quantile: float | None = None) -> Bools:
    """(J, H) -> mask of the most important heads: round(share * J * H) of them, or all above the quantile.

    Among equals the lower layer and position comes first; a head of no importance is never chosen. Raises
    `ConfigError` as `check_selection` does.
    """
    values = np.asarray(importance, np.float64)
    check_selection(values.size, share, quantile)
    if quantile is not None:
        return np.asarray(values > np.quantile(values, quantile))
    assert share is not None
    count = round(share * values.size)
    mask = np.zeros(values.size, bool)
    mask[np.argsort(-values, axis=None, kind="stable")[:count]] = True
    return np.asarray(mask.reshape(values.shape) & (values > 0))


def per_layer(masks: Bools) -> Floats:
    """(K, J, H) -> (K, J): per cent of a language's important heads in each layer; NaN where it has none."""
    counts = masks.sum(axis=2).astype(np.float64)
    total = counts.sum(axis=1, keepdims=True)
    return np.asarray(100 * np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0))


def overlap(masks: Bools) -> Floats:
    """(K, J, H) -> (K, K): per cent of heads that two languages share, of the smaller set where sizes differ."""
    flat = masks.reshape(len(masks), -1).astype(np.float64)
    sizes = flat.sum(axis=1)
    smaller = np.minimum(sizes[:, None], sizes)
    return np.asarray(100 * np.divide(flat @ flat.T, smaller, out=np.full(smaller.shape, np.nan), where=smaller > 0))


def stability(base: Bools, trained: Bools) -> tuple[Ints, Ints]:
    """(K, J, H) twice -> (K,), (K,): important heads of the base that stay so (stable), and that no longer are.

    Raises `DataError` for models of other shapes.
    """
    if base.shape != trained.shape:
        raise DataError(f"heads of shapes {base.shape} and {trained.shape} (languages, layers, heads) do not compare")
    stable = (base & trained).sum(axis=(1, 2))
    return np.asarray(stable, np.int64), np.asarray(base.sum(axis=(1, 2)) - stable, np.int64)


def general(masks: Bools, languages: int = GENERAL_LANGUAGES) -> Bools:
    """(K, J, H) -> (J, H): heads that are important in at least `languages` languages."""
    return np.asarray(masks.sum(axis=0) >= languages)
