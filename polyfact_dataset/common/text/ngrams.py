"""Character n-grams of texts as sparse matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np


def hashed_ngrams(
    texts: Sequence[str],
    sizes: tuple[int, int],
    features: int,
    analyzer: Literal["char", "char_wb"] = "char_wb",
    dtype: type[np.floating[Any]] = np.float32,
) -> Any:
    """The n-grams of the smallest to the largest of `sizes` characters, hashed: (texts, features), of 0 and 1.

    `char_wb` takes them inside words with marked ends, `char` from the text as it is. Nothing is normalised.
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        analyzer=analyzer,
        ngram_range=sizes,
        n_features=features,
        binary=True,
        norm=None,
        alternate_sign=False,
        lowercase=False,
        dtype=dtype,
    )
    return vectorizer.transform(texts)
