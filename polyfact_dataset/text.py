"""Text rules that hold everywhere: normalisation, scripts, markup, and whether a text mentions a name.

Scripts are ISO 15924 codes. `Jpan` covers kanji, hiragana and katakana, `Hans` covers Han characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from html.entities import html5

# Never carry meaning in a label: soft hyphen, grapheme joiner, zero-width space, direction marks, word joiner and
# invisible operators, byte-order mark, variation selectors.
_INVISIBLE = "\u00ad\u034f\u061c\u180b-\u180f\u200b\u200e\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"
_JOINERS = "\u200c\u200d"
# The scripts that need joiners: Arabic with its relatives, and those of India.
_JOINING = "\u0600-\u0dff\ufb50-\ufdff\ufe70-\ufefc"
_IDLE = re.compile(f"[{_INVISIBLE}]+|(?<![{_JOINING}])[{_JOINERS}]+|[{_JOINERS}]+(?![{_JOINING}{_JOINERS}])")
# In Bengali a joiner says how a hasanta joins two letters; away from one, inside a word, it does nothing.
_LONELY_JOINER = re.compile(f"(?<=[\u0980-\u09cc\u09ce-\u09ff])[{_JOINERS}](?=[\u0980-\u09cc\u09ce-\u09ff])")
_REPEATED_JOINER = re.compile(f"([{_JOINERS}])[{_JOINERS}]+")
_IDLE_JOINER = re.compile(f"(?<![{_JOINING}])[{_JOINERS}]|[{_JOINERS}](?![{_JOINING}])")
_UNSEEN = re.compile(f"[{_INVISIBLE}{_JOINERS}]+")
# Overrides, deprecated format characters, tags, annotations and blank letters show something else than they hold.
_HIDING_CHARACTERS = "\u115f\u1160\u202d\u202e\u206a-\u206f\u3164\uffa0\ufff9-\ufffb\U000e0000-\U000e007f"
_HIDING = re.compile(f"[{_HIDING_CHARACTERS}]")
# Embeddings and isolates re-order what a reader sees where two directions meet; elsewhere they do nothing.
_EMBEDDINGS = "\u202a-\u202c\u2066-\u2069"
_EMBEDDING = re.compile(f"[{_EMBEDDINGS}]+")


def _members(characters: str) -> frozenset[str]:
    """The characters of a class as regular expressions write it, with its ranges."""
    found = set()
    for first, last, single in re.findall("(.)-(.)|(.)", characters, re.DOTALL):
        found |= {single} if single else set(map(chr, range(ord(first), ord(last) + 1)))
    return frozenset(found)


# Most texts hold none of these: asking that first is several times faster than the patterns.
_UNSEEN_CHARACTERS = _members(_INVISIBLE + _JOINERS)
_CONTROLS = _UNSEEN_CHARACTERS | _members(_HIDING_CHARACTERS + _EMBEDDINGS)
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
# Letters to Unicode, yet used like punctuation in several scripts: apostrophes and the Japanese length mark.
_SHARED = "ʻʼʽʾʿˈ\u30fc"
_GREEK_WORD = re.compile("[\u0370-\u03ff\u1f00-\u1fff]{2}")
# HTML, wiki text and web addresses: no name, and an answer nobody would give.
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|<!--|&(?:#\w+|\w+);|\[\[|\]\]|\{\{|\}\}|''+|https?://")
# A name parts its words by spaces or, in Chinese and Japanese, by dots.
_BETWEEN_NAMES = re.compile(r"[\s・·＝=]+")
_BRACKETS = re.compile(r"\s*[(（][^()（）]*[)）]")
_GENERATION = re.compile(r"jr\.?|sr\.?|[ivx]+|младший|старший|filho|neto|júnior|hijo")
_EPITHET = {"of", "the"}
_HYPHENS = re.compile("[-\u2010-\u2015]")
_AFTER_KANA = re.compile("[\u3041-\u30fa\u30fc]([a-z]{2,})")
_AROUND = "()（）[]«»“”„\"'.,:;!?"
# Alphabets into which a name is written out letter by letter.
_LETTERED = {"Grek", "Cyrl", "Arab", "Beng", "Hebr", "Deva", "Armn", "Geor", "Thai"}
Endings = tuple[tuple[str, tuple[str, ...]], ...]
_COVERS = {"Jpan": {"Hani", "Hira", "Kana"}, "Hans": {"Hani"}, "Hant": {"Hani"}}


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
    if len(scripts_of(text) & alphabets) < 2:
        return False
    return any(len(scripts_of(word) & alphabets) > 1 for word in re.split(r"[\s\-‐-―·・/.,:()'’\d]+", text))


def markup(text: str) -> str | None:
    """The first HTML or wiki markup or web address in the text, or None. An unknown `&name;` is none."""
    for found in _MARKUP.finditer(text):
        sign = found[0]
        if not sign.startswith("&") or sign[1] == "#" or sign[1:] in html5:
            return sign
    return None


def idle_joiner(text: str) -> bool:
    """Whether a zero-width joiner or non-joiner stands where it shapes no letter."""
    return any(pattern.search(text) for pattern in (_IDLE_JOINER, _LONELY_JOINER))


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


def _edge(characters: Iterable[str]) -> str:
    """The script of the first letter of a word; `Zyyy` where punctuation, a space or nothing comes before one."""
    for char in characters:
        if (script := script_of(char)) != "Zyyy":
            return "Jpan" if script in _COVERS["Jpan"] else script
        if not _is_word(char):
            break
    return "Zyyy"


def _without(pattern: re.Pattern[str], text: str) -> str | None:
    """The text without what `pattern` finds; None when that would join letters of two scripts in a word."""
    if not pattern.search(text):
        return text
    parts = pattern.split(text)
    for position in range(1, len(parts)):
        scripts = {_edge(reversed("".join(parts[:position]))), _edge("".join(parts[position:]))}
        if len(scripts - {"Zyyy"}) > 1:
            return None
    return "".join(parts)


def _one_direction(text: str) -> bool:
    found = {unicodedata.bidirectional(char) for char in text}
    return "L" not in found or found.isdisjoint({"R", "AL"})


def clean(text: str) -> str | None:
    """The text in NFC without idle invisible characters and with single spaces; None when it hides or lacks something.

    Zero-width and direction controls go where they carry no meaning; joiners stay inside words of the scripts that
    need them (Arabic, Bengali). None is returned for overrides, tags, blank letters, embeddings where two directions
    meet, a control that parts two scripts, control, private-use and unassigned characters, and for a text without
    any letter or digit.
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
        # What was removed can have kept marks apart that now change places.
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

    Unicode's compatibility caseless matching (D146), but for symbols, which stay as they are, so that no two scripts
    are joined in a word that did not join them before. `normalise(normalise(x)) == normalise(x)`.
    """
    if text.isascii():
        return " ".join(text.casefold().split())
    if _FOLDED_WITH_CARE.isdisjoint(text):
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        return " ".join(unicodedata.normalize("NFKC", folded.casefold()).split())
    # U+0345 alone would become a Greek letter.
    folded = _compatible(text).replace("\u0345", "")
    if not _UNSEEN_CHARACTERS.isdisjoint(folded):
        seen = _without(_UNSEEN, folded)
        folded = _UNSEEN.sub(" ", folded) if seen is None else seen
    folded = _compatible(unicodedata.normalize("NFD", folded).casefold())
    return " ".join(_compatible(folded.casefold()).split())


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


def _forms(word: str, endings: Endings) -> Iterable[str]:
    """A word and its other cases. Only words of at least 4 letters, of which 3 stay, are inflected."""
    yield word
    for ending, others in endings if len(word) >= 4 and word.isalpha() else ():
        stem = word.removesuffix(ending)
        if word.endswith(ending) and len(stem) >= 3:
            yield from (stem + other for other in others if other or len(stem) > 3)


@lru_cache(maxsize=1 << 16)
def _cases(name: str, endings: Endings) -> re.Pattern[str]:
    """What finds a name in any case of its words."""
    words = ("|".join(map(re.escape, _forms(word, endings))) for word in re.split(r"[\s-]+", name))
    return re.compile(rf"(?<!\w){'[ -]+'.join(f'(?:{forms})' for forms in words)}(?!\w)")


def mentions_inflected(text: str, name: str, endings: Endings) -> bool:
    """Whether `text` holds `name` with its words in any case; both in the form of `normalise`.

    `endings` are those of a language file: each of the nominative with what takes its place in other cases.
    """
    return bool(endings) and len(name) >= 4 and name[:3] in text and _cases(name, endings).search(text) is not None


def surname(name: str) -> str | None:
    """The family name of a person's full name in the form of `normalise`; None where it has none of its own.

    It is what stands before a comma, else the last word; epithets (William of Ockham, Pliny the Elder) are none.
    """
    head, comma, rest = _BRACKETS.sub("", name).partition(",")
    words = [word for word in _BETWEEN_NAMES.split(head) if word]
    while len(words) > 1 and _GENERATION.fullmatch(words[-1]):
        words.pop()
    inverted = comma and not _GENERATION.fullmatch(rest.strip())
    if not words or not (len(words) > 1 or inverted) or not _EPITHET.isdisjoint(words):
        return None
    return words[-1] if _is_long(words[-1]) else None


def _is_long(word: str) -> bool:
    """Whether a family name is long enough to tell anything: 4 letters, 3 in Chinese and Japanese."""
    return len(word) >= (3 if scripts_of(word) & _COVERS["Jpan"] else 4)


def mentions_surname(text: str, name: str, *, spaced: bool, glue: str = "none", endings: Endings = ()) -> bool:
    """Whether `text` holds a person's family name, in any case where `endings` are given; both as by `normalise`."""
    family = surname(name)
    if family is None or family[:3] not in text:
        return False
    return mentions(text, family, spaced=spaced, glue=glue) or mentions_inflected(text, family, endings)
