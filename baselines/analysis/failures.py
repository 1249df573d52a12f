"""The mathematics of failure modes: transitions of each answer between two models (paper, appendix C)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from baselines.evaluate.matching import Names, failure_mode
from baselines.evaluate.results import MODES

Ints = NDArray[np.int64]
CORRECT = MODES.index("correct")


def answer_languages(prediction: str, code: str, accepted: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The other languages in which a wrong-language answer names the gold; several where their names are the same."""
    none = Names({code: ()})
    return tuple(
        other
        for other, names in accepted.items()
        if other != code
        and failure_mode(prediction, code, {code: accepted[code], other: names}, none) == "wrong_language"
    )


def shares(answers: Iterable[Sequence[str]], codes: Sequence[str]) -> dict[str, float]:
    """How many answers were in each language; one that k languages share counts 1/k for each of them."""
    counts = dict.fromkeys(codes, 0.0)
    for languages in answers:
        for code in languages:
            counts[code] += 1 / len(languages)
    return counts


def flow(before: ArrayLike, after: ArrayLike) -> Ints:
    """Modes of the same answers, as places in `MODES` -> (4, 4): how many went from each mode to each."""
    size = len(MODES)
    pairs = np.asarray(before, np.int64) * size + np.asarray(after, np.int64)
    return np.asarray(np.bincount(pairs, minlength=size * size).reshape(size, size), np.int64)


def corrected(table: Ints) -> dict[str, int]:
    """Answers that became correct, by what they had been."""
    return {mode: int(table[index, CORRECT]) for index, mode in enumerate(MODES) if index != CORRECT}


def broken(table: Ints) -> dict[str, int]:
    """Answers that were correct, by what they became."""
    return {mode: int(table[CORRECT, index]) for index, mode in enumerate(MODES) if index != CORRECT}
