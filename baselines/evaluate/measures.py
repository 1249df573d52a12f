"""Every measure of a result, each as one entry: name, function, and how it is shown.

A measure is `value(means over facts of terms)`. `terms` maps the scores to (N, K) numbers per fact, with NaN rows for
facts that do not count; `value` maps their means (..., K) to the measure. So the result file, the tables of `compare`,
its figure, and the bootstrap interval of every measure follow from the entry: to add a measure, write its terms
and value in `baselines.metrics`, and an entry here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from baselines import metrics
from baselines.evaluate.aligned import AlignedScores
from baselines.metrics import Floats

Unit = Literal["percent", "number"]
BINS = 15


def _first(means: Floats) -> Floats:
    return np.asarray(means[..., 0])


@dataclass(frozen=True)
class Measure:
    """`needs`: attributes of the scores without which there is no such measure; `languages`: how many it needs.

    `headline` measures are printed after an evaluation.
    """

    name: str
    title: str
    terms: Callable[[AlignedScores], Floats]
    value: Callable[[Floats], Floats] = _first
    unit: Unit = "percent"
    needs: tuple[str, ...] = ()
    languages: int = 2
    english: bool = False
    headline: bool = False

    def applies(self, scores: AlignedScores) -> bool:
        """Whether the scores hold what the measure needs."""
        if len(scores.languages) < self.languages or (self.english and "en" not in scores.languages):
            return False
        if "samples" in self.needs and (scores.samples is None or scores.samples.shape[2] < 2):
            return False
        return all(getattr(scores, name) is not None for name in self.needs)

    def rows(self, scores: AlignedScores) -> Floats:
        """(N', K): the terms of the facts that count."""
        terms = np.asarray(self.terms(scores), np.float64)
        terms = terms[:, None] if terms.ndim == 1 else terms
        return np.asarray(terms[~np.isnan(terms).any(axis=1)])

    def of(self, scores: AlignedScores) -> float:
        """The measure of the scores; NaN where it is not defined, as without any fact."""
        rows = self.rows(scores)
        return float(self.value(rows.mean(axis=0))) if len(rows) else math.nan

    def shown(self, value: float, sign: bool = False) -> str:
        """The value as text: percentages with two decimals, other numbers with four."""
        if math.isnan(value):
            return "–"
        plus = "+" if sign else ""
        return f"{100 * value:{plus}.2f}" if self.unit == "percent" else f"{value:{plus}.4f}"


# ---------------------------------------------------------------- terms


def _by_language(values: Floats) -> Floats:
    """(N, L) with NaN -> (N, 2 L): the values with 0 for NaN, and which are present."""
    present = ~np.isnan(values)
    return np.column_stack([np.where(present, values, 0.0), present.astype(np.float64)])


def language_means(means: Floats) -> Floats:
    """Means of `_by_language` terms (..., 2 L) -> (..., L): the mean of each language over the facts that it has."""
    half = means.shape[-1] // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(means[..., :half] / means[..., half:])


def accuracy_terms(scores: AlignedScores) -> Floats:
    """Correctness by language."""
    return _by_language(scores.correct)


def _mean_accuracy(means: Floats) -> Floats:
    return np.asarray(language_means(means).mean(axis=-1))


def _range(means: Floats) -> Floats:
    values = language_means(means)
    return np.asarray(values.max(axis=-1) - values.min(axis=-1))


def _english_first(scores: AlignedScores) -> Floats:
    order = [scores.languages.index("en"), *(i for i, code in enumerate(scores.languages) if code != "en")]
    return _by_language(scores.correct[:, order])


def _english_gap(means: Floats) -> Floats:
    values = language_means(means)
    return np.asarray(values[..., 0] - values[..., 1:].mean(axis=-1))


def _all_correct(scores: AlignedScores) -> Floats:
    return np.asarray((scores.complete >= 1).all(axis=1), np.float64)


def _agreement(scores: AlignedScores) -> Floats:
    one, other = metrics.pairs_of(len(scores.languages))
    return np.asarray((scores.chosen[:, one] == scores.chosen[:, other]).mean(axis=1), np.float64)


def _same_choice(scores: AlignedScores) -> Floats:
    return np.asarray((scores.chosen == scores.chosen[:, :1]).all(axis=1))


def _same_but_wrong(scores: AlignedScores) -> Floats:
    return np.asarray(_same_choice(scores).astype(bool) & (_all_correct(scores) == 0), np.float64)


def _disagreeing(scores: AlignedScores) -> Floats:
    return np.asarray(~_same_choice(scores).astype(bool) & (_all_correct(scores) == 0), np.float64)


def _rankc(scores: AlignedScores) -> Floats:
    return np.asarray(metrics.rankc_pairs(scores.complete_scores).mean(axis=1))


def _kappa_p(scores: AlignedScores) -> Floats:
    assert scores.gold is not None
    return metrics.kappa_p_terms(scores.distribution[scores.parallel], scores.gold[scores.parallel])


def source_languages(scores: AlignedScores) -> metrics.Ints:
    """(N',): the language a fact is known from: that of the only article about its subject, else English.

    ECLeKTic's facts have an article in one language only; -1 where there is neither such a language nor English.
    """
    english = scores.languages.index("en") if "en" in scores.languages else -1
    source = np.full(len(scores.facts), english, np.int64)
    for row, articles in enumerate(scores.attributes.get("subject_articles", ())):
        codes = [code for code in articles if code in scores.languages]
        if len(codes) == 1:
            source[row] = scores.languages.index(codes[0])
    return source[scores.parallel]


def _from_source(scores: AlignedScores) -> Floats:
    return metrics.transfer_terms(scores.complete, source_languages(scores))


def _from_english(scores: AlignedScores) -> Floats:
    english = np.full(len(scores.complete), scores.languages.index("en"), np.int64)
    return metrics.transfer_terms(scores.complete, english)


def _samples(scores: AlignedScores) -> Floats:
    assert scores.samples is not None
    return metrics.variance_terms(scores.samples[scores.parallel])


def _calibration(confidence: Floats, correct: Floats) -> Floats:
    """(N, BINS + 1): per bin of confidence the sum over languages of confidence - correctness; and the items."""
    present = ~np.isnan(correct) & ~np.isnan(confidence)
    bins = np.clip(np.ceil(np.where(present, confidence, 0) * BINS).astype(int) - 1, 0, BINS - 1)
    gap = np.where(present, confidence - np.nan_to_num(correct), 0.0)
    sums = np.zeros((len(correct), BINS))
    np.add.at(sums, (np.arange(len(correct))[:, None], bins), gap)
    return np.column_stack([sums, present.sum(axis=1)])


def _option_calibration(scores: AlignedScores) -> Floats:
    return _calibration(scores.distribution.max(axis=2), scores.correct)


def _answer_calibration(scores: AlignedScores) -> Floats:
    assert scores.confidence is not None and scores.samples is not None
    return _calibration(scores.confidence, scores.samples[:, :, 0])


def _calibration_error(means: Floats) -> Floats:
    """Expected calibration error over equal bins, open on the left (Guo et al., ICML 2017)."""
    return np.asarray(np.abs(means[..., :-1]).sum(axis=-1) / means[..., -1])


def _declined(scores: AlignedScores) -> Floats:
    assert scores.declined is not None
    return _by_language(scores.declined)


def _net(scores: AlignedScores) -> Floats:
    assert scores.declined is not None
    return _by_language(2 * scores.correct - 1 + scores.declined)


def _attempted(scores: AlignedScores) -> Floats:
    """(N, 2 L): correct, and not declined, by language."""
    assert scores.declined is not None
    attempted = np.where(np.isnan(scores.declined), 0.0, 1 - scores.declined)
    return np.column_stack([np.nan_to_num(scores.correct), attempted])


# ---------------------------------------------------------------- the entries

_CHOICES = ("scores", "gold")
MEASURES: tuple[Measure, ...] = (
    Measure("mean_accuracy", "accuracy", accuracy_terms, _mean_accuracy, languages=1, headline=True),
    Measure("gap_range", "accuracy, best - worst language", accuracy_terms, _range),
    Measure("gap_english", "accuracy, English - others", _english_first, _english_gap, english=True),
    Measure("total_consistency", "correct in all languages", _all_correct, headline=True),
    Measure("same_but_wrong", "same answer in all, wrong in some", _same_but_wrong, needs=_CHOICES),
    Measure("disagreeing", "answers differ", _disagreeing, needs=_CHOICES),
    Measure("agreement", "agreement of pairs", _agreement, needs=_CHOICES, headline=True),
    Measure("rankc", "RankC", _rankc, unit="number", needs=_CHOICES, headline=True),
    Measure("kappa_p", "kappa_p", _kappa_p, metrics.kappa_p_value, "number", _CHOICES),
    Measure(
        "fleiss_kappa",
        "Fleiss' kappa of correctness",
        lambda s: metrics.fleiss_terms(s.complete),
        metrics.fleiss_value,
        "number",
    ),
    Measure(
        "jaccard",
        "Jaccard of correct sets",
        lambda s: metrics.jaccard_terms(s.complete),
        metrics.jaccard_value,
        "number",
    ),
    Measure(
        "transfer_english",
        "correct given correct in English",
        _from_english,
        metrics.conditional_transfer_value,
        english=True,
    ),
    Measure(
        "transfer_overall", "overall transfer from the source language", _from_source, metrics.overall_transfer_value
    ),
    Measure(
        "transfer_conditional", "transfer given a correct source", _from_source, metrics.conditional_transfer_value
    ),
    Measure(
        "variance_share",
        "disagreement due to sampling variance",
        _samples,
        metrics.variance_share_value,
        needs=("samples",),
    ),
    Measure("declined", "declined", _declined, _mean_accuracy, needs=("declined",), languages=1),
    Measure("net_score", "net score (right - wrong)", _net, _mean_accuracy, needs=("declined",), languages=1),
    Measure(
        "accuracy_attempted",
        "accuracy of attempted answers",
        _attempted,
        _mean_accuracy,
        needs=("declined",),
        languages=1,
    ),
    Measure(
        "ece", "calibration error", _option_calibration, _calibration_error, needs=_CHOICES, languages=1, headline=True
    ),
    Measure(
        "answer_ece",
        "calibration error of answers",
        _answer_calibration,
        _calibration_error,
        needs=("confidence",),
        languages=1,
    ),
)


def measures_of(scores: AlignedScores) -> list[Measure]:
    """The measures that apply to a result, in order."""
    return [measure for measure in MEASURES if measure.applies(scores)]


def common_measures(runs: Iterable[AlignedScores]) -> list[Measure]:
    """The measures that apply to any of several results, in order."""
    several = list(runs)
    return [measure for measure in MEASURES if any(measure.applies(scores) for scores in several)]


def values_of(scores: AlignedScores) -> dict[str, float | None]:
    """Name -> value of every measure that applies; None where it is not defined."""
    values = {measure.name: measure.of(scores) for measure in measures_of(scores)}
    return {name: None if math.isnan(value) else value for name, value in values.items()}
