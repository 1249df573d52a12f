"""Clean a label, find markup in it, and fold a text into the form in which two texts are compared."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from html.entities import html5

import numpy as np

from polyfact_dataset.common.text.scripts import COMMON, COVERS, script_of

# Never carry meaning in a label: soft hyphen, grapheme joiner, zero-width space, direction marks, word joiner and
# invisible operators, byte-order mark, variation selectors.
_INVISIBLE = "\u00ad\u034f\u061c\u180b-\u180f\u200b\u200e\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"
_JOINERS = "\u200c\u200d"
# The scripts that need joiners: Arabic with its relatives, and those of India.
_JOINING = "\u0600-\u0dff\ufb50-\ufdff\ufe70-\ufefc"
_IDLE = re.compile(f"[{_INVISIBLE}]+|(?<![{_JOINING}])[{_JOINERS}]+|[{_JOINERS}]+(?![{_JOINING}{_JOINERS}])")
# In Bengali a joiner determines how a hasanta joins two letters; elsewhere inside a word it has no effect.
_LONELY_JOINER = re.compile(f"(?<=[\u0980-\u09cc\u09ce-\u09ff])[{_JOINERS}](?=[\u0980-\u09cc\u09ce-\u09ff])")
_REPEATED_JOINER = re.compile(f"([{_JOINERS}])[{_JOINERS}]+")
_IDLE_JOINER = re.compile(f"(?<![{_JOINING}])[{_JOINERS}]|[{_JOINERS}](?![{_JOINING}])")
_UNSEEN = re.compile(f"[{_INVISIBLE}{_JOINERS}]+")
# Overrides, deprecated format characters, tags, annotations and blank letters make the displayed text differ from the
# stored one.
_HIDING_CHARACTERS = "\u115f\u1160\u202d\u202e\u206a-\u206f\u3164\uffa0\ufff9-\ufffb\U000e0000-\U000e007f"
_HIDING = re.compile(f"[{_HIDING_CHARACTERS}]")
# Embeddings and isolates reorder the displayed text where two directions meet; elsewhere they have no effect.
_EMBEDDINGS = "\u202a-\u202c\u2066-\u2069"
_EMBEDDING = re.compile(f"[{_EMBEDDINGS}]+")


def _members(characters: str) -> frozenset[str]:
    """The characters of a class as regular expressions write it, with its ranges."""
    members = set()
    for first, last, single in re.findall("(.)-(.)|(.)", characters, re.DOTALL):
        members |= {single} if single else set(map(chr, range(ord(first), ord(last) + 1)))
    return frozenset(members)


# Most texts contain none of these: testing that first is several times faster than the patterns.
_UNSEEN_CHARACTERS = _members(_INVISIBLE + _JOINERS)
_CONTROLS = _UNSEEN_CHARACTERS | _members(_HIDING_CHARACTERS + _EMBEDDINGS)
# Symbols that compatibility forms would turn into letters, such as U+2116 or U+33C0 (Latin and Greek in one sign).
_SYMBOL_CHARACTERS = frozenset(
    char
    for block in ((0x20A0, 0x214F), (0x2460, 0x24FF), (0x2E80, 0x2FDF), (0x3190, 0x33FF), (0x1F100, 0x1F2FF))
    for char in map(chr, range(block[0], block[1] + 1))
    if unicodedata.category(char) in ("Sc", "So", "No")
    and any(form.isalpha() for form in unicodedata.normalize("NFKC", char))
) | {"\ufdfc"}
_SYMBOLS = re.compile(f"[{''.join(sorted(_SYMBOL_CHARACTERS))}]+")
# With these a text is folded step by step; all others are the same whether they are decomposed first or not (the iota
# subscript, which becomes a letter, is why D146 decomposes).
_FOLDED_WITH_CARE = _UNSEEN_CHARACTERS | _SYMBOL_CHARACTERS | _members("\u0345\u037a\u1f80-\u1fff")
# HTML, wiki text and web addresses: neither names nor plausible answers.
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|<!--|&(?:#\w+|\w+);|\[\[|\]\]|\{\{|\}\}|''+|https?://")


def markup(text: str) -> str | None:
    """The first HTML or wiki markup or web address in the text, or None. An unknown `&name;` does not count."""
    for match in _MARKUP.finditer(text):
        sign = match[0]
        if not sign.startswith("&") or sign[1] == "#" or sign[1:] in html5:
            return sign
    return None


def idle_joiner(text: str) -> bool:
    """Whether a zero-width joiner or non-joiner is in a place where it shapes no letter."""
    return any(pattern.search(text) for pattern in (_IDLE_JOINER, _LONELY_JOINER))


def _edge(characters: Iterable[str]) -> str:
    """The script of the first letter of a word; `Zyyy` where punctuation, a space or nothing comes before one."""
    for char in characters:
        if (script := script_of(char)) != COMMON:
            return "Jpan" if script in COVERS["Jpan"] else script
        if not is_word(char):
            break
    return COMMON


def _without(pattern: re.Pattern[str], text: str) -> str | None:
    """The text without the matches of `pattern`; None when that would join letters of two scripts in a word."""
    if not pattern.search(text):
        return text
    parts = pattern.split(text)
    for position in range(1, len(parts)):
        scripts = {_edge(reversed("".join(parts[:position]))), _edge("".join(parts[position:]))}
        if len(scripts - {COMMON}) > 1:
            return None
    return "".join(parts)


def _one_direction(text: str) -> bool:
    directions = {unicodedata.bidirectional(char) for char in text}
    return "L" not in directions or directions.isdisjoint({"R", "AL"})


def clean(text: str) -> str | None:
    """The text in NFC without idle invisible characters and with single spaces; None when it is unusable.

    Zero-width and direction controls are removed where they carry no meaning. Joiners stay inside words of the scripts
    that need them (Arabic, Bengali). None is returned for overrides, tags, blank letters, embeddings where two
    directions meet, a control that separates two scripts, control, private-use and unassigned characters, and for a
    text without any letter or digit.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split()) if any(map(str.isalnum, text)) else None
    seen: str | None = text
    if not _CONTROLS.isdisjoint(text):
        if _HIDING.search(text) or (_EMBEDDING.search(text) and not _one_direction(text)):
            return None
        shown = _REPEATED_JOINER.sub(r"\1", _EMBEDDING.sub("\u200b", text))
        seen = _without(_IDLE, _LONELY_JOINER.sub("", shown))
    if seen is None:
        return None
    seen = " ".join(unicodedata.normalize("NFC", seen).split())
    if not seen.isprintable() and any(unicodedata.category(char) in ("Cc", "Co", "Cn", "Cs") for char in seen):
        return None
    if seen != text:
        # A removed character can have separated marks whose canonical order is now another.
        return clean(seen)
    return seen if any(char.isalnum() for char in seen) else None


def _compatible(text: str) -> str:
    """NFKC, except that a symbol is not spelt out in letters."""
    if _SYMBOL_CHARACTERS.isdisjoint(text):
        return unicodedata.normalize("NFKC", text)
    kept = _SYMBOLS.findall(text)
    parts = [unicodedata.normalize("NFKC", part) for part in _SYMBOLS.split(text)]
    return parts[0] + "".join(symbols + part for symbols, part in zip(kept, parts[1:]))


@lru_cache(maxsize=1 << 18)
def normalise(text: str) -> str:
    """The form in which two texts are compared: compatibility width (NFKC), case, joiners and spaces folded.

    This is Unicode's compatibility caseless matching (D146), except that symbols do not change, so that no word gets
    letters of a second script. `normalise(normalise(x)) == normalise(x)`.
    """
    if text.isascii():
        return " ".join(text.casefold().split())
    if _FOLDED_WITH_CARE.isdisjoint(text):
        return " ".join(_casefolded(text).split())
    # U+0345 alone would become a Greek letter.
    folded = _compatible(text).replace("\u0345", "")
    if not _UNSEEN_CHARACTERS.isdisjoint(folded):
        seen = _without(_UNSEEN, folded)
        folded = _UNSEEN.sub(" ", folded) if seen is None else seen
    folded = _compatible(unicodedata.normalize("NFD", folded).casefold())
    return " ".join(_compatible(folded.casefold()).split())


def _casefolded(text: str) -> str:
    """NFKC, case folding, and both again where that changes the text: for texts that are not `_FOLDED_WITH_CARE`."""
    compatible = unicodedata.normalize("NFKC", text)
    folded = compatible.casefold()
    # Nearly always: normalising a folded text does not change it.
    if folded == compatible or (compatible := unicodedata.normalize("NFKC", folded)) == folded:
        return folded
    again = compatible.casefold()
    return compatible if again == compatible else unicodedata.normalize("NFKC", again)


def normalise_all(texts: Sequence[str]) -> list[str]:
    """`normalise` of every text of a column, several times as fast for texts that occur once."""
    joined = "\n".join(texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    if _is_folded_with_care()[codes].any() or joined.count("\n") >= len(texts):
        return list(map(normalise, texts))
    # Neither case folding nor NFKC looks across a line feed.
    return [" ".join(text.split()) for text in _casefolded(joined).split("\n")]


@cache
def _is_folded_with_care() -> np.ndarray:
    """Whether a character, by its code, is one of `_FOLDED_WITH_CARE`."""
    marked = np.zeros(sys.maxunicode + 1, bool)
    marked[list(map(ord, _FOLDED_WITH_CARE))] = True
    return marked


@cache
def word_pattern() -> re.Pattern[str]:
    """Matches a word: characters for which `is_word` holds. Python's `\\w` leaves out marks."""
    marks = "".join(char for char in map(chr, range(0x300, 0x1F000)) if unicodedata.category(char)[0] == "M")
    return re.compile(f"(?:[^\\W_]|[{marks}])+")


def is_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"
