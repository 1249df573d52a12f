"""Trained classifiers of the audit: fitted on train, scored on held-out items.

`choices_classifier` sees only the options. `question_classifier` predicts the relation from the wording (the question
without its subject) and takes the relation's most common answer. `wording_classifier` learns how the wording's words
correlate with the beginnings and endings of an option, as articles and genders do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from zlib import crc32

import numpy as np

from polyfact_dataset.audit.release import Bools, Floats, Ints, Items, Release
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.config.audit import AuditConfig

_FEATURES = 1 << 18
_EPOCHS = 5
# Largest number of words of a wording that are crossed with an option's shape.
_WORDS = 40


def _hashed(tokens: Iterable[Sequence[str]]) -> Any:
    """Token lists as a sparse matrix of `_FEATURES` columns."""
    from sklearn.feature_extraction import FeatureHasher

    return FeatureHasher(_FEATURES, input_type="string", alternate_sign=False, dtype=np.float32).transform(tokens)


def _some(train: Bools, limit: int) -> Ints:
    """At most `limit` train items, evenly spaced."""
    rows = np.flatnonzero(train)
    return rows[:: max(-(-len(rows) // limit), 1)]


def _ranks(values: Floats) -> Ints:
    """The place of each option among the four, 0 to 3; ties get the same place."""
    ranks: Ints = (values[:, None, :] < values[:, :, None]).sum(axis=2)
    return ranks


def _fit(features: Any, right: Bools) -> Any:
    """Logistic regression by stochastic gradient descent; the same data give the same weights."""
    from sklearn.linear_model import SGDClassifier

    model = SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=_EPOCHS, tol=None, random_state=0, average=True)
    return model.fit(features, right)


def _score(model: Any, features: Any, shape: tuple[int, int]) -> Floats:
    result: Floats = np.asarray(model.decision_function(features), dtype=np.float64).reshape(shape)
    # Options that look the same to the model tie, whatever the order of summation.
    return np.round(result, 9)


def _choice_tokens(text: str, identity: str) -> list[str]:
    """The features of an option for a choices-only model: its identity, n-grams and length."""
    padded = f" {normalise(text)} "
    pieces = [padded[start : start + size] for size in (1, 2, 3) for start in range(len(padded) - size + 1)]
    return [f"is {identity}", f"length {len(text)}", *(f"has {piece}" for piece in set(pieces))]


def choices_scores(items: Items, train: Bools, limit: int) -> Floats:
    """Scores (items, 4) of a model that sees only the options, trained on `train`; those of train items are 0."""
    from scipy.sparse import csr_matrix, hstack

    pairs = np.stack([items.options.codes.ravel(), items.choices.codes.ravel()], axis=1)
    distinct, inverse = np.unique(pairs, axis=0, return_inverse=True)
    inverse = inverse.reshape(items.options.codes.shape)
    texts, names = items.options.values, items.choices.values
    hashed = _hashed([_choice_tokens(texts[text], names[name]) for text, name in distinct.tolist()])
    lengths = items.options.numbers(len)
    order = {text: number for number, text in enumerate(sorted(texts))}
    ranks = np.stack([_ranks(lengths), 4 + _ranks(items.options.numbers(order.__getitem__))], axis=2)

    def features(rows: Ints) -> Any:
        columns = ranks[rows].reshape(-1, 2)
        ones = np.ones(columns.size, dtype=np.float32)
        start = np.arange(len(columns) + 1) * 2
        ranked = csr_matrix((ones, columns.ravel(), start), shape=(len(columns), 8))
        return hstack([hashed[inverse[rows].ravel()], ranked], format="csr")

    chosen, held_out = _some(train, limit), np.flatnonzero(~train)
    scores = np.zeros((len(items), 4))
    model = _fit(features(chosen), (items.gold[chosen, None] == np.arange(4)).ravel())
    scores[held_out] = _score(model, features(held_out), (len(held_out), 4))
    return scores


def _words(text: str) -> list[str]:
    return normalise(text).split() or [""]


def question_scores(items: Items, relations: Sequence[str], train: Bools) -> Floats:
    """Scores (items, 4): sum over relations of P(relation | wording) P(answer | relation), learnt from `train`."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    number = {name: code for code, name in enumerate(dict.fromkeys(relations))}
    about = np.array([number[name] for name in relations], dtype=np.int64)
    golds = items.choices.codes[np.arange(len(items)), items.gold]
    answers = np.zeros((len(number), len(items.choices.values)))
    np.add.at(answers, (about[train], golds[train]), 1.0)
    answers /= np.maximum(answers.sum(axis=1, keepdims=True), 1.0)
    asked = items.wordings
    words = CountVectorizer(analyzer=_words, dtype=np.float32).fit_transform(asked.values)
    pairs, times = np.unique(np.stack([asked.codes[train], about[train]], axis=1), axis=0, return_counts=True)
    model = MultinomialNB().fit(words[pairs[:, 0]], pairs[:, 1], sample_weight=times)
    held_out, scores = np.flatnonzero(~train), np.zeros((len(items), 4))
    likely = model.predict_proba(words[asked.codes[held_out]])
    for column, relation in enumerate(model.classes_):
        scores[held_out] += likely[:, column, None] * answers[relation, items.choices.codes[held_out]]
    return np.round(scores, 9)


def _shape_tokens(text: str) -> list[str]:
    """The shape of an option: its beginning and end, and whether it is several words. Always six values."""
    first = text.partition(" ")[0]
    return [
        f"^{text[:1]}",
        f"^{first}",
        f"{text[-1:]}$",
        f"{text[-2:]}$",
        f"{text[-3:]}$",
        f"#{min(text.count(' '), 3)}",
    ]


def _number(token: str) -> int:
    return crc32(token.encode("utf-8", "surrogatepass"))


def wording_scores(items: Items, train: Bools, limit: int) -> Floats:
    """Scores (items, 4) of the fit between the wording's words and the shape of each option, trained on `train`."""
    from scipy.sparse import csr_matrix

    asked = items.wordings
    words = [[_number(word) for word in sorted(set(normalise(text).split()))[:_WORDS]] for text in asked.values]
    starts = np.cumsum([0, *map(len, words)])
    flat = np.array([number for numbers in words for number in numbers], dtype=np.int64)
    shapes = np.array([[_number(token) for token in _shape_tokens(text)] for text in items.offered], dtype=np.int64)

    def features(rows: Ints) -> Any:
        """Every word of the wording crossed with every shape of the option, hashed; (4 * rows, features)."""
        wording = np.repeat(asked.codes[rows], 4)
        sizes = np.diff(starts)[wording]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        word = flat[np.repeat(starts[wording], sizes) + within]
        shape = shapes[np.repeat(items.options.codes[rows].ravel(), sizes)]
        columns = (word[:, None] * 1_000_003 + shape) % _FEATURES
        ends = np.concatenate([[0], np.cumsum(sizes * shape.shape[1])])
        ones = np.ones(columns.size, dtype=np.float32)
        return csr_matrix((ones, columns.ravel(), ends), shape=(len(wording), _FEATURES))

    chosen, held_out = _some(train, limit), np.flatnonzero(~train)
    scores = np.zeros((len(items), 4))
    model = _fit(features(chosen), (items.gold[chosen, None] == np.arange(4)).ravel())
    scores[held_out] = _score(model, features(held_out), (len(held_out), 4))
    return scores


def scores(items: Items, release: Release, train: Bools, config: AuditConfig) -> Iterator[tuple[str, Floats]]:
    """The scores of each trained classifier; empty without held-out items or train items."""
    if not train.any() or train.all():
        return
    relations = release.array("property_id")[items.rows].tolist()
    yield "choices_classifier", choices_scores(items, train, config.classifier_facts)
    yield "question_classifier", question_scores(items, relations, train)
    yield "wording_classifier", wording_scores(items, train, config.classifier_facts)
