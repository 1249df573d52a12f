"""Judge a generated answer: whether it is correct, and if not, how it fails."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.common.files import digest_json
from polyfact_dataset.common.text.answers import fold, same_answer
from polyfact_dataset.common.text.scripts import UNSPACED, scripts_of

# The punctuation of the paper's evaluator (appendix A): ASCII, CJK, typographic quotes and guillemets.
_PAPER_CJK = "。、，！？：；「」『』【】（）"
_PAPER_QUOTES = "\u2018-\u201f\u00ab\u00bb\u2039\u203a"
_PAPER_BREAKS = re.compile(f"[{re.escape(string.punctuation)}{_PAPER_CJK}{_PAPER_QUOTES}\\s]+")


class Match(NamedTuple):
    """How a prediction matches an accepted answer.

    `exact`: equal after `fold`. `lenient`: the paper's rule with the paper's normalisation (equal, or the target is a
    token of the prediction, or the prediction starts with it). `folded`: the same rule after `fold`.
    """

    exact: bool
    lenient: bool
    folded: bool


@lru_cache(maxsize=1 << 18)
def paper_fold(text: str) -> str:
    """The paper's normalisation: NFC, lower case, runs of its punctuation and of spaces as one space."""
    return _PAPER_BREAKS.sub(" ", unicodedata.normalize("NFC", text).lower()).strip()


def _follows(prediction: str, target: str) -> bool:
    """The paper's rule on two normalised texts."""
    if not prediction or not target:
        return False
    return prediction == target or target in prediction.split(" ") or prediction.startswith(target)


def matches(prediction: str, target: str) -> Match:
    """How a prediction matches one accepted answer."""
    exact = same_answer(prediction, target)
    lenient = _follows(paper_fold(prediction), paper_fold(target))
    return Match(exact, lenient, exact or _follows(fold(prediction), fold(target)))


def matches_any(prediction: str, targets: Iterable[str]) -> Match:
    """How a prediction matches any of several accepted answers."""
    per_target = [matches(prediction, target) for target in targets]
    return Match(*(any(match[part] for match in per_target) for part in range(3)))


def _spaced(code: str, text: str) -> bool:
    """Whether words are separated by spaces; for a language without a file, the script of a text of it decides."""
    return language(code).spaced if code in known() else UNSPACED.isdisjoint(scripts_of(text))


@cache
def declining_phrases(code: str) -> tuple[str, ...]:
    """The folded phrases by which an answer in the language declines; none for a language without a file."""
    return tuple(filter(None, map(fold, language(code).declines.phrases))) if code in known() else ()


def declines(prediction: str, code: str) -> bool:
    """Whether an answer declines: it holds a declining phrase of the language, as whole words where words are spaced.

    An empty answer does not: silence counts as wrong.
    """
    answer = fold(prediction)
    if _spaced(code, answer):
        return any(f" {phrase} " in f" {answer} " for phrase in declining_phrases(code))
    return any(phrase in answer for phrase in declining_phrases(code))


def _begins(answer: str, name: str, spaced: bool) -> bool:
    """Whether a folded answer is `name` or begins with it as whole words; from 2 characters on without spaces."""
    if answer == name:
        return True
    return answer.startswith(f"{name} ") if spaced else len(name) > 1 and answer.startswith(name)


class Names:
    """All entity names known in each language, to distinguish a wrong fact from an incoherent answer."""

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        self._names = {code: {fold(name) for name in texts} - {""} for code, texts in names.items()}

    @property
    def digest(self) -> str:
        """SHA-256 of all names."""
        return digest_json({code: sorted(texts) for code, texts in self._names.items()})

    def begins(self, prediction: str, code: str) -> bool:
        """Whether the prediction is or begins with some entity's name in the language."""
        answer, known_names = fold(prediction), self._names[code]
        if answer in known_names:
            return True
        if _spaced(code, answer):
            words = answer.split(" ")
            return any(" ".join(words[:count]) in known_names for count in range(1, len(words)))
        return any(answer[:count] in known_names for count in range(2, len(answer)))


def failure_mode(prediction: str, code: str, accepted: Mapping[str, Sequence[str]], names: Names) -> str:
    """`correct`, `declined`, `wrong_language`, `wrong_fact` or `incoherent`; `accepted`: language -> names of the gold.

    A right fact in the wrong language is, or begins with, a name of the gold in another language as whole words:
    stricter than the lenient match, which would find short names of eleven other languages too often.
    """
    if matches_any(prediction, accepted[code]).folded:
        return "correct"
    if declines(prediction, code):
        return "declined"
    answer = fold(prediction)
    for other, texts in accepted.items():
        if other != code and any(_begins(answer, fold(name), _spaced(code, answer)) for name in texts if fold(name)):
            return "wrong_language"
    return "wrong_fact" if names.begins(prediction, code) else "incoherent"
