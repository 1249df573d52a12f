"""The measures of accuracy, consistency and calibration, as pure functions on arrays.

Shapes: N facts, L languages, n options. Options are in one common order for all languages (aligned by entity),
which also decides ties: the lower option wins. Shares are fractions in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyfact_dataset.catalog.language import group_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# KLAR's languages that the paper trained on (its Table 10).
KLAR_TRAINED = ("en", "es", "fr", "ru", "zh", "ja", "ar")
NORMALISATIONS = ("byte", "sum", "token", "char")


def normalised(logprobs: ArrayLike, lengths: ArrayLike | None) -> Floats:
    """Summed log-probabilities over lengths in tokens, characters or bytes; as they are for None (`sum`)."""
    scores = np.asarray(logprobs, np.float64)
    return scores if lengths is None else scores / np.asarray(lengths, np.float64)


def ranking(scores: ArrayLike) -> Ints:
    """Options from best to worst along the last axis; among equals the lower option comes first."""
    return np.argsort(-np.asarray(scores, np.float64), axis=-1, kind="stable")


def choices(scores: ArrayLike) -> Ints:
    """The best option along the last axis; among equals the lowest."""
    return np.asarray(np.argmax(np.asarray(scores, np.float64), axis=-1), np.int64)


def accuracy(correct: ArrayLike) -> Floats:
    """Share of correct facts per language: (N, L) -> (L,). NaN marks a fact that a language lacks."""
    values = np.asarray(correct, np.float64)
    counts = (~np.isnan(values)).sum(axis=0)
    return np.asarray(np.where(counts > 0, np.nansum(values, axis=0) / np.maximum(counts, 1), np.nan), np.float64)


def total_consistency(correct: ArrayLike) -> float:
    """Share of facts that are correct in all languages."""
    return float(np.asarray(correct, bool).all(axis=1).mean())


def consistency_histogram(correct: ArrayLike) -> Ints:
    """(N, L) -> (L + 1,): how many facts are correct in exactly 0, 1, ..., L languages."""
    values = np.asarray(correct, bool)
    return np.bincount(values.sum(axis=1), minlength=values.shape[1] + 1)


def pairwise_agreement(chosen: ArrayLike) -> Floats:
    """(N, L) chosen options -> (L, L): share of facts for which two languages choose the same entity."""
    options = np.asarray(chosen)
    return np.asarray((options[:, :, None] == options[:, None, :]).mean(axis=0), np.float64)


def rankc_weights(n: int) -> Floats:
    """w_j = exp(n - j) / sum_k exp(n - k), j from 1 (Qi et al., EMNLP 2023); computed as exp(1 - j), for any n."""
    powers = np.exp(1 - np.arange(1, n + 1, dtype=np.float64))
    return np.asarray(powers / powers.sum(), np.float64)


def rankc_floor(n: int) -> float:
    """The lowest RankC that two rankings of n options can have: their first j overlap in at least 2j - n."""
    depth = np.arange(1, n + 1)
    return float((rankc_weights(n) * np.maximum(2 * depth - n, 0) / depth).sum())


def rankc_chance(n: int) -> float:
    """The expected RankC of two random rankings: their first j overlap in j * j / n."""
    return float((rankc_weights(n) * np.arange(1, n + 1) / n).sum())


def _positions(scores: ArrayLike) -> Ints:
    """(..., n) scores -> the position of each option in the ranking, from 0."""
    return np.argsort(ranking(scores), axis=-1)


def _overlap(first: Ints, second: Ints) -> Floats:
    """(N, n) positions in two rankings -> (N,): sum_j w_j * |top_j & top_j'| / j."""
    # An option is among the top j of both rankings when both positions are below j.
    later = np.maximum(first, second)
    count, n = later.shape
    flat = later + n * np.arange(count)[:, None]
    overlap = np.bincount(flat.ravel(), minlength=count * n).reshape(count, n).cumsum(axis=1)
    return np.asarray((overlap * (rankc_weights(n) / np.arange(1, n + 1))).sum(axis=1), np.float64)


def rankc_items(first: ArrayLike, second: ArrayLike) -> Floats:
    """(N, n) scores in two languages -> (N,): sum_j w_j * |top_j(l) & top_j(l')| / j of each item."""
    return _overlap(_positions(first), _positions(second))


def rankc_pairs(scores: ArrayLike) -> Floats:
    """(N, L, n) scores -> (N, L * (L - 1) / 2): RankC of each item for each pair of languages, (0, 1), (0, 2), ...

    Items may have fewer than n options: the rest are NaN, in all languages alike.
    """
    values = np.asarray(scores, np.float64)
    rows, columns = np.triu_indices(values.shape[1], k=1)
    result = np.empty((len(values), len(rows)))
    sizes = option_counts(values)
    for size in np.unique(sizes):
        group = sizes == size
        positions = _positions(values[group, :, :size])
        for pair, (one, other) in enumerate(zip(rows, columns)):
            result[group, pair] = _overlap(positions[:, one], positions[:, other])
    return result


def option_counts(scores: ArrayLike) -> Ints:
    """(N, L, n) scores, NaN where an item has no such option -> (N,) options of each item."""
    present = ~np.isnan(np.asarray(scores, np.float64))
    return np.asarray(present.any(axis=1).sum(axis=1), np.int64)


def rankc(scores: ArrayLike) -> Floats:
    """(N, L, n) scores -> (L, L): plain mean over items of RankC for each pair of languages; the diagonal is 1."""
    values = np.asarray(scores, np.float64)
    rows, columns = np.triu_indices(values.shape[1], k=1)
    matrix = np.eye(values.shape[1])
    matrix[rows, columns] = matrix[columns, rows] = rankc_pairs(values).mean(axis=0)
    return matrix


def off_diagonal_mean(matrix: ArrayLike) -> float:
    """Mean over all pairs of different languages; NaN with fewer than two."""
    values = np.asarray(matrix, np.float64)
    pairs = values[np.triu_indices(len(values), k=1)]
    return float(pairs.mean()) if len(pairs) else float("nan")


def gen_score(model: ArrayLike, base: ArrayLike) -> float:
    """Mean over languages of (Acc(model) - Acc(base)) / (1 - Acc(base)): the share of the remaining room filled.

    Source: the RL study (ICLR 2026, hdrG6SaTcA). Accuracies are fractions; NaN where the base has accuracy 1.
    """
    new, old = np.asarray(model, np.float64), np.asarray(base, np.float64)
    if (old >= 1).any():
        return float("nan")
    return float(((new - old) / (1 - old)).mean())


def groups(languages: Sequence[str]) -> dict[str, list[str]]:
    """`high` and `low` (paper, section 5.1) and `neither`, each where it is not empty.

    A language file names its group. The paper groups its twelve languages only: any other one is in neither group.
    """
    split = {name: [code for code in languages if group_of(code) == name] for name in ("high", "low", "neither")}
    return {name: codes for name, codes in split.items() if codes}


def language_groups(kind: str, languages: Sequence[str]) -> dict[str, list[str]]:
    """The paper's groups: `trained` and `held_out` for KLAR, those of `groups` elsewhere; each if not empty."""
    if not kind.startswith("klar"):
        return groups(languages)
    split = {
        "trained": [code for code in languages if code in KLAR_TRAINED],
        "held_out": [code for code in languages if code not in KLAR_TRAINED],
    }
    return {name: codes for name, codes in split.items() if codes}


def group_means(values: Mapping[str, float], members: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Plain mean over the languages of each group."""
    return {name: float(np.mean([values[code] for code in codes])) for name, codes in members.items()}


def option_distribution(scores: ArrayLike) -> Floats:
    """Softmax over the options (last axis); an option that is NaN has probability 0, an item without any is NaN."""
    values = np.asarray(scores, np.float64)
    filled = np.where(np.isnan(values), -np.inf, values)
    highest = filled.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        powers = np.exp(filled - highest)
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float64)


def calibration(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> tuple[float, Floats, Floats, Ints]:
    """Expected calibration error over `bins` equal intervals of confidence, open on the left (Guo et al., 2017).

    Returns the error and, per bin, mean confidence, accuracy (NaN where empty) and size.
    """
    sure, right = np.asarray(confidence, np.float64).ravel(), np.asarray(correct, np.float64).ravel()
    bin_index = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    size = np.bincount(bin_index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_sure = np.bincount(bin_index, weights=sure, minlength=bins) / size
        mean_right = np.bincount(bin_index, weights=right, minlength=bins) / size
    error = float(np.nansum(np.abs(mean_sure - mean_right) * size) / max(len(sure), 1))
    return error, mean_sure, mean_right, size


# ---------------------------------------------------------------- measures as functions of means over facts
#
# Each of these is `value(mean over facts of terms)`: `..._terms` gives (N, K) numbers per fact, `..._value` maps their
# means (..., K) to the measure. So one matrix of resampled weights gives the bootstrap of all measures at once.


def pairs_of(languages: int) -> tuple[Ints, Ints]:
    """The pairs of different languages, (0, 1), (0, 2), ..., as two arrays of L * (L - 1) / 2 columns."""
    rows, columns = np.triu_indices(languages, k=1)
    return rows, columns


def kappa_p_terms(distribution: Floats, gold: Ints) -> Floats:
    """(N, L, n) option probabilities and (N, L) golds -> terms of kappa_p: per pair, per language, and 1 / (n - 1)."""
    rows, columns = pairs_of(distribution.shape[1])
    together = np.einsum("npo,npo->np", distribution[:, rows], distribution[:, columns])
    on_gold = np.take_along_axis(distribution, gold[:, :, None], axis=2)[:, :, 0]
    others = (distribution > 0).any(axis=1).sum(axis=1) - 1.0
    return np.column_stack([together, on_gold, 1 / np.maximum(others, 1)])


def kappa_p_value(means: Floats) -> Floats:
    """Mean over pairs of languages of kappa_p, the agreement beyond what equal accuracies explain (arXiv 2502.04313).

    c_obs = mean_x sum_o p_l(o) p_m(o); with a the mean probability of the gold,
    c_exp = a_l a_m + (1 - a_l)(1 - a_m) / (n - 1); kappa_p = (c_obs - c_exp) / (1 - c_exp). Across languages as in
    arXiv 2509.04032. Deviation: where n differs between facts, the mean of 1 / (n - 1) takes its place.
    """
    languages = _languages_of(means.shape[-1] - 1, per_language=1)
    rows, columns = pairs_of(languages)
    observed = means[..., : len(rows)]
    accuracy_ = means[..., len(rows) : len(rows) + languages]
    one, other = accuracy_[..., rows], accuracy_[..., columns]
    expected = one * other + (1 - one) * (1 - other) * means[..., -1:]
    return _nanmean((observed - expected) / (1 - expected))


def jaccard_terms(correct: Floats) -> Floats:
    """(N, L) correctness -> per pair of languages, both correct; and per language, correct."""
    rows, columns = pairs_of(correct.shape[1])
    return np.column_stack([correct[:, rows] * correct[:, columns], correct])


def jaccard_value(means: Floats) -> Floats:
    """Mean over pairs of languages of |A & B| / |A | B|, A and B the facts correct in each; NaN where both are empty.

    Source: Jaccard (1901), as used for overlap of correct sets by Qi et al. (EMNLP 2023, section 2).
    """
    languages = _languages_of(means.shape[-1], per_language=1)
    rows, columns = pairs_of(languages)
    both, single = means[..., : len(rows)], means[..., len(rows) :]
    either = single[..., rows] + single[..., columns] - both
    return _nanmean(_divide(both, either))


def transfer_terms(correct: Floats, source: Ints) -> Floats:
    """(N, L) correctness and (N,) source languages -> target pairs, pairs with both correct, pairs of a correct source.

    The pair of a source with itself is left out. A fact whose source is -1 has none and counts nowhere.
    """
    known = source >= 0
    at_source = np.take_along_axis(correct, np.maximum(source, 0)[:, None], axis=1)[:, 0] * known
    targets = correct.sum(axis=1) - at_source
    pairs = known * (correct.shape[1] - 1.0)
    return np.column_stack([pairs, at_source * targets, at_source * pairs])


def overall_transfer_value(means: Floats) -> Floats:
    """ECLeKTic's overall transfer (arXiv 2502.21228): pairs with source and target correct / all pairs."""
    return _divide(means[..., 1], means[..., 0])


def conditional_transfer_value(means: Floats) -> Floats:
    """P(correct in m | correct in the source), over all targets m: transfer of ECLeKTic (arXiv 2502.21228)."""
    return _divide(means[..., 1], means[..., 2])


def fleiss_terms(correct: Floats) -> Floats:
    """(N, L) correctness -> agreement P_i of the languages as raters of a fact, and the share of correct ones."""
    languages = correct.shape[1]
    right = correct.sum(axis=1)
    wrong = languages - right
    agreement = (right * (right - 1) + wrong * (wrong - 1)) / (languages * (languages - 1))
    return np.column_stack([agreement, right / languages])


def fleiss_value(means: Floats) -> Floats:
    """Fleiss' kappa (1971) with languages as raters of correctness (arXiv 2502.17407); NaN where all are equal.

    kappa = (P - P_e) / (1 - P_e), P the mean of P_i, P_e = p^2 + (1 - p)^2.
    """
    expected = means[..., 1] ** 2 + (1 - means[..., 1]) ** 2
    return _divide(means[..., 0] - expected, 1 - expected)


def variance_terms(samples: Floats) -> Floats:
    """(N, L, S) correctness of S samples -> per language, unbiased variance; per pair, unbiased squared difference."""
    count = samples.shape[2]
    mean = samples.mean(axis=2)
    variance = mean * (1 - mean) * count / (count - 1)
    rows, columns = pairs_of(samples.shape[1])
    squared = (mean[:, rows] - mean[:, columns]) ** 2 - (variance[:, rows] + variance[:, columns]) / count
    return np.column_stack([squared, variance])


def variance_share_value(means: Floats) -> Floats:
    """Share of the disagreement between languages that is variance of the samples, mean over pairs (arXiv 2510.15551).

    For single samples c_l, c_m: E[(c_l - c_m)^2] = (p_l - p_m)^2 + v_l + v_m, a squared bias and two variances; the
    share is (v_l + v_m) / E[...]. 1: languages differ by chance alone; 0: each sample of a language is the same.
    Deviation: the paper fits a model of the responses; here the split is of the correctness, estimated without bias.
    """
    bias, variance = _split_pairs(means)
    return _nanmean(_divide(variance, bias + variance))


def _split_pairs(means: Floats) -> tuple[Floats, Floats]:
    languages = _languages_of(means.shape[-1], per_language=1)
    rows, columns = pairs_of(languages)
    single = means[..., len(rows) :]
    return means[..., : len(rows)], single[..., rows] + single[..., columns]


def _languages_of(terms: int, per_language: int) -> int:
    """L, where there are L * (L - 1) / 2 terms per pair and `per_language` * L per language."""
    half = per_language - 0.5
    return int(round(-half + math.sqrt(half * half + 2 * terms)))


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient, NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(denominator != 0, numerator / denominator, np.nan), np.float64)


def _nanmean(values: Floats) -> Floats:
    """Mean over the last axis of what is no NaN; NaN where there is nothing."""
    present = ~np.isnan(values)
    return _divide(np.where(present, values, 0).sum(axis=-1), present.sum(axis=-1).astype(np.float64))
