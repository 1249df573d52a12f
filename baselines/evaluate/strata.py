"""Strata of a result: its items split by an attribute, and the tables that compare them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baselines.evaluate.aligned import AlignedScores
from baselines.evaluate.choices import Bools
from baselines.evaluate.common import percent
from baselines.evaluate.tables import TITLES, Runs, Uncertainty, markdown
from polyfact_dataset.common.errors import ConfigError

Split = Callable[[AlignedScores], dict[str, Bools]]


@dataclass(frozen=True)
class Stratification:
    """A way to split items: `needs` is the attribute that a result must have, `split` gives name -> (N,) or (N, L)."""

    name: str
    title: str
    needs: str
    split: Split


def _script(scores: AlignedScores) -> dict[str, Bools]:
    match = scores.attributes["script_match"]
    return {"subject in the language's script": match == 1, "subject in another script": match == 0}


def _thirds(scores: AlignedScores) -> dict[str, Bools]:
    """Thirds of the facts by the subject's sitelinks; facts of equal popularity are in one third."""
    values = scores.attributes["popularity"].astype(np.float64)
    low, high = np.quantile(values, [1 / 3, 2 / 3])
    return {
        f"least popular third (up to {low:.0f} sitelinks)": values <= low,
        "middle third": (values > low) & (values <= high),
        f"most popular third (above {high:.0f})": values > high,
    }


def _domains(scores: AlignedScores) -> dict[str, Bools]:
    values = scores.attributes["domain"]
    return {str(domain): np.asarray(values == domain) for domain in sorted(set(values))}


def article_grid(scores: AlignedScores) -> Bools:
    """(N, L): whether the subject has an article in the Wikipedia of each language."""
    rows = [[code in articles for code in scores.languages] for articles in scores.attributes["subject_articles"]]
    return np.array(rows, bool).reshape(len(scores.facts), len(scores.languages))


def _articles(scores: AlignedScores) -> dict[str, Bools]:
    grid = article_grid(scores)
    return {"article in the question's language": grid, "no article in the question's language": ~grid}


STRATIFICATIONS = (
    Stratification("script", "script of the subject", "script_match", _script),
    Stratification("popularity", "popularity of the subject", "popularity", _thirds),
    Stratification("article", "article about the subject", "subject_articles", _articles),
    Stratification("domain", "domain", "domain", _domains),
)


def strata_of(scores: AlignedScores, name: str) -> dict[str, AlignedScores]:
    """Name -> the scores of each stratum that has items, in the languages that have them.

    Raises `ConfigError` for an unknown split, and for one by an attribute that the result lacks.
    """
    known = {one.name: one for one in STRATIFICATIONS}
    if name not in known:
        raise ConfigError(f"--by {name!r} is unknown; known are {', '.join(known)}")
    if known[name].needs not in scores.attributes:
        raise ConfigError(f"{scores.path}: its items have no {known[name].needs}, by which --by {name} splits them")
    parts = {stratum: scores.restrict(kept) for stratum, kept in known[name].split(scores).items()}
    return {stratum: part for stratum, part in parts.items() if part.facts}


def accuracy(name: str, runs: Runs, unsure: Uncertainty) -> str | None:
    """Accuracy and total consistency of each model in each stratum, with intervals over facts."""
    rows = []
    for one in STRATIFICATIONS:
        for label, scores in runs.items():
            if one.needs not in scores.attributes:
                continue
            for stratum, part in strata_of(scores, one.name).items():
                low, high = unsure.interval(part, part.languages)
                items = int((~np.isnan(part.correct)).sum())
                mean = f"{percent(part.accuracy(part.languages))} [{percent(low)}, {percent(high)}]"
                all_right = percent(float((part.complete >= 1).all(axis=1).mean())) if len(part.complete) else "–"
                rows.append([label, one.title, stratum, f"{items:,}", mean, all_right])
    if not rows:
        return None
    header = ["Model", "split by", "stratum", "items", "accuracy [95 % interval]", "correct in all"]
    return markdown(f"{TITLES[name]}: strata, in %", header, rows)


def articles(name: str, runs: Runs) -> str | None:
    """Question language by entity language: accuracy over the facts whose subject has an article in the latter."""
    rows = []
    for label, scores in runs.items():
        if "subject_articles" not in scores.attributes:
            continue
        grid = article_grid(scores)
        for column, code in enumerate(scores.languages):
            values = [_mean(scores.correct[grid[:, other], column]) for other in range(len(scores.languages))]
            rows.append([label, code, *map(percent, values)])
    if not rows:
        return None
    header = ["Model", "question in", *(f"article in {code}" for code in next(iter(runs.values())).languages)]
    return markdown(f"{TITLES[name]}: accuracy by question language and entity language, in %", header, rows)


def _mean(values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")


def tokenisation(name: str, runs: Runs) -> str | None:
    """Mean bytes and tokens of a prompt by language, and tokens relative to English: the cost of the tokenizer.

    Source: tokenisation premium, Petrov et al., NeurIPS 2023 (ratio of token counts of parallel texts).
    """
    rows = []
    for label, scores in runs.items():
        if not {"prompt_bytes", "prompt_tokens"} <= scores.attributes.keys():
            continue
        size, tokens = (np.nanmean(scores.attributes[key], axis=0) for key in ("prompt_bytes", "prompt_tokens"))
        english = tokens[scores.languages.index("en")] if "en" in scores.languages else np.nan
        rows.append([label, "bytes", *(f"{value:.1f}" for value in size)])
        rows.append([label, "tokens", *(f"{value:.1f}" for value in tokens)])
        rows.append([label, "tokens / English", *(f"{value:.2f}" for value in tokens / english)])
    if not rows:
        return None
    header = ["Model", "per prompt", *next(iter(runs.values())).languages]
    return markdown(f"{TITLES[name]}: tokenisation by language", header, rows)
