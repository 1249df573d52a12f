"""Scripts of letters and labels, as ISO 15924 codes.

A language's script may be a compound one: `Jpan` is kanji, hiragana and katakana, `Kore` Hangul and Han, `Hans` and
`Hant` are Han. Scripts of characters and their extensions are Unicode's (`fontTools.unicodedata`).
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from functools import cache, lru_cache

from fontTools import unicodedata as ucd
from fontTools.unicodedata.Scripts import NAMES

# Digits, punctuation and marks belong to no script (Unicode: Common, Inherited).
COMMON = "Zyyy"
_COMMON, _LATIN = frozenset({COMMON}), frozenset({"Latn"})
_NO_SCRIPT = frozenset({"Zyyy", "Zinh", "Zzzz"})
COVERS = {
    "Jpan": frozenset({"Hani", "Hira", "Kana"}),
    "Kore": frozenset({"Hang", "Hani"}),
    "Hans": frozenset({"Hani"}),
    "Hant": frozenset({"Hani"}),
    "Hanb": frozenset({"Hani", "Bopo"}),
    "Hrkt": frozenset({"Hira", "Kana"}),
}
SCRIPT_CODES = tuple(sorted((set(NAMES) - _NO_SCRIPT) | set(COVERS)))
"""The scripts that a language file may name."""


def nearest_script(name: str) -> str | None:
    """The code of a script by its name or by a code that is nearly right: `Tamil` and `taml` are `Taml`."""
    codes = {named.casefold(): code for code, named in NAMES.items() if code in SCRIPT_CODES}
    codes |= {code.casefold(): code for code in SCRIPT_CODES}
    near = difflib.get_close_matches(name.casefold(), codes, n=1, cutoff=0.75)
    return codes[near[0]] if near else None


# Written without spaces between words.
UNSPACED = frozenset({"Hani", "Hira", "Kana", "Bopo", "Yiii", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
# Each character is a syllable or a word; letters of several of these follow each other without a space.
SYLLABIC = frozenset({"Hani", "Hira", "Kana", "Hang", "Bopo", "Yiii"})
# Each character is at least a syllable, so that names are short.
SYLLABARIES = SYLLABIC | {"Ethi", "Cher", "Cans", "Vaii"}
_GREEK_WORD = re.compile("[\u0370-\u03ff\u1f00-\u1fff]{2}")
_HYPHENS = re.compile("[-\u2010-\u2015]")
_AFTER_KANA = re.compile("[\u3041-\u30fa\u30fc]([a-z]{2,})")
_AROUND = "()（）[]«»“”„\"'.,:;!?"


@lru_cache(maxsize=65536)
def script_of(character: str) -> str:
    """The script of a letter, `Zyyy` for what all scripts share (digits, punctuation, marks), `Zzzz` if unknown.

    Letter-like numerals are letters: U+2167 is Latin as `VIII` is. A letter that Unicode counts as common, such as the
    Japanese length mark or a modifier apostrophe, is `Zyyy`.
    """
    if not (character.isalpha() or unicodedata.category(character) == "Nl"):
        return COMMON
    for form in (*unicodedata.normalize("NFKC", character), character):
        script: str = ucd.script(form)
        if form.isalpha() and script not in _NO_SCRIPT:
            return script
    return "Zzzz" if ucd.script(character) == "Zzzz" else COMMON


@lru_cache(maxsize=1 << 16)
def scripts_of(text: str) -> frozenset[str]:
    """All scripts of the letters of `text`, without `Zyyy`."""
    if text.isascii():
        return _LATIN if text.lower() != text.upper() else frozenset()
    return frozenset(map(script_of, set(text))) - _COMMON


def covered(script: str) -> frozenset[str]:
    """The scripts of letters that a language's script consists of, such as Han and both kana for `Jpan`."""
    return COVERS.get(script, frozenset({script}))


@cache
def _allowed(scripts: tuple[str, ...]) -> frozenset[str]:
    return frozenset({"Latn", "Grek"}).union(*map(covered, scripts))


def in_scripts(text: str, scripts: tuple[str, ...]) -> bool:
    """Whether every letter is of one of `scripts` or Latin (untransliterated names), or a single Greek symbol.

    A letter that several scripts share (Unicode's script extensions) is of each of them.
    """
    allowed = _allowed(scripts)
    letter_scripts = scripts_of(text)
    if not letter_scripts <= allowed:
        foreign = {char for char in text if script_of(char) not in allowed | {COMMON}}
        if any(allowed.isdisjoint(ucd.script_extension(char)) for char in foreign):
            return False
    return "Grek" in scripts or "Grek" not in letter_scripts or not _GREEK_WORD.search(text)


def mixes_scripts(text: str) -> bool:
    """Whether a single word joins letters of two alphabets, such as a half-transliterated name.

    Japanese, Chinese and Korean write several scripts, and Latin letters, without a space between them; only alphabets
    that are never joined inside a word count.
    """
    if len(scripts_of(text) - SYLLABIC) < 2:
        return False
    return any(len(scripts_of(word) - SYLLABIC) > 1 for word in re.split(r"[\s\-‐-―·・/.,:()'’\d]+", text))


def _plain(word: str) -> bool:
    """Whether a Latin word is spelt like a name or noun: not an abbreviation, a number or a brand such as iPhone."""
    return len(word) >= 3 and word[1:].islower()


def half_transliterated(label: str, person: bool = False) -> str | None:
    """The part of a name that stayed in Latin letters inside a word of another script, or None.

    Parts of a word are joined by a hyphen (Лос-Angeles), or follow kana in small letters (ロンdon); abbreviations
    and brands do not count (USB, iPhone), nor do separate Latin words (ядро Linux), unless they are all that
    follows and in small letters (Гда ńsk). In a person's name no ordinary Latin word is next to another script.
    """
    if label.isascii():
        return None
    letter_scripts = scripts_of(label)
    if "Latn" not in letter_scripts or len(letter_scripts) == 1:
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
        if latin is not None and any(_is_lettered(part) and not part.islower() for part in parts):
            return latin
    return None


def _is_lettered(word: str) -> bool:
    """Whether a word holds letters of an alphabet, other than Latin, into which names are written letter by letter."""
    return not scripts_of(word) <= SYLLABIC | {"Latn"}
