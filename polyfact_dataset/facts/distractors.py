"""Exchangeable distractors: three permutations of the golds of a stratum.

Within a stratum the golds are a multiset; each of the three distractor columns is a permutation of that same
multiset, chosen so that the four options of every item are distinct and no distractor is barred for its fact.
Every entity then stands among the options exactly four times as often as it is the gold, so a rule that sees only
the options is right one time in four (reference: lessons, Exchangeable distractors).
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# How often a bad cell tries a random partner before a cycle of moves is searched, and how often a stratum that
# has none is drawn anew. Both only bound the time.
_SWAP_TRIES = 60
_DRAWS = 12

Barred = Callable[[int, int], bool]
"""`barred(fact, entity)`: the entity may not be offered to the fact (a true answer, named in the question)."""
Clash = Callable[[int, int], bool]
"""`clash(entity, entity)`: the two may not stand in one item (the same, or the same text in some language)."""


def feasible(golds: Sequence[int]) -> bool:
    """Whether three permutations can exist: no gold holds more than a quarter of the stratum."""
    return len(golds) >= 4 and 4 * max(Counter(golds).values()) <= len(golds)


@dataclass
class Drawing:
    """Distractor columns of one stratum, `columns[k][i]` being the k-th distractor of the i-th fact."""

    columns: list[list[int]]


class _Column:
    """One permutation under repair."""

    def __init__(
        self, golds: Sequence[int], earlier: list[list[int]], barred: Barred, clash: Clash, rng: random.Random
    ) -> None:
        self.golds, self.earlier, self.rng = golds, earlier, rng
        self._barred, self._clash = barred, clash
        self.values = list(golds)
        rng.shuffle(self.values)

    def fits(self, row: int, entity: int) -> bool:
        if self._clash(self.golds[row], entity):
            return False
        if any(self._clash(column[row], entity) for column in self.earlier):
            return False
        return not self._barred(row, entity)

    def repair(self) -> int | None:
        """Moves values until all rows fit. Returns None, or a row that cannot be served."""
        bad = [row for row, value in enumerate(self.values) if not self.fits(row, value)]
        for row in bad:
            if not self.fits(row, self.values[row]) and not self._swap(row) and not self._cycle(row):
                return row
        return None

    def _swap(self, row: int) -> bool:
        values = self.values
        for _ in range(_SWAP_TRIES):
            other = self.rng.randrange(len(values))
            if self.fits(row, values[other]) and self.fits(other, values[row]):
                values[row], values[other] = values[other], values[row]
                return True
        return False

    def _cycle(self, start: int) -> bool:
        """Finds the shortest cycle of moves that serves `start` without spoiling a row that fits.

        An augmenting path in the bipartite graph of rows and values: breadth first from `start` over rows whose
        value the current row could take, until a row is found that can take the value of `start`.
        """
        values, size = self.values, len(self.values)
        order = list(range(size))
        self.rng.shuffle(order)
        origin: dict[int, int] = {start: start}
        queue, left = deque([start]), [row for row in order if row != start]
        while queue:
            row = queue.popleft()
            rest = []
            for other in left:
                if not self.fits(row, values[other]):
                    rest.append(other)
                    continue
                origin[other] = row
                if self.fits(other, values[start]):
                    self._shift(start, other, origin)
                    return True
                queue.append(other)
            left = rest
        return False

    def _shift(self, start: int, last: int, origin: dict[int, int]) -> None:
        """Each row on the path takes the value of the row after it; `last` takes that of `start`."""
        path = [last]
        while path[-1] != start:
            path.append(origin[path[-1]])
        path.reverse()
        moved = [self.values[row] for row in path]
        for row, value in zip(path, [*moved[1:], moved[0]]):
            self.values[row] = value


def draw(golds: Sequence[int], barred: Barred, clash: Clash, seed: str) -> Drawing | int:
    """Three permutations of `golds`, or the index of a fact that cannot be served.

    `barred` gets the index of the fact inside the stratum. The same arguments give the same drawing.
    """
    culprits: Counter[int] = Counter()
    for attempt in range(_DRAWS):
        rng = random.Random(f"{seed}/{attempt}")
        columns: list[list[int]] = []
        failed: int | None = None
        for _ in range(3):
            column = _Column(golds, columns, barred, clash, rng)
            failed = column.repair()
            if failed is not None:
                break
            columns.append(column.values)
        if failed is None:
            return Drawing(columns)
        culprits[failed] += 1
    return max(culprits, key=lambda row: (culprits[row], -row))
