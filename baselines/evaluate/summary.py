"""From the scores of every item to the metrics of a result: what evaluation stores and `compare --recompute` checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from baselines import metrics
from baselines.evaluate.results import MODES
from baselines.metrics import Floats
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.errors import DataError

LENGTHS = {"byte": "bytes", "sum": None, "token": "tokens", "char": "characters"}
# KLAR's languages that the paper trained on (its Table 10).
KLAR_TRAINED = ("en", "es", "fr", "ru", "zh", "ja", "ar")
# KLAR's relations whose answers are not proper names: fields, instruments, jobs, faiths, and languages, which most
# of the 17 languages write as common nouns. PolyFact's own stand in relations.toml.
KLAR_COMMON = frozenset(
    {
        "field_of_work",
        "instrument",
        "language_of_work_or_name",
        "languages_spoken",
        "native_language",
        "occupation",
        "official_language",
        "religion",
    }
)


def noun_of(group: str) -> str:
    """`proper` or `common`: what the answers of a relation (id, or KLAR's name) are."""
    relations = all_relations()
    if group in relations:
        return relations[group].noun
    return "common" if group.lower().replace(" ", "_").replace("-", "_") in KLAR_COMMON else "proper"


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray[Any, Any], list[str]]:
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


@dataclass(frozen=True)
class Choices:
    """Scores of options as arrays. `scores[normalisation]` is (N, L, n), NaN where a language lacks a fact.

    Options stand in the order of their ids as text, the same in all languages; `gold` (N,) is the correct one.
    """

    facts: list[str]
    languages: list[str]
    scores: dict[str, Floats]
    gold: metrics.Ints

    @staticmethod
    def of(table: pa.Table, languages: Sequence[str]) -> Choices:
        """Reads the rows of `results.CHOICES`; an option's score is that of its best name.

        Raises `DataError` when languages disagree about a fact's options.
        """
        table = table.filter(pc.is_in(table["language"], pa.array(languages)))
        fact, facts = _codes(table["fact_id"])
        place = {code: number for number, code in enumerate(languages)}
        language = np.array([place[code] for code in (_codes(table["language"])[1])])[_codes(table["language"])[0]]
        options = table["option_id"].to_numpy(zero_copy_only=False)
        pairs = sorted(set(zip(fact.tolist(), options.tolist())))
        size = len(pairs) // max(len(facts), 1)
        number = {pair: position % size for position, pair in enumerate(pairs)}
        if [pair[0] for pair in pairs] != [i for i in range(len(facts)) for _ in range(size)]:
            counts = np.bincount([pair[0] for pair in pairs], minlength=len(facts))
            odd = facts[int(np.flatnonzero(counts != np.bincount(counts).argmax())[0])]
            raise DataError(f"fact {odd}: its languages do not have the same options")
        option = np.array([number[pair] for pair in zip(fact.tolist(), options.tolist())], np.int64)
        logprob = table["logprob"].to_numpy()
        scores = {}
        for name, column in LENGTHS.items():
            if column and table[column].null_count:
                continue
            best = np.full((len(facts), len(languages), size), -np.inf)
            values = metrics.normalised(logprob, table[column].to_numpy() if column else None)
            np.maximum.at(best, (fact, language, option), values)
            there = np.isfinite(best)
            if (there.any(axis=2) != there.all(axis=2)).any():
                odd = facts[int(np.argwhere(there.any(axis=2) != there.all(axis=2))[0][0])]
                raise DataError(f"fact {odd}: its languages do not have the same options")
            scores[name] = np.where(there, best, np.nan)
        gold = np.zeros(len(facts), np.int64)
        right = table["gold"].to_numpy(zero_copy_only=False)
        gold[fact[right]] = option[right]
        return Choices(facts, list(languages), scores, gold)

    def correct(self, normalisation: str) -> Floats:
        """(N, L): 1 where the best option is the gold, 0 where not, NaN where the fact is lacking."""
        scores = self.scores[normalisation]
        right = (metrics.choices(np.nan_to_num(scores, nan=-np.inf)) == self.gold[:, None]).astype(np.float64)
        return np.asarray(np.where(np.isnan(scores[:, :, 0]), np.nan, right), np.float64)

    @cached_property
    def parallel(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(N,): facts that all languages have."""
        return np.asarray(~np.isnan(next(iter(self.scores.values()))[:, :, 0]).any(axis=1))

    def complete(self, normalisation: str) -> Floats:
        """(N', L, n): scores of the facts that all languages have."""
        return np.asarray(self.scores[normalisation][self.parallel], np.float64)


def choice_metrics(choices: Choices, normalisation: str) -> dict[str, Any]:
    """All measures of one normalisation."""
    correct = choices.correct(normalisation)
    by_language = dict(zip(choices.languages, metrics.accuracy(correct).tolist()))
    scores = choices.complete(normalisation)
    right = correct[choices.parallel].astype(bool)
    agreement = metrics.pairwise_agreement(metrics.choices(scores))
    rankc = metrics.rankc(scores)
    spread = metrics.option_distribution(choices.scores[normalisation])
    there = ~np.isnan(correct)
    several = len(choices.languages) > 1
    return {
        "accuracy": by_language,
        "groups": metrics.group_means(by_language, metrics.groups(choices.languages)),
        "mean_accuracy": float(np.mean(list(by_language.values()))),
        "total_consistency": metrics.total_consistency(right),
        "consistency_histogram": metrics.consistency_histogram(right).tolist(),
        "agreement": metrics.off_diagonal_mean(agreement) if several else None,
        "agreement_matrix": agreement.tolist(),
        "rankc": metrics.off_diagonal_mean(rankc) if several else None,
        "rankc_floor": metrics.rankc_floor(scores.shape[2]),
        "rankc_chance": metrics.rankc_chance(scores.shape[2]),
        "rankc_matrix": rankc.tolist(),
        "ece": metrics.calibration(spread.max(axis=2)[there], correct[there])[0],
    }


def summarise_choices(
    table: pa.Table, languages: Sequence[str], normalisations: Sequence[str] = metrics.NORMALISATIONS
) -> dict[str, Any]:
    """Metrics by normalisation."""
    choices = Choices.of(table, languages)
    return {name: choice_metrics(choices, name) for name in normalisations}


# ---------------------------------------------------------------- generated answers


def _rates(table: pa.Table) -> dict[str, Any]:
    """Rates over the rows of a table, plain mean over rows."""
    count = len(table)
    shares = {mode: pc.sum(pc.equal(table["mode"], mode)).as_py() / count for mode in MODES}
    means = {name: pc.mean(table[name].cast(pa.float64())).as_py() for name in ("lenient", "exact")}
    return {"items": count, **means, "modes": shares}


def _over_languages(table: pa.Table, languages: Sequence[str]) -> dict[str, Any] | None:
    """Plain mean over languages of their rates; None where a language has no row."""
    parts = [table.filter(pc.equal(table["language"], code)) for code in languages]
    if not parts or not all(len(part) for part in parts):
        return None
    rates = [_rates(part) for part in parts]
    return {
        "items": sum(rate["items"] for rate in rates),
        **{name: float(np.mean([rate[name] for rate in rates])) for name in ("lenient", "exact")},
        "modes": {mode: float(np.mean([rate["modes"][mode] for rate in rates])) for mode in MODES},
    }


def language_groups(kind: str, languages: Sequence[str]) -> dict[str, list[str]]:
    """The paper's groups: `trained` and `held_out` for KLAR, `high` and `low` elsewhere; each where it is not empty."""
    if kind != "klar":
        return metrics.groups(languages)
    split = {
        "trained": [code for code in languages if code in KLAR_TRAINED],
        "held_out": [code for code in languages if code not in KLAR_TRAINED],
    }
    return {name: codes for name, codes in split.items() if codes}


def summarise_generations(table: pa.Table, kind: str, languages: Sequence[str]) -> dict[str, Any]:
    """Lenient and exact rates and failure modes: by language, by group of languages, by noun, by contamination."""
    members = language_groups(kind, languages)
    nouns = pa.array([noun_of(group) for group in table["group"].to_pylist()])
    result: dict[str, Any] = {
        "languages": {code: _rates(table.filter(pc.equal(table["language"], code))) for code in languages},
        "groups": {name: _over_languages(table, codes) for name, codes in members.items()},
        "nouns": {
            noun: _over_languages(table.filter(pc.equal(nouns, noun)), languages) for noun in ("proper", "common")
        },
        "relations": {
            group: _rates(table.filter(pc.equal(table["group"], group)))
            for group in sorted(pc.unique(table["group"]).to_pylist())
        },
    }
    if not table["contaminated"].null_count:
        result["contamination"] = {
            name: {
                "all": _over_languages(part, languages),
                **{group: _over_languages(part, codes) for group, codes in members.items()},
            }
            for name, part in (
                ("contaminated", table.filter(table["contaminated"])),
                ("clean", table.filter(pc.invert(table["contaminated"]))),
            )
        }
    return result
