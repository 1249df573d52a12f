"""Whether a text mentions an entity by one of its names: the one rule for build, audit, rewards and evaluators."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from polyfact_dataset.common.text.normalise import is_word
from polyfact_dataset.common.text.scripts import COVERS, scripts_of

# A name parts its words by spaces or, in Chinese and Japanese, by dots.
_BETWEEN_NAMES = re.compile(r"[\s・·＝=]+")
_BRACKETS = re.compile(r"\s*[(（][^()（）]*[)）]")
_GENERATION = re.compile(r"jr\.?|sr\.?|[ivx]+|младший|старший|filho|neto|júnior|hijo")
_EPITHET = {"of", "the"}
Endings = tuple[tuple[str, tuple[str, ...]], ...]


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
        free_before = start == 0 or glue == "prefix" or not is_word(text[start - 1])
        free_after = end == len(text) or glue == "suffix" or not is_word(text[end])
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
    return len(word) >= (3 if scripts_of(word) & COVERS["Jpan"] else 4)


def mentions_surname(text: str, name: str, *, spaced: bool, glue: str = "none", endings: Endings = ()) -> bool:
    """Whether `text` holds a person's family name, in any case where `endings` are given; both as by `normalise`."""
    family = surname(name)
    if family is None or family[:3] not in text:
        return False
    return mentions(text, family, spaced=spaced, glue=glue) or mentions_inflected(text, family, endings)
