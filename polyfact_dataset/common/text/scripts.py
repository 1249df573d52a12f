"""Scripts of letters and labels, as ISO 15924 codes.

`Jpan` covers kanji, hiragana and katakana, `Hans` covers Han characters.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

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
    (0x1C80, 0x1C8F, "Cyrl"),
    (0x1C90, 0x1CBF, "Geor"),
    (0x1D00, 0x1DBF, "Latn"),
    (0x1E00, 0x1EFF, "Latn"),
    (0x1F00, 0x1FFF, "Grek"),
    (0x2C60, 0x2C7F, "Latn"),
    (0x2D00, 0x2D2F, "Geor"),
    (0x3005, 0x3007, "Hani"),
    (0x3040, 0x309F, "Hira"),
    (0x30A0, 0x30FF, "Kana"),
    (0x3130, 0x318F, "Hang"),
    (0x31F0, 0x31FF, "Kana"),
    (0x3400, 0x4DBF, "Hani"),
    (0x4E00, 0x9FFF, "Hani"),
    (0xA640, 0xA69F, "Cyrl"),
    (0xA720, 0xA7FF, "Latn"),
    (0xAB30, 0xAB6F, "Latn"),
    (0xAC00, 0xD7AF, "Hang"),
    (0xF900, 0xFAFF, "Hani"),
    (0xFB50, 0xFDFF, "Arab"),
    (0xFE70, 0xFEFF, "Arab"),
    (0x20000, 0x3134F, "Hani"),
)
# Letters to Unicode, yet used like punctuation in several scripts: apostrophes and the Japanese length mark.
_SHARED = "ʻʼʽʾʿˈ\u30fc"
_GREEK_WORD = re.compile("[\u0370-\u03ff\u1f00-\u1fff]{2}")
_HYPHENS = re.compile("[-\u2010-\u2015]")
_AFTER_KANA = re.compile("[\u3041-\u30fa\u30fc]([a-z]{2,})")
_AROUND = "()（）[]«»“”„\"'.,:;!?"
# Alphabets into which a name is written out letter by letter.
_LETTERED = {"Grek", "Cyrl", "Arab", "Beng", "Hebr", "Deva", "Armn", "Geor", "Thai"}
COVERS = {"Jpan": {"Hani", "Hira", "Kana"}, "Hans": {"Hani"}, "Hant": {"Hani"}}


@lru_cache(maxsize=65536)
def script_of(character: str) -> str:
    """The script of a letter, `Zyyy` for what all scripts share (digits, punctuation, marks), `Zzzz` if unknown.

    Letter-like numerals are letters: U+2167 is Latin as `VIII` is.
    """
    if not (character.isalpha() or unicodedata.category(character) == "Nl") or character in _SHARED:
        return "Zyyy"
    letters = [ord(form) for form in unicodedata.normalize("NFKC", character) if form.isalpha() and form not in _SHARED]
    code = letters[0] if letters else ord(character)
    return next((script for low, high, script in _RANGES if low <= code <= high), "Zzzz")


@lru_cache(maxsize=1 << 16)
def scripts_of(text: str) -> frozenset[str]:
    """All scripts of the letters of `text`, without `Zyyy`."""
    return frozenset(script_of(char) for char in set(text)) - {"Zyyy"}


def covered(script: str) -> frozenset[str]:
    """The scripts of letters that a language's script stands for, such as Han and both kana for `Jpan`."""
    return frozenset(COVERS.get(script, {script}))


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
    if len(scripts_of(text) & alphabets) < 2:
        return False
    return any(len(scripts_of(word) & alphabets) > 1 for word in re.split(r"[\s\-‐-―·・/.,:()'’\d]+", text))


def _plain(word: str) -> bool:
    """Whether a Latin word is spelt like a name or noun: not an abbreviation, a number or a brand such as iPhone."""
    return len(word) >= 3 and word[1:].islower()


def half_transliterated(label: str, person: bool = False) -> str | None:
    """The part of a name that stayed in Latin letters inside a word of another script, or None.

    Parts of a word are joined by a hyphen (Лос-Angeles), or follow kana in small letters (ロンdon); abbreviations
    and brands do not count (USB, iPhone), nor do Latin words of their own (ядро Linux), unless they are all that
    follows and in small letters (Гда ńsk). In a person's name no ordinary Latin word stands beside another script.
    """
    own = scripts_of(label)
    if "Latn" not in own or len(own) == 1:
        return None
    if (kana := _AFTER_KANA.search(label)) is not None:
        return kana[1]
    joined = [_HYPHENS.split(word.strip(_AROUND)) for word in label.split()]
    if person:
        joined = [[part for word in joined for part in word]]
    elif len(joined) == 2 and not joined[0][0].islower() and joined[1][0].islower():
        joined = [[*joined[0], *joined[1]]]
    for parts in joined:
        latin = next((part for part in parts if scripts_of(part) == {"Latn"} and _plain(part)), None)
        if latin is not None and any(scripts_of(part) & _LETTERED and not part.islower() for part in parts):
            return latin
    return None
