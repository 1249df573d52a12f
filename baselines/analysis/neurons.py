"""The mathematics of LAPE: language activation probability entropy (Tang et al. 2024; paper, sections 3 and 5.4).

Shapes: K languages, J layers, W neurons per layer. A neuron is (layer, position). All in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyfact_dataset.common.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# `every`: each language in which the neuron is above the bar (Tang et al.); `highest`: the one language in which it
# is active most often (the paper).
Rule = Literal["every", "highest"]
RULES: tuple[Rule, ...] = get_args(Rule)
# What a neuron must exceed in some language, as a quantile of all activation frequencies. `paper`: any activation at
# all, as in the code behind the paper's figures; `original`: the 95 % bar of Tang et al.
BARS = {"paper": 0.0, "original": 0.95}
BAR_QUANTILE = BARS["paper"]
SHARE = 0.01


def frequencies(counts: ArrayLike, tokens: ArrayLike) -> Floats:
    """Activation counts (K, J, W) over tokens (K,) -> p. Raises `DataError` for a language without tokens."""
    total = np.asarray(tokens, np.int64)
    active = np.asarray(counts, np.int64)
    if (total <= 0).any() or (active > total[:, None, None]).any() or (active < 0).any():
        raise DataError("activation counts must lie between 0 and the tokens of their language, which must have some")
    return np.asarray(active / total[:, None, None].astype(np.float64))


def entropy(p: Floats) -> Floats:
    """(K, J, W) -> (J, W): entropy over languages of normalised p, natural log; infinite where never active."""
    total = p.sum(axis=0)
    share = np.divide(p, total, out=np.zeros_like(p), where=total > 0)
    logs = np.log(share, out=np.zeros_like(p), where=share > 0)
    return np.where(total > 0, -(share * logs).sum(axis=0), np.inf)


def bar(p: Floats, quantile: float = BAR_QUANTILE) -> float:
    """The k-th smallest of all p, k = round(quantile * size), counted from 1; 0 for the quantile 0."""
    if quantile == 0:
        return 0.0
    k = max(1, round(quantile * p.size))
    return float(np.partition(p.ravel(), k - 1)[k - 1])


@dataclass(frozen=True)
class Specialised:
    """The language-specific neurons of one model: `mask` (J, W), `assigned` (K, J, W), `entropy` (J, W), `bar`."""

    mask: Bools
    assigned: Bools
    entropy: Floats
    bar: float

    @property
    def per_language(self) -> NDArray[np.int64]:
        """(K,): neurons of each language."""
        return np.asarray(self.assigned.sum(axis=(1, 2)), np.int64)

    @property
    def per_layer(self) -> NDArray[np.int64]:
        """(K, J): neurons of each language in each layer."""
        return np.asarray(self.assigned.sum(axis=2), np.int64)


def specialised(p: Floats, rule: Rule, share: float = SHARE, quantile: float = BAR_QUANTILE) -> Specialised:
    """The round(share * J * W) neurons of lowest entropy, assigned to languages by `rule`.

    A neuron that exceeds the bar in no language has infinite entropy and is never chosen, so there may be fewer.
    Among equals the lower layer and position comes first. Raises `ConfigError` for an unknown rule.
    """
    if rule not in RULES:
        raise ConfigError(f"unknown assignment rule {rule!r}; known are {', '.join(RULES)}")
    level = bar(p, quantile)
    above = p > level
    values = np.where(above.any(axis=0), entropy(p), np.inf)
    order = np.argsort(values, axis=None, kind="stable")[: round(share * values.size)]
    mask = np.zeros(values.size, bool)
    mask[order[np.isfinite(values.ravel()[order])]] = True
    chosen = mask.reshape(values.shape)
    best = np.arange(len(p))[:, None, None] == p.argmax(axis=0)
    return Specialised(chosen, chosen & (best if rule == "highest" else above), values, level)


def ecdf(per_layer: ArrayLike) -> Floats:
    """Neurons per layer (J,) -> share of them up to and including each layer; NaN where there are none."""
    counts = np.asarray(per_layer, np.float64)
    total = counts.sum()
    return np.asarray(np.cumsum(counts) / total if total else np.full(len(counts), np.nan))


def ks_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Kolmogorov-Smirnov distance of two distributions over the same layers: the largest gap of their ECDFs.

    Raises `DataError` when the models differ in their number of layers.
    """
    one, other = ecdf(first), ecdf(second)
    if one.shape != other.shape:
        raise DataError(f"models of {len(one)} and {len(other)} layers cannot be compared layer by layer")
    return float(np.abs(one - other).max())


def last_share(per_layer: ArrayLike, last: int) -> Floats:
    """(..., J) -> (...): share of neurons in the `last` layers; NaN where there are none."""
    counts = np.asarray(per_layer, np.float64)
    total = counts.sum(axis=-1)
    late = counts[..., -last:].sum(axis=-1)
    return np.asarray(np.divide(late, total, out=np.full(total.shape, np.nan), where=total > 0))
