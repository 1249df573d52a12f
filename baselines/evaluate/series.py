"""A result as numbers per fact, aligned between runs: what tables, intervals and tests are computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from baselines import metrics
from baselines.evaluate import results
from baselines.evaluate.matching import matches_any
from baselines.evaluate.results import Result
from baselines.evaluate.summary import Choices, language_groups, summarise_choices, summarise_generations
from baselines.metrics import Floats
from polyfact_dataset.common.errors import DataError

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Series:
    """One result. `correct` is (N, L), facts in the order of their ids; NaN where a language lacks a fact."""

    path: Path
    label: str
    result: Result
    languages: list[str]
    facts: list[str]
    correct: Floats
    choices: Choices | None
    normalisation: str

    @property
    def groups(self) -> dict[str, list[str]]:
        """The groups of languages of the result's kind."""
        return language_groups(self.result.kind, self.languages)

    def columns(self, codes: Sequence[str]) -> list[int]:
        """Where languages stand in `correct`."""
        return [self.languages.index(code) for code in codes]

    def accuracy(self, codes: Sequence[str]) -> float:
        """Plain mean over languages of their accuracy."""
        return float(metrics.accuracy(self.correct[:, self.columns(codes)]).mean())

    def consistency(self) -> dict[str, Floats]:
        """Per fact that all languages have: correct in all of them, mean pairwise agreement, mean RankC; (N',) each."""
        if self.choices is None or len(self.languages) < 2:
            return {}
        scores = self.choices.complete(self.normalisation)
        chosen = metrics.choices(scores)
        rows, columns = np.triu_indices(len(self.languages), k=1)
        complete = self.correct[~np.isnan(self.correct).any(axis=1)]
        return {
            "total_consistency": np.asarray(complete.all(axis=1), np.float64),
            "agreement": np.asarray((chosen[:, rows] == chosen[:, columns]).mean(axis=1), np.float64),
            "rankc": metrics.rankc_pairs(scores).mean(axis=1),
        }


def _generated(table: pa.Table, languages: Sequence[str]) -> tuple[list[str], Floats]:
    facts = sorted(pc.unique(table["fact_id"]).to_pylist())
    place = {fact: number for number, fact in enumerate(facts)}
    column = {code: number for number, code in enumerate(languages)}
    correct = np.full((len(facts), len(languages)), np.nan)
    for fact, code, right in zip(*(table[name].to_pylist() for name in ("fact_id", "language", "lenient"))):
        if code in column:
            correct[place[fact], column[code]] = right
    return facts, correct


def read(path: Path, label: str | None, normalisation: str, languages: Sequence[str] | None, recompute: bool) -> Series:
    """A result with its scores. With `recompute` its stored metrics must be those of its scores.

    Raises `DataError` for a file that is no result, without its scores, or lacking a language.
    """
    result = results.load_result(path)
    table = results.load_scores(path, result)
    if recompute:
        check(path, result, table)
    codes = list(languages or result.data.languages)
    lacking = [code for code in codes if code not in result.data.languages]
    if lacking:
        raise DataError(f"{path} has no language {', '.join(lacking)}; it has {', '.join(result.data.languages)}")
    if result.kind in ("open", "klar"):
        facts, correct = _generated(table, codes)
        return Series(path, label or result.label, result, codes, facts, correct, None, "lenient")
    used = normalisation if normalisation in result.metrics else next(iter(result.metrics))
    choices = Choices.of(table, codes)
    return Series(path, label or result.label, result, codes, choices.facts, choices.correct(used), choices, used)


# ---------------------------------------------------------------- recomputing


def recomputed(result: Result, table: pa.Table) -> dict[str, Any]:
    """The metrics of a result from its scores alone."""
    languages = result.data.languages
    if result.kind in ("open", "klar"):
        return summarise_generations(table, result.kind, languages)
    return summarise_choices(table, languages, tuple(result.metrics))


def check(path: Path, result: Result, table: pa.Table) -> int:
    """Compares all stored metrics with those of the scores, and judgements with predictions; returns their number.

    Raises `DataError` naming the first one that differs.
    """
    if result.kind in ("open", "klar"):
        for row in table.to_pylist():
            if matches_any(row["prediction"], row["accepted"]) != (row["exact"], row["lenient"]):
                raise DataError(f"{path}: {row['fact_id']} in {row['language']}: its answer is judged otherwise now")
    found = list(_leaves(recomputed(result, table)))
    stored = dict(_leaves(result.metrics))
    for name, value in found:
        old = stored.pop(name, None)
        same = value == old or (
            isinstance(value, float) and isinstance(old, float | int) and abs(value - old) <= TOLERANCE
        )
        if not same:
            raise DataError(f"{path}: {name} is {old}, from the scores it is {value}")
    if stored:
        raise DataError(f"{path}: {next(iter(stored))} cannot be recomputed from the scores")
    return len(found)


def _leaves(value: Any, name: str = "metrics") -> Any:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{position}]")
    else:
        yield name, value
