"""Whether a text mentions an entity by one of its names: one rule for build, audit, rewards and evaluators.

How names are written into sentences differs by language: with or without spaces, with particles or prepositions written
onto them, in other cases. `MentionRule` holds these properties; `catalog.language` builds it from a language file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

from polyfact_dataset.common.text.normalise import is_word
from polyfact_dataset.common.text.scripts import COMMON, SYLLABARIES, UNSPACED, covered, script_of, scripts_of

Replacements = tuple[tuple[str, tuple[str, ...]], ...]
"""An ending (or a beginning) of a name as it is listed, each with its replacements in other forms."""
Mention = Literal["name", "inflected", "surname"]

# Shorter names are ignored as ambiguous: three letters, or two characters where each is a syllable or a word, unless
# the language names another length.
_MIN_CHARACTERS = 3
_MIN_OF_SYLLABLES = 2
# Words are inflected from this length on; this many of their characters do not change.
_MIN_INFLECTED = 4
_MIN_STEM = 3
# Particles can be combined: 에서 + 는, de + ki + ler + e.
_MAX_AFFIXES = 4
# The words of a name are separated by spaces or, in Chinese and Japanese, by dots.
_BETWEEN_NAMES = re.compile(r"[\s・·＝=]+")
_BRACKETS = re.compile(r"\s*[(（][^()（）]*[)）]")
_GENERATION = re.compile(r"jr\.?|sr\.?|[ivx]+|младший|старший|filho|neto|júnior|hijo")
_EPITHET = frozenset({"of", "the"})


@dataclass(frozen=True)
class MentionRule:
    """How a language writes a name into a sentence. All texts are in the form of `normalise`.

    `prefixes` and `suffixes` are written onto a name without a space (Arabic prepositions, Korean particles) and may
    follow each other. `endings` are those of a nominative with their replacements in other cases or genders,
    `initials` the same for the beginning of a name. `scripts` are the language's; with `spaced=False` a name in them
    ends anywhere, as it does in the scripts that are written without spaces in any language. `shortest` is the
    number of characters from which on names are searched for; by default three, or two in scripts of syllables.
    """

    scripts: tuple[str, ...] = ()
    spaced: bool = True
    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    initials: Replacements = ()
    endings: Replacements = ()
    shortest: int | None = None
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        # Rules are keys of a cache with millions of lookups.
        affixes = self.prefixes, self.suffixes, self.initials, self.endings
        object.__setattr__(self, "_hash", hash((self.scripts, self.spaced, *affixes, self.shortest)))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def unspaced(self) -> frozenset[str]:
        """The scripts in which a name needs no boundary."""
        return UNSPACED if self.spaced else UNSPACED.union(*map(covered, self.scripts))

    @cached_property
    def before(self) -> re.Pattern[str]:
        """Affixes that may be attached to the beginning of a name."""
        return _affixes(self.prefixes)

    @cached_property
    def after(self) -> re.Pattern[str]:
        """Affixes that may be attached to the end of a name."""
        return _affixes(self.suffixes)


def _affixes(affixes: Iterable[str]) -> re.Pattern[str]:
    listed = "|".join(map(re.escape, sorted(affixes, key=lambda affix: (-len(affix), affix))))
    return re.compile(f"(?:{listed}){{1,{_MAX_AFFIXES}}}" if listed else r"(?!)")


def mention(text: str, name: str, rule: MentionRule, *, person: bool = False) -> Mention | None:
    """How `text` mentions `name`: as it is, in another case, by a person's family name, or not at all (None).

    Both are in the form of `normalise`. A name counts where its word ends: letters, marks or digits that continue it
    must be affixes of the language, while a digit after a letter, a letter of another script, and any character of a
    script without spaces never continue a word. Names below three characters (two in Han, kana or Hangul), or below
    the language's `shortest`, are not searched for. With `person`, the family name is searched for as well.
    """
    # Most names are not in the text: comparing their first letters, which few languages change, is fast.
    if rule.initials or name[:_MIN_STEM] in text:
        if is_named(text, name, rule):
            return "name"
        if _is_inflected(text, name, rule):
            return "inflected"
    if person and (family := surname(name)) is not None and family[:_MIN_STEM] in text:
        return "surname" if is_named(text, family, rule) or _is_inflected(text, family, rule) else None
    return None


def is_named(text: str, name: str, rule: MentionRule) -> bool:
    """Whether `text` contains `name` unchanged, apart from affixes of the language."""
    start = text.find(name)
    if start < 0 or len(name) < (rule.shortest or _min_characters(name)):
        return False
    while start >= 0:
        if _begins_here(text, start, rule) and _ends_here(text, start + len(name), rule):
            return True
        start = text.find(name, start + 1)
    return False


@lru_cache(maxsize=1 << 16)
def _min_characters(name: str) -> int:
    return _MIN_OF_SYLLABLES if scripts_of(name) & SYLLABARIES else _MIN_CHARACTERS


@lru_cache(maxsize=1 << 16)
def _continues(edge: str, neighbour: str, rule: MentionRule) -> bool:
    """Whether `neighbour` belongs to the word that `edge` is the first or last character of."""
    if not is_word(neighbour):
        return False
    if edge.isdigit() or neighbour.isdigit():
        return edge.isdigit() and neighbour.isdigit()
    scripts = {script_of(edge), script_of(neighbour)}
    if scripts & rule.unspaced:
        return False
    return COMMON in scripts or len(scripts) == 1


def _begins_here(text: str, start: int, rule: MentionRule) -> bool:
    if start == 0 or not _continues(text[start], text[start - 1], rule):
        return True
    if not rule.prefixes:
        return False
    first = start - 1
    while first > 0 and _continues(text[first], text[first - 1], rule):
        first -= 1
    return rule.before.fullmatch(text, first, start) is not None


def _ends_here(text: str, end: int, rule: MentionRule) -> bool:
    if end == len(text) or not _continues(text[end - 1], text[end], rule):
        return True
    if not rule.suffixes:
        return False
    last = end + 1
    while last < len(text) and _continues(text[last - 1], text[last], rule):
        last += 1
    return rule.after.fullmatch(text, end, last) is not None


def _forms(word: str, rule: MentionRule) -> Iterable[str]:
    """A word and its other forms. Only words of at least 4 letters, of which 3 do not change, are inflected."""
    yield word
    if len(word) < _MIN_INFLECTED or not all(map(is_word, word)):
        return
    for ending, others in rule.endings:
        stem = word.removesuffix(ending)
        if word.endswith(ending) and len(stem) >= _MIN_STEM:
            yield from (stem + other for other in others if other or len(stem) > _MIN_STEM)


@lru_cache(maxsize=1 << 16)
def _cases(name: str, rule: MentionRule) -> re.Pattern[str]:
    """The pattern that finds a name with its words in any form."""
    words = [sorted(set(_forms(word, rule)), key=lambda form: (-len(form), form)) for word in re.split(r"[\s-]+", name)]
    for beginning, others in rule.initials:
        for form in tuple(words[0]) if words[0][0].startswith(beginning) else ():
            words[0] += [other + form.removeprefix(beginning) for other in others]
    return re.compile("[ -]+".join(f"(?:{'|'.join(map(re.escape, forms))})" for forms in words))


def _is_inflected(text: str, name: str, rule: MentionRule) -> bool:
    """Whether `text` contains `name` with its words in other forms."""
    if not (rule.endings or rule.initials) or len(name) < _MIN_INFLECTED:
        return False
    stem = next((name.removeprefix(first) for first, _ in rule.initials if name.startswith(first)), name)
    if stem[:_MIN_STEM] not in text:
        return False
    pattern, match = _cases(name, rule), None
    while (match := pattern.search(text, 0 if match is None else match.start() + 1)) is not None:
        start, end = match.span()
        if _begins_here(text, start, rule) and _ends_here(text, end, rule):
            return True
    return False


@lru_cache(maxsize=1 << 16)
def surname(name: str) -> str | None:
    """The family name in a person's full name in the form of `normalise`; None where it has no separate one.

    It is the part before a comma, else the last word. Epithets (William of Ockham, Pliny the Elder) do not count. A
    family name has at least 4 letters, 3 in scripts of syllables.
    """
    head, comma, rest = _BRACKETS.sub("", name).partition(",")
    words = [word for word in _BETWEEN_NAMES.split(head) if word]
    while len(words) > 1 and _GENERATION.fullmatch(words[-1]):
        words.pop()
    inverted = comma and not _GENERATION.fullmatch(rest.strip())
    if not words or not (len(words) > 1 or inverted) or not _EPITHET.isdisjoint(words):
        return None
    return words[-1] if len(words[-1]) > _min_characters(words[-1]) else None
