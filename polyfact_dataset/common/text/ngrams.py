"""Character n-grams of texts as sparse matrices.

scikit-learn's `HashingVectorizer` gives the same features one n-gram at a time in Python; at the size of a release that
takes minutes. Here the n-grams of all texts are hashed together by NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

# Between texts, and between words; no n-gram contains it.
_GAP = "\0"
# Knuth's multiplier of 64-bit linear congruential generators; products wrap around.
_MULTIPLIER = np.uint64(6364136223846793005)


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
    from scipy.sparse import csr_array

    smallest, largest = sizes
    if analyzer == "char_wb":
        texts = [_GAP.join(f" {word} " for word in text.split()) for text in texts]
    rows = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
    letters = np.frombuffer("".join(text + _GAP for text in texts).encode("utf-32-le"), np.uint32).astype(np.uint64)
    ends = np.cumsum(letters == 0)
    hashes = np.zeros(len(letters), dtype=np.uint64)
    hashed = []
    for size in range(1, largest + 1):
        count = len(letters) - size + 1
        if count <= 0:
            break
        hashes = (hashes[:count] + letters[size - 1 :]) * _MULTIPLIER
        if size >= smallest:
            inside = np.flatnonzero((ends[size - 1 :] == ends[:count]) & (letters[:count] != 0))
            # The upper bits depend on all characters.
            places = (hashes[inside] >> np.uint64(32)) % np.uint64(features)
            hashed.append(rows[inside] * features + places.astype(np.int64))
    keys = np.sort(np.concatenate(hashed)) if hashed else np.zeros(0, dtype=np.int64)
    # `np.unique` hashes integers, which takes ten times as long here.
    keys = keys[np.diff(keys, prepend=-1) != 0]
    starts = np.searchsorted(keys, np.arange(len(texts) + 1) * features)
    return csr_array((np.ones(len(keys), dtype=dtype), keys % features, starts), shape=(len(texts), features))
