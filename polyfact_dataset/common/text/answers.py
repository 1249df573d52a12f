"""Fold a free answer for comparison: the one rule of evaluators, rewards, rejection fine-tuning and failure modes."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from polyfact_dataset.common.text.normalise import normalise

# Kept at the end of a word, where they distinguish C, C++ and C#, and Canal and Canal+.
_SIGNIFICANT = "+#"
# Letters by Unicode category that are written as an apostrophe (Hawaiʻi) or to stretch a word (tatweel).
_APOSTROPHES = frozenset("ʻʼʽʾʿˈˊˋ")
_TATWEEL = "\u0640"
_WORD_SIGNS = re.compile(r"(?<=\w)[+#]+(?!\w)")


@lru_cache(maxsize=1 << 14)
def _separates(character: str) -> bool:
    """Whether a character is punctuation, a mathematical or modifier symbol, or represents an apostrophe."""
    return unicodedata.category(character) in _SEPARATORS or character in _APOSTROPHES


_SEPARATORS = frozenset({"Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sk", "Sm", "Cc", "Zl", "Zp", "Zs"})


@lru_cache(maxsize=1 << 18)
def fold(text: str) -> str:
    """The form in which an answer is compared with a name; `""` for a text of punctuation alone.

    NFKC, case, width and spaces are folded by `normalise`. Every character of a Unicode category of punctuation, and
    mathematical and modifier symbols, become one space; formatting characters (Cf) and tatweel are removed. `+` and
    `#` at the end of a word stay. Idempotent.
    """
    normal = normalise(text)
    kept = {position for match in _WORD_SIGNS.finditer(normal) for position in range(*match.span())}
    characters = []
    for position, character in enumerate(normal):
        if character == _TATWEEL or unicodedata.category(character) == "Cf":
            continue
        characters.append(character if position in kept or not _separates(character) else " ")
    return " ".join("".join(characters).split())


def same_answer(first: str, second: str) -> bool:
    """Whether two texts are the same answer: equal after folding, or, for names of punctuation alone, as written."""
    one, other = fold(first), fold(second)
    return one == other and (one != "" or normalise(first) == normalise(second) != "")
