"""Rows of a release's leaderboard from result files of `baselines.evaluate.mcq`: values with 95 % intervals over facts.

Every value is computed from the stored scores, per byte of the option, on the facts that all languages have.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from baselines import metrics
from baselines.evaluate import results
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import digest

Floats = NDArray[np.float64]
RESAMPLES = 1000
EVERY = "all"
# Terms (N, K) of a measure, whose means over facts give its value.
Measure = tuple[str, Floats, Callable[[Floats], Floats]]


def _first(means: Floats) -> Floats:
    return np.asarray(means[..., 0])


def _mean(means: Floats) -> Floats:
    return np.asarray(means.mean(axis=-1))


def _range(means: Floats) -> Floats:
    return np.asarray(means.max(axis=-1) - means.min(axis=-1))


def _ratio(means: Floats) -> Floats:
    """P(correct in another language | correct in English): columns `both` and `English`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(means[..., 0] / means[..., 1])


def aligned(table: pa.Table, languages: tuple[str, ...]) -> tuple[Floats, NDArray[np.int64]]:
    """Scores per byte (N, L, n) with options in the order of their ids, and the gold option (N,).

    Facts are those with an item in every language. Raises `DataError` when no fact is, or options differ in number.
    """
    best: dict[tuple[str, str], dict[str, float]] = {}
    gold: dict[str, str] = {}
    columns = (table[name].to_pylist() for name in ("fact_id", "language", "option_id", "gold", "logprob", "bytes"))
    for fact, code, option, is_gold, logprob, size in zip(*columns, strict=True):
        score = logprob / max(size, 1)
        options = best.setdefault((fact, code), {})
        options[option] = max(score, options.get(option, -np.inf))
        if is_gold:
            gold[fact] = option
    facts = sorted(fact for fact in gold if all((fact, code) in best for code in languages))
    order = {fact: sorted(best[fact, languages[0]]) for fact in facts}
    same = all(sorted(best[fact, code]) == order[fact] for fact in facts for code in languages)
    if not facts or not same or len({len(options) for options in order.values()}) != 1:
        raise DataError("no fact has the same options in every language; evaluate config clean or parallel")
    scores = [[[best[fact, code][option] for option in order[fact]] for code in languages] for fact in facts]
    return np.array(scores), np.array([order[fact].index(gold[fact]) for fact in facts])


def _kappa_terms(scores: Floats, gold: NDArray[np.int64]) -> Floats:
    """(N, P + L): observed agreement of each pair of languages, then the probability of the gold in each language."""
    shifted = np.exp(scores - scores.max(axis=2, keepdims=True))
    probability = shifted / shifted.sum(axis=2, keepdims=True)
    rows, columns = np.triu_indices(scores.shape[1], k=1)
    observed = (probability[:, rows] * probability[:, columns]).sum(axis=2)
    return np.column_stack([observed, np.take_along_axis(probability, gold[:, None, None], axis=2)[:, :, 0]])


def _kappa(languages: int, options: int) -> Callable[[Floats], Floats]:
    """kappa_p, the mean over pairs of (c_obs - c_exp) / (1 - c_exp) (arXiv 2502.04313; across languages 2509.04032).

    c_exp = a_l a_m + (1 - a_l)(1 - a_m) / (n - 1), with a the mean probability of the gold.
    """
    rows, columns = np.triu_indices(languages, k=1)

    def value(means: Floats) -> Floats:
        observed, accuracy = means[..., : len(rows)], means[..., len(rows) :]
        one, two = accuracy[..., rows], accuracy[..., columns]
        expected = one * two + (1 - one) * (1 - two) / (options - 1)
        return np.asarray(((observed - expected) / (1 - expected)).mean(axis=-1))

    return value


def measures(scores: Floats, gold: NDArray[np.int64], languages: tuple[str, ...]) -> list[Measure]:
    """The measures over all languages, in the order of the leaderboard."""
    correct = (metrics.choices(scores) == gold[:, None]).astype(np.float64)
    listed: list[Measure] = [("accuracy", correct, _mean)]
    if len(languages) > 1:
        listed += [
            ("total_consistency", correct.min(axis=1)[:, None], _first),
            ("kappa_p", _kappa_terms(scores, gold), _kappa(len(languages), scores.shape[2])),
            ("gap_range", correct, _range),
        ]
    if "en" in languages and len(languages) > 1:
        place = languages.index("en")
        others = np.delete(correct, place, axis=1)
        both = (correct[:, [place]] * others).mean(axis=1)
        listed.append(("transfer_from_english", np.column_stack([both, correct[:, place]]), _ratio))
        gap = np.column_stack([correct[:, place] - others.mean(axis=1)])
        listed.append(("gap_to_english", gap, _first))
    return listed


def command(result: results.Result) -> str:
    """The command that makes the result again, from what it stores."""
    words = ["python", "-m", f"baselines.evaluate.{result.kind}", "--model", str(result.model["name"])]
    words += ["--dataset", result.data.source, "--config", result.data.config, "--split", result.data.split]
    words += ["--prompt", result.prompt.style, "--seed", str(result.seed)]
    if result.data.revision:
        words += ["--revision", result.data.revision]
    return shlex.join(words)


def rows_of(path: Path, label: str | None = None) -> list[dict[str, Any]]:
    """The leaderboard's rows of a result file (`schema.LEADERBOARD`), after checking that its scores are its own.

    Raises `DataError` for a result of another kind or without its scores.
    """
    result = results.load_result(path)
    if result.kind != "mcq":
        raise DataError(f"{path} is a result of `{result.kind}`; the leaderboard takes those of `mcq`")
    languages = tuple(result.data.languages)
    scores, gold = aligned(results.load_scores(path, result), languages)
    correct = (metrics.choices(scores) == gold[:, None]).astype(np.float64)
    shared: Mapping[str, Any] = {
        "model": label or result.label,
        "facts": len(scores),
        "config": result.data.config,
        "split": result.data.split,
        "content": result.data.content,
        "command": command(result),
        "digest": digest(path),
    }
    single: list[tuple[str, str, Floats, Callable[[Floats], Floats]]] = [
        ("accuracy", code, correct[:, [place]], _first) for place, code in enumerate(languages)
    ]
    every = [(name, EVERY, terms, value) for name, terms, value in measures(scores, gold, languages)]
    rows = []
    for name, code, terms, value in (*every, *single):
        low, high = metrics.interval(value(metrics.bootstrap(terms, RESAMPLES)))
        measured = {"value": float(value(terms.mean(axis=0))), "low": low, "high": high}
        rows.append({**shared, "measure": name, "language": code, **measured})
    return rows
