"""The mathematics of hidden-state drift: PCA, spread and length of differences between two models (RL study).

Shapes: N states of `hidden` dimensions. All in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyfact_dataset.common.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Components:
    """`points` (N, count): coordinates along the first principal directions (count, hidden); `explained` (count,)."""

    points: Floats
    directions: Floats
    explained: Floats


def pca(vectors: ArrayLike, count: int = 2) -> Components:
    """Principal components of centred vectors; a direction's largest entry is positive, so that signs are fixed.

    `explained` are shares of the total variance, zero where there is none. Raises `DataError` for too few vectors.
    """
    values = np.asarray(vectors, np.float64)
    if len(values) < 2 or values.shape[1] < count:
        raise DataError(f"PCA to {count} dimensions needs at least 2 states of as many; axes {values.shape}")
    centred = values - values.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    total = (sizes**2).sum()
    power = np.zeros(count)
    power[: len(sizes)] = sizes[:count] ** 2
    directions = np.zeros((count, values.shape[1]))
    directions[: len(axes)] = axes[:count]
    signs = np.sign(np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1))
    directions *= np.where(signs == 0, 1, signs)
    return Components(centred @ directions.T, directions, power / total if total else power)


def mean_norm(vectors: ArrayLike) -> float:
    """Mean Euclidean length."""
    return float(np.linalg.norm(np.asarray(vectors, np.float64), axis=1).mean())


def spread(vectors: ArrayLike) -> float:
    """Root mean square distance from the mean: how scattered the drift is."""
    values = np.asarray(vectors, np.float64)
    return float(np.sqrt(((values - values.mean(axis=0)) ** 2).sum(axis=1).mean()))


def concentration(vectors: ArrayLike) -> float:
    """Length of the mean direction, in [0, 1]: 1 where all states move the same way. Zero vectors have no direction."""
    values = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
    return float(np.linalg.norm(unit.mean(axis=0)))
