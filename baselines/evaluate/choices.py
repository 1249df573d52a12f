"""The scores of options as arrays: facts aligned over languages, options aligned over languages by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from baselines import metrics
from baselines.metrics import Floats, Ints
from polyfact_dataset.common.errors import DataError

LENGTHS = {"byte": "bytes", "sum": None, "token": "tokens", "char": "characters"}
Bools = NDArray[np.bool_]


def codes_of(column: pa.ChunkedArray) -> tuple[Ints, list[Any]]:
    """A column as indices into its distinct values, these in ascending order."""
    encoded = column.combine_chunks().dictionary_encode()
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values))
    return rank[encoded.indices.to_numpy()], [values[index] for index in order]


def language_codes(column: pa.ChunkedArray, languages: Sequence[str]) -> Ints:
    """A column of language codes as indices into `languages`, which must hold all of them."""
    index, values = codes_of(column)
    return np.array([languages.index(value) for value in values], np.int64)[index]


@dataclass(frozen=True)
class Choices:
    """Scores of options. `scores[normalisation]` is (N, L, n), NaN where a language lacks a fact.

    Options are in the order of their ids as text, the same in all languages; a fact with fewer than n options has NaN
    behind them. `gold` (N, L) is the correct option in each language, -1 where the language lacks the fact.
    """

    facts: list[str]
    languages: list[str]
    scores: dict[str, Floats]
    gold: Ints

    @staticmethod
    def of(table: pa.Table, languages: Sequence[str]) -> Choices:
        """Reads the rows of `results.CHOICES`; an option's score is that of its best name.

        Raises `DataError` when languages disagree about a fact's options, or an item has no gold.
        """
        codes = list(languages)
        table = table.filter(pc.is_in(table["language"], pa.array(codes)))
        fact, facts = codes_of(table["fact_id"])
        language = language_codes(table["language"], codes)
        option, counts = _positions(fact, table["option_id"], len(facts))
        logprob = table["logprob"].to_numpy()
        shape = (len(facts), len(codes), int(counts.max(initial=0)))
        scores = {}
        for name, column in LENGTHS.items():
            if column and table[column].null_count:
                continue
            best = np.full(shape, -np.inf)
            values = metrics.normalised(logprob, table[column].to_numpy() if column else None)
            np.maximum.at(best, (fact, language, option), values)
            present = np.isfinite(best)
            number = present.sum(axis=2)
            odd = (number != counts[:, None]) & (number > 0)
            if odd.any():
                raise DataError(
                    f"fact {facts[int(np.argwhere(odd)[0][0])]}: its languages do not have the same options"
                )
            scores[name] = np.where(present, best, np.nan)
        gold = np.full(shape[:2], -1, np.int64)
        right = table["gold"].to_numpy(zero_copy_only=False).astype(bool)
        gold[fact[right], language[right]] = option[right]
        lacking = (gold < 0) & ~np.isnan(next(iter(scores.values()))[:, :, 0])
        if lacking.any():
            row, column_index = np.argwhere(lacking)[0]
            raise DataError(f"fact {facts[row]} in {codes[column_index]}: no option is marked as correct")
        return Choices(facts, codes, scores, gold)

    def correct(self, normalisation: str) -> Floats:
        """(N, L): 1 where the best option is the gold, 0 where not, NaN where the fact is lacking."""
        scores = self.scores[normalisation]
        right = (metrics.choices(np.nan_to_num(scores, nan=-np.inf)) == self.gold).astype(np.float64)
        return np.asarray(np.where(self.gold < 0, np.nan, right), np.float64)

    @cached_property
    def parallel(self) -> Bools:
        """(N,): facts that all languages have."""
        return np.asarray((self.gold >= 0).all(axis=1))

    @cached_property
    def disagreeing(self) -> list[str]:
        """Facts whose gold differs between languages. Their options are not aligned, or one language has an error."""
        highest = self.gold.max(axis=1, keepdims=True)
        different = ((self.gold >= 0) & (self.gold != highest)).any(axis=1)
        return [self.facts[index] for index in np.flatnonzero(different)]

    def complete(self, normalisation: str) -> Floats:
        """(N', L, n): scores of the facts that all languages have."""
        return np.asarray(self.scores[normalisation][self.parallel], np.float64)


def _positions(fact: Ints, ids: pa.ChunkedArray, facts: int) -> tuple[Ints, Ints]:
    """For each row the position of its option among those of its fact, in the order of the ids; and (N,) counts."""
    option, values = codes_of(ids)
    pairs, row = np.unique(fact * max(len(values), 1) + option, return_inverse=True)
    owner = pairs // max(len(values), 1)
    counts = np.bincount(owner, minlength=facts)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return (np.arange(len(pairs)) - first[owner])[row], counts
