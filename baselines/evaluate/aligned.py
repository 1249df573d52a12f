"""A result as numbers per fact and language, aligned between runs: the input of measures, tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from baselines import metrics
from baselines.evaluate import results
from baselines.evaluate.choices import Bools, Choices, codes_of, language_codes
from baselines.evaluate.results import GENERATED, Result
from baselines.metrics import Floats, Ints
from polyfact_dataset.common.errors import DataError

# Which column of generated answers counts as correct.
JUDGED_BY = {"klar": "lenient", "open": "folded"}
# Splits of the items that a result may carry, by the column that they come from.
ATTRIBUTES = ("domain", "popularity", "subject_articles", "script_match", "prompt_bytes", "prompt_tokens")


@dataclass(frozen=True)
class AlignedScores:
    """Facts in the order of their ids; N facts, L languages, n options, S samples. NaN where a language lacks a fact.

    `correct` (N, L) is in [0, 1], the mean over samples. Multiple choice has `scores` (N, L, n) under `normalisation`
    and `gold` (N, L); generated answers have `declined` (N, L), `samples` (N, L, S) and, where the engine gives
    log-probabilities, `confidence` (N, L). `attributes`: name -> (N,) or (N, L) values to split the results by.
    """

    facts: list[str]
    languages: list[str]
    correct: Floats
    normalisation: str
    label: str = ""
    scores: Floats | None = None
    gold: Ints | None = None
    declined: Floats | None = None
    samples: Floats | None = None
    confidence: Floats | None = None
    attributes: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    path: Path | None = None
    result: Result | None = None

    @property
    def kind(self) -> str:
        """The kind of result; `mcq` for scores that come from no file."""
        return self.result.kind if self.result else "mcq"

    @property
    def groups(self) -> dict[str, list[str]]:
        """The groups of languages of the result's kind."""
        return metrics.language_groups(self.kind, self.languages)

    def columns(self, codes: Sequence[str]) -> list[int]:
        """Columns of languages in `correct`."""
        return [self.languages.index(code) for code in codes]

    def accuracy(self, codes: Sequence[str]) -> float:
        """Plain mean over languages of their accuracy."""
        return float(metrics.accuracy(self.correct[:, self.columns(codes)]).mean())

    @cached_property
    def parallel(self) -> Bools:
        """(N,): facts that all languages have."""
        return np.asarray(~np.isnan(self.correct).any(axis=1))

    @cached_property
    def complete(self) -> Floats:
        """(N', L): `correct` of the facts that all languages have."""
        return self.correct[self.parallel]

    @cached_property
    def complete_scores(self) -> Floats:
        """(N', L, n): `scores` of the facts that all languages have. Only for multiple choice."""
        assert self.scores is not None
        return self.scores[self.parallel]

    @cached_property
    def distribution(self) -> Floats:
        """(N, L, n): softmax of `scores` over the options. Only for multiple choice."""
        assert self.scores is not None
        return metrics.option_distribution(self.scores)

    @cached_property
    def chosen(self) -> Ints:
        """(N', L): the option chosen for the facts that all languages have. Only for multiple choice."""
        return metrics.choices(np.nan_to_num(self.complete_scores, nan=-np.inf))

    def restrict(self, kept: Bools) -> AlignedScores:
        """Only the items of `kept`, (N,) or (N, L); facts and languages without any of them are left out."""
        mask = np.broadcast_to(kept[:, None] if kept.ndim == 1 else kept, self.correct.shape)
        mask = mask & ~np.isnan(self.correct)
        rows, columns = np.asarray(mask.any(axis=1)), np.asarray(mask.any(axis=0))
        cells = np.ix_(rows, columns)

        def cut(values: Any, missing: float = np.nan) -> Any:
            if values is None:
                return None
            shaped = mask[cells].reshape(*mask[cells].shape, *[1] * (values.ndim - 2))
            return np.where(shaped, values[cells], missing)

        gold = None if self.gold is None else cut(self.gold, -1).astype(np.int64)
        parts = ("correct", "scores", "declined", "samples", "confidence")
        return replace(
            self,
            facts=[fact for fact, keep in zip(self.facts, rows) if keep],
            gold=gold,
            languages=[code for code, keep in zip(self.languages, columns) if keep],
            attributes={
                name: values[rows] if values.ndim == 1 else values[cells] for name, values in self.attributes.items()
            },
            **{name: cut(getattr(self, name)) for name in parts},
        )


def of_choices(choices: Choices, normalisation: str, table: pa.Table | None = None) -> AlignedScores:
    """The scores under one normalisation, with the attributes that `table` holds."""
    return AlignedScores(
        facts=choices.facts,
        languages=choices.languages,
        correct=choices.correct(normalisation),
        normalisation=normalisation,
        scores=choices.scores[normalisation],
        gold=choices.gold,
        attributes={} if table is None else attributes_of(table, choices.languages),
    )


def of_generations(table: pa.Table, languages: Sequence[str], judged_by: str) -> AlignedScores:
    """Rows of `results.GENERATIONS`, correct by the column `judged_by`."""
    codes = list(languages)
    table = table.filter(pc.is_in(table["language"], pa.array(codes)))
    fact, facts = codes_of(table["fact_id"])
    language = language_codes(table["language"], codes)
    sample = table["sample"].to_numpy().astype(np.int64)
    shape = (len(facts), len(codes), int(sample.max(initial=0)) + 1)

    def spread(values: Any) -> Floats:
        array = np.full(shape, np.nan)
        array[fact, language, sample] = values
        return array

    samples = spread(table[judged_by].to_numpy(zero_copy_only=False).astype(np.float64))
    declined = spread(pc.equal(table["mode"], "declined").to_numpy(zero_copy_only=False).astype(np.float64))
    confidence = None
    if not table["logprob"].null_count and not table["tokens"].null_count:
        mean = table["logprob"].to_numpy() / np.maximum(table["tokens"].to_numpy(), 1)
        confidence = spread(np.exp(mean))[:, :, 0]
    return AlignedScores(
        facts=facts,
        languages=codes,
        correct=samples.mean(axis=2),
        normalisation=judged_by,
        declined=declined.mean(axis=2),
        samples=samples,
        confidence=confidence,
        attributes=attributes_of(table, codes),
    )


def attributes_of(table: pa.Table, languages: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The attributes that all rows of a table have: by fact (N,), or by fact and language (N, L)."""
    table = table.filter(pc.is_in(table["language"], pa.array(list(languages))))
    fact, facts = codes_of(table["fact_id"])
    language = language_codes(table["language"], list(languages))
    attributes: dict[str, NDArray[Any]] = {}
    for name in ATTRIBUTES:
        column = table[name]
        if column.null_count:
            continue
        if name in ("domain", "popularity", "subject_articles"):
            first = np.unique(fact, return_index=True)[1]
            values = np.empty(len(facts), object)
            values[:] = column.take(pa.array(first)).to_pylist()
            attributes[name] = values
        else:
            grid = np.full((len(facts), len(languages)), np.nan)
            grid[fact, language] = column.to_numpy(zero_copy_only=False).astype(np.float64)
            attributes[name] = grid
    return attributes


def align(
    table: pa.Table, result: Result, normalisation: str, languages: Sequence[str], label: str, path: Path | None
) -> AlignedScores:
    """The rows of a result as arrays."""
    if result.kind in GENERATED:
        scores = of_generations(table, languages, JUDGED_BY[result.kind])
    else:
        used = normalisation if normalisation in result.metrics else next(iter(result.metrics))
        scores = of_choices(Choices.of(table, languages), used, table)
    return replace(scores, label=label, path=path, result=result)


def read(path: Path, label: str | None, normalisation: str, languages: Sequence[str] | None) -> AlignedScores:
    """Reads a result with its scores.

    Raises `DataError` for a file that is no result, without its scores, or lacking a language.
    """
    result = results.load_result(path)
    table = results.load_scores(path, result)
    codes = list(languages or result.data.languages)
    lacking = [code for code in codes if code not in result.data.languages]
    if lacking:
        raise DataError(f"{path} has no language {', '.join(lacking)}; it has {', '.join(result.data.languages)}")
    return align(table, result, normalisation, codes, label or result.label, path)
