"""In which languages the names of a fact give its answer away: the Kenyan shilling, Mexico City.

Two names share a stem where a word of each begins with the same four letters (with vowel signs, and more than one
syllable); in scripts of syllables, with the same two characters; and in Chinese characters, which are written without
spaces, where two adjacent ones are in both. That tells the answer where no distractor shares a stem with the subject. A
name that contains the other as a whole tells it in any case.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.catalog.language import article
from polyfact_dataset.common.text.normalise import normalise, word_pattern
from polyfact_dataset.common.text.scripts import COMMON, SYLLABIC, script_of

_STEM = 4
_SYLLABLES = 2
# Canonical combining class.
_VIRAMA = 9
# The first letter of a script of syllables (Hangul).
_FIRST_SYLLABLE = "\u1100"


@lru_cache(maxsize=1 << 16)
def _words(text: str, code: str) -> tuple[str, ...]:
    """The words of a label, normalised and without articles."""
    words = word_pattern().findall(normalise(text))
    written_on = article(code)
    return tuple((word.removeprefix(written_on) or word for word in words) if written_on else words)


@lru_cache(maxsize=1 << 16)
def stems(text: str, code: str) -> frozenset[str]:
    """The stems of a label: two labels share one if these sets have a common element."""
    shared_stems: set[str] = set()
    for word in _words(text, code):
        if max(word) < _FIRST_SYLLABLE:
            stem = word[:_STEM] if word.isalnum() else _beginning(word)
            if len(stem) >= _STEM:
                shared_stems.add(stem)
            continue
        for script, run in groupby(_scripts(word), key=itemgetter(0)):
            letters = "".join(map(itemgetter(1), run))
            if script == "Hani":
                shared_stems.update(map("".join, pairwise(letters)))
            elif len(letters) >= (size := _SYLLABLES if script in SYLLABIC else _STEM):
                shared_stems.add(letters[:size])
    return frozenset(shared_stems)


def _beginning(word: str) -> str:
    """The first letters of a word with their vowel signs: at least four characters, and two syllables."""
    stem, syllables = "", 0
    for position, char in enumerate(word):
        # A virama joins two letters in one syllable.
        joined = position and unicodedata.combining(word[position - 1]) == _VIRAMA
        starts = not joined and not unicodedata.category(char).startswith("M")
        if starts and len(stem) >= _STEM and syllables >= _SYLLABLES:
            return stem
        stem, syllables = stem + char, syllables + starts
    return stem if syllables >= _SYLLABLES else ""


def _scripts(word: str) -> Iterator[tuple[str, str]]:
    """The script of each character of a word, and the character; marks belong to what they follow."""
    script = COMMON
    for char in word:
        char_script = script_of(char)
        script = char_script if char_script != COMMON else script
        yield script, char


def _contains(outer: Sequence[str], inner: Sequence[str]) -> bool:
    """Whether the words `inner` are consecutive in `outer`."""
    size = len(inner)
    return size > 0 and any(tuple(outer[at : at + size]) == tuple(inner) for at in range(len(outer) - size + 1))


def tells(subject: str, answer: str, distractors: Sequence[str], code: str) -> bool:
    """Whether the labels of a fact in one language give its answer away."""
    asked, gold = _words(subject, code), _words(answer, code)
    if not set(asked).isdisjoint(gold) and (_contains(gold, asked) or _contains(asked, gold)):
        return True
    subject_stems = stems(subject, code)
    if subject_stems.isdisjoint(stems(answer, code)):
        return False
    return all(subject_stems.isdisjoint(stems(other, code)) for other in distractors)


def overlaps(facts: Sequence[Mapping[str, Any]], labels: pa.Table, languages: Sequence[str]) -> list[list[str]]:
    """The languages in which the names of each fact (subject, object, distractors) give its answer away."""
    row_of = {entity: row for row, entity in enumerate(labels.column("entity_id").to_pylist())}
    named = [
        (row_of[fact["subject_id"]], row_of[fact["object_id"]], [row_of[other] for other in fact["distractor_ids"]])
        for fact in facts
    ]
    overlapping: list[list[str]] = [[] for _ in facts]
    for code in languages:
        texts = pc.struct_field(labels.column(code), "text").to_pylist()
        for languages_of, (subject, answer, others) in zip(overlapping, named):
            if tells(texts[subject], texts[answer], [texts[other] for other in others], code):
                languages_of.append(code)
    return overlapping
