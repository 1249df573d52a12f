"""Hashed n-grams are those of scikit-learn, up to the hash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from polyfact_dataset.common.text.ngrams import hashed_ngrams

TEXTS = st.lists(st.text(st.characters(categories=["Ll", "Lo", "Mn", "Zs"]), max_size=12), min_size=1, max_size=6)


def shared(grams: Any) -> list[list[int]]:
    """The number of n-grams that two texts have in common."""
    rows = [set(row.tolist()) for row in np.split(grams.indices, grams.indptr[1:-1])]
    return [[len(one & other) for other in rows] for one in rows]


@given(TEXTS)
def test_texts_share_the_n_grams_that_they_share_by_counting(texts: list[str]) -> None:
    texts = [" ".join(text.split()) for text in texts]
    long = [text for text in texts if len(text) >= 2] or ["ab"]
    exact = CountVectorizer(analyzer="char", ngram_range=(2, 2), binary=True, lowercase=False).fit_transform(long)
    assert shared(hashed_ngrams(long, (2, 2), 1 << 40, "char")) == shared(exact)


def test_n_grams_inside_words_mark_their_ends() -> None:
    grams = hashed_ngrams(["ab", "ab cd", "abcd", "xab", ""], (2, 3), 1 << 40)
    # " a", "ab", "b ", " ab", "ab "
    assert np.diff(grams.indptr).tolist() == [5, 10, 9, 7, 0]
    assert shared(grams)[0] == [5, 5, 3, 3, 0]


@pytest.mark.parametrize("texts", [[], [""], ["a"]])
def test_texts_without_n_grams(texts: list[str]) -> None:
    grams = hashed_ngrams(texts, (4, 6), 1 << 10)
    assert grams.shape == (len(texts), 1 << 10) and grams.nnz == 0
