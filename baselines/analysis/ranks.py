"""The mathematics of layer ranks: the layers where the answer appears and where it switches to the target language.

Shapes: N probes (a fact in a language), J layers. A rank is 1 for the likeliest token. Paper, section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def mean_rank(ranks: ArrayLike) -> Floats:
    """(N, J) -> (J,): geometric mean, since ranks span orders of magnitude; NaN without probes."""
    values = np.asarray(ranks, np.float64)
    return np.asarray(np.exp(np.log(values).mean(axis=0)) if len(values) else np.full(values.shape[1:], np.nan))


def first_share(ranks: ArrayLike) -> Floats:
    """(N, J) -> (J,): share of probes whose token is the likeliest; NaN without probes."""
    values = np.asarray(ranks)
    return np.asarray((values == 1).mean(axis=0) if len(values) else np.full(values.shape[1:], np.nan), np.float64)


def switch_layers(target: ArrayLike, english: ArrayLike) -> Ints:
    """(N, J) twice -> (N,): the layer, from 1, from which on the target stays ahead of English; J + 1 for never."""
    ahead = np.asarray(target) < np.asarray(english)
    behind = ~ahead[:, ::-1]
    layers = ahead.shape[1]
    run = np.where(behind.any(axis=1), behind.argmax(axis=1), layers)
    return np.asarray(layers + 1 - run, np.int64)


@dataclass(frozen=True)
class Transition:
    """Means over the probes of one language, by layer, and where they switch."""

    target: Floats
    english: Floats
    target_first: Floats
    english_first: Floats
    stuck: float
    median_switch: float | None

    @staticmethod
    def of(target: ArrayLike, english: ArrayLike) -> Transition:
        """`stuck`: share of probes that end with English ahead; `median_switch` is over those that do switch."""
        one, other = np.asarray(target), np.asarray(english)
        switched = switch_layers(one, other)
        done = switched[switched <= one.shape[1]]
        return Transition(
            target=mean_rank(one),
            english=mean_rank(other),
            target_first=first_share(one),
            english_first=first_share(other),
            stuck=float((other[:, -1] < one[:, -1]).mean()) if len(one) else float("nan"),
            median_switch=float(np.median(done)) if len(done) else None,
        )
