"""Blocks of four facts that have each other's golds as options, made by min-cost assignment.

The facts of a block have four different golds, and each fact has the four golds as its options: every entity is the
gold once in its block, so a rule that sees only the options is right exactly one time in four. Blocks are chosen so
that the sum of a cost over all pairs of a block is small (`items.matching` says what two facts cost).

The search starts from a division in which no block holds a gold twice, and improves it: it takes one fact out of every
block and puts all of them back by a linear assignment (SciPy), which is optimal given the rest. Costs never rise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SIZE = 4
# The cost of a pair that may not share a block; finite, so that the search can pass through such a division.
FORBIDDEN = 1 << 30

Costs = npt.NDArray[np.int64]


def dividable(golds: Sequence[str]) -> list[int]:
    """The rows, in their order, of a largest subset that can be divided into blocks of four.

    A multiple of four rows in which no gold holds more than a quarter; rows of a gold that is too frequent are left out
    from the end.
    """
    kept = list(range(len(golds)))
    while len(kept) >= SIZE:
        limit = len(kept) // SIZE
        taken: Counter[str] = Counter()
        fits = []
        for row in kept:
            if taken[golds[row]] < limit:
                taken[golds[row]] += 1
                fits.append(row)
        if len(fits) == len(kept):
            break
        kept = fits
    # Dropping up to three rows may take the number of blocks below that of the commonest gold: begin again.
    whole = kept[: len(kept) // SIZE * SIZE]
    if whole and max(Counter(golds[row] for row in whole).values()) > len(whole) // SIZE:
        inner = dividable([golds[row] for row in whole])
        return [whole[position] for position in inner]
    return whole


def divide(golds: Sequence[str], order: Sequence[int]) -> npt.NDArray[np.int64]:
    """Rows divided into blocks without a repeated gold, (blocks, 4). `golds` must be dividable; `order` breaks ties."""
    counts = Counter(golds)
    count = len(golds) // SIZE
    if not count or len(golds) % SIZE or max(counts.values()) > count:
        raise ValueError("rows must be a multiple of four, and no gold may hold more than a quarter of them")
    # Equal golds are consecutive, and there are at most as many of them as blocks.
    rows = sorted(range(len(golds)), key=lambda row: (-counts[golds[row]], golds[row], order[row]))
    return np.array(rows, dtype=np.int64).reshape(SIZE, count).T.copy()


def costs_of(blocks: npt.NDArray[np.int64], cost: Costs) -> Costs:
    """The sum of the cost over the six pairs of each block, (blocks,)."""
    pairs = cost[blocks[:, :, None], blocks[:, None, :]]
    total: Costs = pairs.sum(axis=(1, 2)) // 2
    return total


def improve(blocks: npt.NDArray[np.int64], cost: Costs, rounds: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """The blocks after so many rounds of exchanging members. `cost` (rows, rows) is symmetric and 0 on the diagonal."""
    from scipy.optimize import linear_sum_assignment

    members = blocks.copy()
    count = len(members)
    for _ in range(rounds if count > 1 else 0):
        members = rng.permuted(members, axis=1)
        for slot in range(SIZE):
            rest = np.delete(members, slot, axis=1)
            moved = members[:, slot]
            rows = cost[moved]
            prices = rows[:, rest[:, 0]] + rows[:, rest[:, 1]] + rows[:, rest[:, 2]]
            taken, places = linear_sum_assignment(prices)
            members[places, slot] = moved[taken]
    return members
