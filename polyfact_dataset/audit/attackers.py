"""Attackers that read the question and know no fact: each scores the four options of an item.

They are trained on items whose facts are apart from those that are scored. `wording`: which answers go with the
question without its subject. `name_origin`: which answers go with the letters of the subject's name (Naive Bayes over
character n-grams, within the relation). `likeness_*`: subject and option share letters. `medium`: words of the question
are in the option. `popularity`: subject and option are about equally well known. `all_text`: gradient boosting over all
of these and the lengths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyfact_dataset.audit.release import Bools, Coded, Floats, Ints, Items, Release
from polyfact_dataset.catalog.language import unspaced
from polyfact_dataset.common.text.ngrams import hashed_ngrams
from polyfact_dataset.common.text.normalise import normalise

ATTACKERS = {
    "wording": "the answer that goes with the question without its subject, as learnt from train",
    "name_origin": "the answer that goes with the letters of the subject's name: naive Bayes over n-grams, from train",
    "likeness_substring": "the option with the longest string in common with the subject",
    "likeness_ngrams": "the option that shares most character n-grams with the subject",
    "likeness_edit": "the option nearest to the subject in edit distance",
    "medium": "the option that shares most words with the question without its subject",
    "popularity": "the option whose number of sitelinks is nearest to the subject's",
    "all_text": "gradient boosting over the scores of the other rules, lengths and scripts, trained on train",
}
LIKENESS = ("likeness_substring", "likeness_ngrams", "likeness_edit")
_FEATURES = 1 << 18
# Pseudo-counts that draw an answer's letters towards those of its relation.
_PRIOR = 30.0
# Parts into which train is cut, so that the boosted model learns from scores that did not see the item itself.
_PARTS = 5


@dataclass(frozen=True)
class Texts:
    """The items of one language as attackers see them. Rows are items; all arrays have one entry per item."""

    items: Items
    relations: Ints
    groups: Ints
    subjects: Coded
    # Number of sitelinks of the subject (items,) and of the options (items, 4); None where they are not known.
    fame: Floats | None
    fames: Floats | None

    def __len__(self) -> int:
        return len(self.items)


def texts_of(items: Items, release: Release) -> Texts:
    """What the attackers need of a language's items."""
    relation_of = {name: code for code, name in enumerate(dict.fromkeys(release.column("property_id")))}
    relations = np.array([relation_of[name] for name in release.array("property_id")[items.rows]], dtype=np.int64)
    groups = _groups(items, release)
    subjects = items.subjects or items.questions
    fame = fames = None
    if release.sitelinks is not None and items.entities is not None:
        links = release.sitelinks
        named = np.array([links.get(name, 0) for name in items.entities.values], dtype=np.float64)
        fames = named[items.entities.codes]
        fame = np.array([links.get(name, 0) for name in release.array("subject_id")[items.rows]], dtype=np.float64)
    return Texts(items, relations, groups, subjects, fame, fames)


_SMALL_STRATUM = 64


def _groups(items: Items, release: Release) -> Ints:
    """Items that must be learnt from or scored together, since one of them would tell of the others, (items,).

    Facts of a small stratum have each other's golds as options, and so have facts with the same four options, which
    are found without the tables of the build. Elsewhere these are the facts of a subject.
    """
    strata = np.array(release.strata.to_pylist(), dtype=object)[items.rows].tolist()
    sizes = Counter[Hashable]([*strata, *items.option_sets])
    keys: list[Hashable] = [
        stratum if sizes[stratum] <= _SMALL_STRATUM else options if sizes[options] > 1 else subject
        for stratum, options, subject in zip(
            strata, items.option_sets, release.array("subject_id")[items.rows].tolist()
        )
    ]
    group_of = {key: code for code, key in enumerate(dict.fromkeys(keys))}
    return np.array([group_of[key] for key in keys], dtype=np.int64)


class _Origins:
    """Log-odds of an answer against its relation, given the n-grams of a subject's name: s(subject, answer)."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        names = [normalise(name) or " " for name in texts.subjects.values]
        sizes = (1, 2) if unspaced(texts.items.code) else (2, 4)
        self._grams = hashed_ngrams(names, sizes, _FEATURES, dtype=np.float64)[texts.subjects.codes]
        choices = texts.items.choices
        # An answer counts within its relation.
        keys = choices.codes + texts.relations[:, None] * len(choices.values)
        self._distinct, inverse = np.unique(keys, return_inverse=True)
        self._answers = inverse.reshape(choices.codes.shape)
        self._golds = self._answers[np.arange(len(texts)), texts.items.gold]
        self._relation_of = (self._distinct // len(choices.values)).astype(np.int64)

    def scores(self, train: Bools, scored: Ints) -> Floats:
        """(scored, 4) from the items of `train`."""
        from scipy.sparse import csr_array

        rows = np.flatnonzero(train)
        count = len(self._distinct)

        def summed(members: Ints, size: int) -> Any:
            ones = np.ones(len(rows))
            return csr_array((ones, (members, np.arange(len(rows)))), shape=(size, len(rows))) @ self._grams[rows]

        by_answer = csr_array(summed(self._golds[rows], count))
        # SciPy multiplies sorted rows several times faster.
        by_answer.sort_indices()
        relations = int(self._relation_of.max()) + 1
        # Few rows, from which many values are read: dense is far faster.
        background = summed(self._texts.relations[rows], relations).toarray()
        totals = background.sum(axis=1)
        weights = by_answer.copy()
        owner = np.repeat(np.arange(count), np.diff(by_answer.indptr))
        shares = background[self._relation_of[owner], by_answer.indices]
        expected = shares / np.maximum(totals[self._relation_of[owner]], 1.0)
        weights.data = np.log1p(by_answer.data / (expected * _PRIOR * _GRAMS))
        length = np.asarray(by_answer.sum(axis=1)).ravel()
        result = np.zeros((len(scored), 4))
        rows_of_grams = self._grams[scored]
        sizes = np.asarray(rows_of_grams.sum(axis=1)).ravel()
        for slot in range(4):
            answers = self._answers[scored, slot]
            together = np.asarray(rows_of_grams.multiply(weights[answers]).sum(axis=1)).ravel()
            result[:, slot] = together - sizes * np.log1p(length[answers] / (_PRIOR * _GRAMS))
        relative: Floats = np.round(result / np.maximum(sizes, 1.0)[:, None], 9)
        return relative


# N-grams of a usual name: the prior counts names, the sums n-grams.
_GRAMS = 30.0


def wording_scores(texts: Texts, train: Bools, scored: Ints) -> Floats:
    """How much more often an option is the gold of its wording than of its relation, in train; (scored, 4)."""
    items, choices = texts.items, texts.items.choices
    wordings = items.wordings.codes
    golds = choices.codes[np.arange(len(items)), items.gold]
    size = len(choices.values)
    relation_counts = np.bincount(texts.relations[train], minlength=int(texts.relations.max()) + 1)
    wording_counts = np.bincount(wordings[train], minlength=len(items.wordings.values))

    def counted(groups: Ints) -> Floats:
        keys, times = np.unique(groups[train] * size + golds[train], return_counts=True)
        wanted = groups[scored, None] * size + choices.codes[scored]
        positions = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        if not len(keys):
            return np.zeros(wanted.shape)
        counts: Floats = np.where(keys[positions] == wanted, times[positions], 0).astype(np.float64)
        return counts

    base = (counted(texts.relations) + 0.1) / (relation_counts[texts.relations[scored], None] + 1.0)
    share = (counted(wordings) + base) / (wording_counts[wordings[scored], None] + 1.0)
    odds: Floats = np.round(np.log(share / base), 9).astype(np.float64)
    return odds


def _of_pairs(left: Ints, right: Ints, function: Callable[[int, int], float]) -> Floats:
    """A function of the codes (items,) and (items, 4), called once for each distinct pair; (items, 4)."""
    pairs = np.stack([np.repeat(left, 4), right.ravel()], axis=1)
    distinct, inverse = np.unique(pairs, axis=0, return_inverse=True)
    values = np.array([function(one, other) for one, other in distinct.tolist()], dtype=np.float64)
    return values[inverse.ravel()].reshape(-1, 4)


def _pairwise(texts: Texts, function: Callable[[str, str], float]) -> Floats:
    """A function of (subject, option), both normalised, for every option; (items, 4)."""
    names = [normalise(value) for value in texts.subjects.values]
    options = texts.items.offered
    codes = texts.subjects.codes, texts.items.options.codes
    return _of_pairs(*codes, lambda one, other: function(names[one], options[other]))


def likeness_scores(texts: Texts) -> dict[str, Floats]:
    """The three kinds of likeness of subject and option, (items, 4) each."""
    from rapidfuzz.distance import Levenshtein

    size = 2 if unspaced(texts.items.code) else 3

    def substring(one: str, other: str) -> float:
        return float(_longest_common(one, other))

    def ngrams(one: str, other: str) -> float:
        grams = {other[start : start + size] for start in range(max(len(other) - size + 1, 1))}
        return sum(gram in one for gram in grams) / len(grams)

    return {
        "likeness_substring": _pairwise(texts, substring),
        "likeness_ngrams": _pairwise(texts, ngrams),
        "likeness_edit": _pairwise(texts, Levenshtein.normalized_similarity),
    }


def _longest_common(one: str, other: str) -> int:
    """Length of the longest common substring, by bisection: a string that contains another contains its parts."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        size = (low + high + 1) // 2
        if any(other[start : start + size] in one for start in range(len(other) - size + 1)):
            low = size
        else:
            high = size - 1
    return low


def medium_scores(texts: Texts) -> Floats:
    """The share of an option's words that begin as a word of the wording does; (items, 4)."""
    without_spaces = unspaced(texts.items.code)

    def pieces(text: str) -> frozenset[str]:
        form = normalise(text)
        if without_spaces:
            return frozenset(form[start : start + 2] for start in range(len(form) - 1))
        return frozenset(word[:5] for word in form.replace("-", " ").split() if len(word) >= 4)

    wordings = [pieces(text) for text in texts.items.wordings.values]
    options = [pieces(text) for text in texts.items.options.values]
    codes = texts.items.wordings.codes, texts.items.options.codes
    return _of_pairs(*codes, lambda one, other: len(wordings[one] & options[other]) / max(len(options[other]), 1))


def popularity_scores(texts: Texts) -> Floats | None:
    """How near the option's sitelinks are to the subject's, in logarithms; None where they are not known."""
    if texts.fame is None or texts.fames is None:
        return None
    near: Floats = -np.abs(np.log1p(texts.fames) - np.log1p(texts.fame)[:, None])
    return near


def _relative(values: Floats) -> Floats:
    """Each option's value against the mean of the four."""
    relative: Floats = values - values.mean(axis=1, keepdims=True)
    return relative


class Attack:
    """All attackers on one language's items; features that need no training are made once."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._origins = _Origins(texts)
        self.fixed: dict[str, Floats] = {**likeness_scores(texts), "medium": medium_scores(texts)}
        popularity = popularity_scores(texts)
        if popularity is not None:
            self.fixed["popularity"] = popularity
        self._plain = self._untrained()

    def _untrained(self) -> list[Floats]:
        texts = self._texts
        lengths = texts.items.options.numbers(len)
        subject_len = np.array([len(value) for value in texts.subjects.values], dtype=np.float64)[texts.subjects.codes]
        latin = texts.items.options.numbers(lambda text: float(text.isascii()))
        subject_latin = np.array([float(value.isascii()) for value in texts.subjects.values])[texts.subjects.codes]
        untrained = [
            *self.fixed.values(),
            lengths,
            -np.abs(lengths - subject_len[:, None]),
            -np.abs(latin - subject_latin[:, None]),
        ]
        if texts.fames is not None and texts.fame is not None:
            untrained += [np.log1p(texts.fames), np.repeat(np.log1p(texts.fame)[:, None], 4, axis=1)]
        return untrained

    def _learnt(self, train: Bools, scored: Ints) -> dict[str, Floats]:
        return {
            "wording": wording_scores(self._texts, train, scored),
            "name_origin": self._origins.scores(train, scored),
        }

    def scores(self, train: Bools, scored: Ints, limit: int) -> Iterator[tuple[str, Floats]]:
        """Each attacker's scores (scored, 4), learnt from `train`; the boosted one learns from `limit` items."""
        learnt = self._learnt(train, scored)
        yield from learnt.items()
        for name, values in self.fixed.items():
            yield name, values[scored]
        yield "all_text", self._boosted(train, scored, learnt, limit)

    def _features(self, rows: Ints, learnt: Mapping[str, Floats]) -> Floats:
        """(4 * rows, features): every feature as it is and against the mean of the four, and the relation."""
        values = [*(feature[rows] for feature in self._plain), *learnt.values()]
        columns = [column.ravel() for value in values for column in (value, _relative(value))]
        columns.append(np.repeat(self._texts.relations[rows], 4).astype(np.float64))
        return np.stack(columns, axis=1)

    def _boosted(self, train: Bools, scored: Ints, learnt: Mapping[str, Floats], limit: int) -> Floats:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        chosen = _some(train, limit, self._texts.groups)
        fold = self._texts.groups % _PARTS
        parts: dict[str, Floats] = {name: np.zeros((len(chosen), 4)) for name in learnt}
        for part in range(_PARTS):
            inside = fold[chosen] == part
            if inside.any():
                for name, values in self._learnt(train & (fold != part), chosen[inside]).items():
                    parts[name][inside] = values
        features = self._features(chosen, parts)
        right = (self._texts.items.gold[chosen, None] == np.arange(4)).ravel()
        model = HistGradientBoostingClassifier(
            max_iter=40,
            learning_rate=0.2,
            max_leaf_nodes=8,
            min_samples_leaf=40,
            l2_regularization=1.0,
            categorical_features=[features.shape[1] - 1] if self._texts.relations.max() < 255 else None,
            early_stopping=False,
            random_state=0,
        )
        # Threads would wait for each other where another process has the cores.
        with threadpool_limits(1, "openmp"):
            model.fit(features, right)
            likely = model.predict_proba(self._features(scored, learnt))[:, 1].reshape(-1, 4)
        result: Floats = np.round(likely, 9)
        return result


def _some(train: Bools, limit: int, groups: Ints) -> Ints:
    """About `limit` train items: whole groups, evenly spaced."""
    rows = np.flatnonzero(train)
    step = max(-(-len(rows) // limit), 1)
    kept: Ints = rows if step == 1 else rows[(groups[rows] * 2_654_435_761 % 1_000_003) % step == 0]
    return kept
