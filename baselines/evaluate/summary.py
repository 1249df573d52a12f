"""The metrics of a result from the scores of every item: stored by an evaluation, verified by `compare --recompute`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from baselines import metrics
from baselines.evaluate.aligned import JUDGED_BY, of_choices, of_generations
from baselines.evaluate.choices import Choices
from baselines.evaluate.matching import matches_any
from baselines.evaluate.measures import values_of
from baselines.evaluate.results import GENERATED, MODES, Result
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.errors import DataError

TOLERANCE = 1e-9
RATES = ("lenient", "exact", "folded")
# KLAR's relations whose answers are not proper names: fields, instruments, jobs, faiths, and languages, which most
# of the 17 languages write as common nouns. PolyFact's are in relations.toml.
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


def choice_metrics(choices: Choices, normalisation: str, table: pa.Table | None = None) -> dict[str, Any]:
    """All measures of one normalisation; matrices are over pairs of languages, of the facts that all of them have."""
    scores = of_choices(choices, normalisation, table)
    by_language = dict(zip(choices.languages, metrics.accuracy(scores.correct).tolist()))
    complete = scores.complete_scores
    size = np.bincount(metrics.option_counts(complete))
    share = size / max(size.sum(), 1)
    counts = [n for n in range(len(size)) if size[n]]
    return {
        "accuracy": by_language,
        "groups": metrics.group_means(by_language, metrics.groups(choices.languages)),
        **values_of(scores),
        "consistency_histogram": metrics.consistency_histogram(scores.complete).tolist(),
        "agreement_matrix": metrics.pairwise_agreement(scores.chosen).tolist(),
        "rankc_floor": float(sum(share[n] * metrics.rankc_floor(n) for n in counts)),
        "rankc_chance": float(sum(share[n] * metrics.rankc_chance(n) for n in counts)),
        "rankc_matrix": metrics.rankc(complete).tolist(),
    }


def summarise_choices(
    table: pa.Table, languages: Sequence[str], normalisations: Sequence[str] = metrics.NORMALISATIONS
) -> dict[str, Any]:
    """Metrics by normalisation."""
    choices = Choices.of(table, languages)
    return {name: choice_metrics(choices, name, table) for name in normalisations}


# ---------------------------------------------------------------- generated answers


def _rates(table: pa.Table) -> dict[str, Any]:
    """Rates over the rows of a table, plain mean over rows."""
    count = len(table)
    shares = {mode: pc.sum(pc.equal(table["mode"], mode)).as_py() / count for mode in MODES}
    means = {name: pc.mean(table[name].cast(pa.float64())).as_py() for name in RATES}
    return {"items": count, **means, "modes": shares}


def _over_languages(table: pa.Table, languages: Sequence[str]) -> dict[str, Any] | None:
    """Plain mean over languages of their rates; None where a language has no row."""
    parts = [table.filter(pc.equal(table["language"], code)) for code in languages]
    if not parts or not all(len(part) for part in parts):
        return None
    rates = [_rates(part) for part in parts]
    return {
        "items": sum(rate["items"] for rate in rates),
        **{name: float(np.mean([rate[name] for rate in rates])) for name in RATES},
        "modes": {mode: float(np.mean([rate["modes"][mode] for rate in rates])) for mode in MODES},
    }


def summarise_generations(table: pa.Table, kind: str, languages: Sequence[str]) -> dict[str, Any]:
    """Measures over facts; rates and modes by language, group of languages, noun, relation and contamination."""
    members = metrics.language_groups(kind, languages)
    nouns = pa.array([noun_of(group) for group in table["group"].to_pylist()])
    scores = of_generations(table, languages, JUDGED_BY[kind])
    result: dict[str, Any] = {
        "measures": values_of(scores),
        "consistency_histogram": metrics.consistency_histogram(scores.complete >= 1).tolist(),
        "thinking_tokens": pc.sum(table["thinking_tokens"]).as_py(),
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


# ---------------------------------------------------------------- recomputing


def recomputed(result: Result, table: pa.Table) -> dict[str, Any]:
    """The metrics of a result from its scores alone."""
    languages = result.data.languages
    if result.kind in GENERATED:
        return summarise_generations(table, result.kind, languages)
    return summarise_choices(table, languages, tuple(result.metrics))


def check(path: Path, result: Result, table: pa.Table) -> int:
    """Compares all stored metrics with those of the scores, and judgements with predictions; returns their number.

    Raises `DataError` naming the first one that differs.
    """
    if result.kind in GENERATED:
        for row in table.select(["fact_id", "language", "prediction", "accepted", *RATES]).to_pylist():
            judged = matches_any(row["prediction"], row["accepted"])._asdict()
            if judged != {name: row[name] for name in judged}:
                raise DataError(
                    f"{path}: the stored judgement of {row['fact_id']} in {row['language']} differs from the rule"
                )
    values = list(_leaves(recomputed(result, table)))
    stored = dict(_leaves(result.metrics))
    for name, value in values:
        old = stored.pop(name, None)
        same = value == old or (
            isinstance(value, float) and isinstance(old, float | int) and abs(value - old) <= TOLERANCE
        )
        if not same:
            raise DataError(f"{path}: {name} is {old}, from the scores it is {value}")
    if stored:
        raise DataError(f"{path}: {next(iter(stored))} cannot be recomputed from the scores")
    return len(values)


def _leaves(value: Any, name: str = "metrics") -> Any:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{position}]")
    else:
        yield name, value
