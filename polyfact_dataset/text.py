"""Text rules that hold everywhere: normalisation, scripts, and whether a text mentions a name.

Scripts are ISO 15924 codes. `Jpan` covers kanji, hiragana and katakana, `Hans` covers Han characters.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SPACE = re.compile(r"\s+")
# Characters that never carry meaning in a label of the 12 languages: soft hyphen, zero-width space,
# word joiner, byte-order mark and direction marks.
_REMOVABLE = re.compile("[\u00ad\u200b\u200e\u200f\u2060\ufeff\u061c]")
# Embeddings, overrides and isolates re-order what a reader sees: they hide something.
_HIDING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_JOINERS = re.compile("[\u200c\u200d]")
_RANGES: tuple[tuple[int, int, str], ...] = (
    (0x0041, 0x024F, "Latn"),
    (0x0250, 0x02AF, "Latn"),
    (0x0370, 0x03FF, "Grek"),
    (0x0400, 0x052F, "Cyrl"),
    (0x0530, 0x058F, "Armn"),
    (0x0590, 0x05FF, "Hebr"),
    (0x0600, 0x06FF, "Arab"),
    (0x0750, 0x077F, "Arab"),
    (0x08A0, 0x08FF, "Arab"),
    (0x0900, 0x097F, "Deva"),
    (0x0980, 0x09FF, "Beng"),
    (0x0E00, 0x0E7F, "Thai"),
    (0x10A0, 0x10FF, "Geor"),
    (0x1100, 0x11FF, "Hang"),
    (0x1E00, 0x1EFF, "Latn"),
    (0x1F00, 0x1FFF, "Grek"),
    (0x2C60, 0x2C7F, "Latn"),
    (0x3005, 0x3007, "Hani"),
    (0x3040, 0x309F, "Hira"),
    (0x30A0, 0x30FF, "Kana"),
    (0x3130, 0x318F, "Hang"),
    (0x31F0, 0x31FF, "Kana"),
    (0x3400, 0x4DBF, "Hani"),
    (0x4E00, 0x9FFF, "Hani"),
    (0xA720, 0xA7FF, "Latn"),
    (0xAC00, 0xD7AF, "Hang"),
    (0xF900, 0xFAFF, "Hani"),
    (0xFB50, 0xFDFF, "Arab"),
    (0xFE70, 0xFEFF, "Arab"),
    (0x20000, 0x3134F, "Hani"),
)
_GREEK_WORD = re.compile("[\u0370-\u03ff\u1f00-\u1fff]{2}")
_COVERS = {"Jpan": {"Hani", "Hira", "Kana"}, "Hans": {"Hani"}, "Hant": {"Hani"}}


@lru_cache(maxsize=65536)
def script_of(character: str) -> str:
    """The script of a letter, `Zyyy` for what all scripts share (digits, punctuation, marks), `Zzzz` if unknown."""
    if not character.isalpha() or character in "ªºʻʼʽʾʿˈ\u30fc":
        return "Zyyy"
    code = ord(unicodedata.normalize("NFKC", character)[0])
    return next((script for low, high, script in _RANGES if low <= code <= high), "Zzzz")


def scripts_of(text: str) -> frozenset[str]:
    """All scripts of the letters of `text`, without `Zyyy`."""
    return frozenset(script_of(char) for char in set(text)) - {"Zyyy"}


def covered(script: str) -> frozenset[str]:
    """The scripts of letters that a language's script stands for, such as Han and both kana for `Jpan`."""
    return frozenset(_COVERS.get(script, {script}))


def in_scripts(text: str, scripts: tuple[str, ...]) -> bool:
    """Whether every letter is of one of `scripts` or Latin (names that stay as they are), or a single Greek symbol."""
    allowed = {"Latn", "Grek"}.union(*map(covered, scripts))
    own = scripts_of(text)
    return own <= allowed and ("Grek" in scripts or "Grek" not in own or not _GREEK_WORD.search(text))


def mixes_scripts(text: str) -> bool:
    """Whether a single word joins letters of two alphabets, such as a half-transliterated name.

    Japanese and Chinese put scripts side by side without a space, and Latin beside them is common;
    so only alphabets that are never joined inside a word count.
    """
    alphabets = {"Latn", "Grek", "Cyrl", "Arab", "Beng", "Hebr", "Deva", "Armn", "Geor", "Thai"}
    return any(len(scripts_of(word) & alphabets) > 1 for word in re.split(r"[\s\-‐-―·・/.,:()'’\d]+", text))


def clean(text: str) -> str | None:
    """The text in NFC without invisible characters and with single spaces; None when it hides or lacks something.

    None is returned for characters that re-order text, control, private-use and unassigned characters, and for
    a text without any letter or digit. Zero-width joiners stay: Bengali and Arabic need them.
    """
    text = _SPACE.sub(" ", _REMOVABLE.sub("", unicodedata.normalize("NFC", text))).strip()
    if _HIDING.search(text) or any(unicodedata.category(char) in ("Cc", "Co", "Cn", "Cs") for char in text):
        return None
    return text if any(char.isalnum() for char in text) else None


@lru_cache(maxsize=1 << 18)
def normalise(text: str) -> str:
    """The form in which two texts are compared: compatibility width (NFKC), case, joiners and spaces folded."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _SPACE.sub(" ", _JOINERS.sub("", folded)).strip()


def _is_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def mentions(text: str, name: str, *, spaced: bool, glue: str = "none") -> bool:
    """Whether `text` mentions `name`; both in the form of `normalise`.

    In languages without spaces (`spaced=False`) any occurrence of at least 2 characters counts. In the others a
    name of at least 3 characters counts where it stands as whole words; `glue="suffix"` lets endings follow it
    (Bengali), `glue="prefix"` lets articles and prepositions precede it (Arabic).
    """
    if len(name) < (3 if spaced else 2):
        return False
    start = text.find(name)
    while start >= 0:
        if not spaced:
            return True
        end = start + len(name)
        free_before = start == 0 or glue == "prefix" or not _is_word(text[start - 1])
        free_after = end == len(text) or glue == "suffix" or not _is_word(text[end])
        if free_before and free_after:
            return True
        start = text.find(name, start + 1)
    return False
