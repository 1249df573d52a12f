"""Exchangeable distractors: three permutations of the golds of a stratum.

Within a stratum the golds are a multiset; each of the three distractor columns is a permutation of that same
multiset, chosen so that the four options of every item are distinct and no distractor is excluded for its fact.
Every entity then occurs among the options exactly four times as often as it is the gold, so a rule that sees only
the options is right one time in four (docs/items.md).
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

# Number of random partners tried for an invalid cell before a cycle of moves is searched, and of new drawings of a
# stratum without a cycle. Both only bound the time.
_SWAP_TRIES = 60
_DRAWS = 6
# A stratum of at most this many facts times distinct golds is solved exactly when random drawing fails, and mixed
# by this many switches per fact.
_TIGHT_CELLS = 400_000
_SWITCHES = 30

Excluded = Callable[[int, int], bool]
"""`excluded(fact, entity)`: the entity must not be an option of the fact (a true answer, or named in the question)."""
Conflicting = Callable[[int, int], bool]
"""`conflicting(entity, entity)`: the two must not be in one item (the same, or the same text in some language)."""


def slack(rows: int) -> int:
    """Number of rows of a stratum reserved for other exclusions than truth, such as a name in a question."""
    return rows // 100


def feasible(golds: Sequence[Hashable], true: Sequence[Collection[Hashable]] = ()) -> bool:
    """Whether three permutations can exist: no gold has more than a quarter of the stratum, and it fits enough rows.

    As a distractor a gold needs three rows for each row that it has, among the rows of which it is not an answer.
    `true` contains all answers of each row.
    """
    rows, counts = len(golds), Counter(golds)
    others = Counter(
        entity for gold, answers in zip(golds, true) for entity in answers if entity != gold and entity in counts
    )
    room = rows - slack(rows) if true else rows
    return rows >= 4 and all(4 * count + others[gold] <= room for gold, count in counts.items())


class NoDrawingError(Exception):
    """No three columns were found: the fact `row` of the stratum cannot get distractors."""

    def __init__(self, row: int) -> None:
        super().__init__(f"fact {row} of the stratum cannot be served")
        self.row = row


@dataclass
class Drawing:
    """Distractor columns of one stratum, `columns[k][i]` being the k-th distractor of the i-th fact."""

    columns: list[list[int]]


class _Column:
    """One permutation under repair."""

    def __init__(
        self,
        golds: Sequence[int],
        earlier: list[list[int]],
        excluded: Excluded,
        conflicting: Conflicting,
        rng: random.Random,
    ) -> None:
        self.golds, self.earlier, self.rng = golds, earlier, rng
        self._excluded, self._conflicting = excluded, conflicting
        self.values = list(golds)
        rng.shuffle(self.values)

    def fits(self, row: int, entity: int) -> bool:
        if self._conflicting(self.golds[row], entity):
            return False
        if any(self._conflicting(column[row], entity) for column in self.earlier):
            return False
        return not self._excluded(row, entity)

    def repair(self) -> None:
        """Moves values until all rows are valid. Raises `NoDrawingError` for a row that cannot be valid."""
        bad = [row for row, value in enumerate(self.values) if not self.fits(row, value)]
        for row in bad:
            if not self.fits(row, self.values[row]) and not self._swap(row) and not self._cycle(row):
                raise NoDrawingError(row)

    def _swap(self, row: int) -> bool:
        values = self.values
        for _ in range(_SWAP_TRIES):
            other = self.rng.randrange(len(values))
            if self.fits(row, values[other]) and self.fits(other, values[row]):
                values[row], values[other] = values[other], values[row]
                return True
        return False

    def _cycle(self, start: int) -> bool:
        """Finds the shortest cycle of moves that makes `start` valid and keeps valid rows valid.

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


def _flow(rows: int, capacities: Sequence[int], per_row: int, allowed: np.ndarray) -> np.ndarray | None:
    """A 0/1 matrix within `allowed` with `per_row` ones in each row and `capacities` in the columns, or None.

    A maximum flow from the rows to the columns; it exists exactly when such a matrix does.
    """
    columns = len(capacities)
    source, sink = rows + columns, rows + columns + 1
    row, column = np.nonzero(allowed)
    starts = np.concatenate([np.full(rows, source), row, rows + np.arange(columns)])
    ends = np.concatenate([np.arange(rows), rows + column, np.full(columns, sink)])
    limits = np.concatenate([np.full(rows, per_row), np.ones(len(row)), np.asarray(capacities)]).astype(np.int32)
    graph = csr_array((limits, (starts, ends)), shape=(sink + 1, sink + 1))
    result = maximum_flow(graph, source, sink)
    if result.flow_value != rows * per_row:
        return None
    chosen: np.ndarray = (result.flow[:rows, rows : rows + columns].toarray() > 0).astype(np.int8)
    return chosen


def _mix(chosen: np.ndarray, allowed: np.ndarray, conflict: np.ndarray, rng: random.Random) -> None:
    """Shuffles a choice by random switches that keep all sums.

    Raises `NoDrawingError` for a row of the choice in which two entities conflict.
    """
    rows = len(chosen)

    def conflicts(row: int) -> int:
        members = np.flatnonzero(chosen[row])
        return int(conflict[np.ix_(members, members)].sum())

    for _ in range(_SWITCHES * rows):
        one, other = rng.randrange(rows), rng.randrange(rows)
        give = np.flatnonzero(chosen[one] & (1 - chosen[other]) & allowed[other])
        take = np.flatnonzero(chosen[other] & (1 - chosen[one]) & allowed[one])
        if one == other or not len(give) or not len(take):
            continue
        before = conflicts(one) + conflicts(other)
        given_name, taken_name = give[rng.randrange(len(give))], take[rng.randrange(len(take))]
        chosen[one, [given_name, taken_name]], chosen[other, [given_name, taken_name]] = (0, 1), (1, 0)
        if conflicts(one) + conflicts(other) > before:
            chosen[one, [given_name, taken_name]], chosen[other, [given_name, taken_name]] = (1, 0), (0, 1)
    unsound = next((row for row in range(rows) if conflicts(row)), None)
    if unsound is not None:
        raise NoDrawingError(unsound)


class _Tight:
    """A small, tightly constrained stratum: all three columns at once, as a flow, then mixed.

    Three distractors per fact with every entity used three times as often as it is a gold are an integral flow;
    such a choice can always be decomposed into three permutations (a regular bipartite graph has perfect matchings).
    Rows and names are in random order; `chosen` is None where no three columns exist.
    """

    def __init__(self, golds: Sequence[int], excluded: Excluded, conflicting: Conflicting, rng: random.Random) -> None:
        self._conflicting, self._rng, self._counts = conflicting, rng, Counter(golds)
        self._names, self._order = sorted(set(golds)), list(range(len(golds)))
        rng.shuffle(self._names)
        rng.shuffle(self._order)
        self._allowed = np.array(
            [
                [not conflicting(golds[row], name) and not excluded(row, name) for name in self._names]
                for row in self._order
            ],
            np.int8,
        )
        self.chosen = self._flow(3, self._allowed)

    def _flow(self, columns: int, allowed: np.ndarray) -> np.ndarray | None:
        """A choice of `per_row` names for every row, in which each name occurs in proportion to its golds."""
        return _flow(len(self._order), [columns * self._counts[name] for name in self._names], columns, allowed)

    def scarcest(self) -> int:
        """The row with the fewest possible names."""
        return self._order[int(self._allowed.sum(axis=1).argmin())]

    def draw(self, chosen: np.ndarray) -> Drawing:
        """The drawing that follows from a choice. Raises `NoDrawingError` for a row in which two entities conflict."""
        order, names = self._order, self._names
        conflict = np.array([[one != other and self._conflicting(one, other) for other in names] for one in names])
        try:
            _mix(chosen, self._allowed, conflict, self._rng)
        except NoDrawingError as error:
            raise NoDrawingError(order[error.row]) from error
        columns: list[list[int]] = []
        for _ in range(3):
            matching = self._flow(1, chosen)
            assert matching is not None
            chosen = chosen - matching
            column = dict(zip(order, matching.argmax(axis=1)))
            columns.append([names[column[row]] for row in range(len(order))])
        return Drawing(columns)


def _permutations(golds: Sequence[int], excluded: Excluded, conflicting: Conflicting, rng: random.Random) -> Drawing:
    """Three random permutations, repaired in turn. Raises `NoDrawingError`."""
    columns: list[list[int]] = []
    for _ in range(3):
        column = _Column(golds, columns, excluded, conflicting, rng)
        column.repair()
        columns.append(column.values)
    return Drawing(columns)


def draw(golds: Sequence[int], excluded: Excluded, conflicting: Conflicting, seed: str) -> Drawing:
    """Three permutations of `golds`. Raises `NoDrawingError` with the index of a fact that cannot get distractors.

    `excluded` gets the index of the fact inside the stratum. The same arguments give the same drawing.
    """
    counts = Counter(golds)
    if not feasible(golds):
        raise NoDrawingError(max(range(len(golds)), key=lambda row: (counts[golds[row]], row)))
    chosen = None
    culprits: Counter[int] = Counter()
    for attempt in range(_DRAWS):
        try:
            return _permutations(golds, excluded, conflicting, random.Random(f"{seed}/{attempt}"))
        except NoDrawingError as error:
            culprits[error.row] += 1
        if attempt == 0 and len(golds) * len(counts) <= _TIGHT_CELLS:
            # If random drawing fails, it may be impossible: a flow decides this directly.
            tight = _Tight(golds, excluded, conflicting, random.Random(f"{seed}/tight"))
            chosen = tight.chosen
            if chosen is None:
                raise NoDrawingError(tight.scarcest())
    if chosen is not None:
        return tight.draw(chosen)
    raise NoDrawingError(max(culprits, key=lambda row: (culprits[row], -row)))
