"""Reads a model's answer: the name or the question in it, or the reason why it is invalid."""

from __future__ import annotations

import re
from functools import lru_cache

from polyfact_dataset.catalog.language import Language, language
from polyfact_dataset.common.text.language_id import identifier_of, long_enough
from polyfact_dataset.common.text.normalise import clean, markup, normalise
from polyfact_dataset.common.text.scripts import in_scripts, mixes_scripts
from polyfact_dataset.facts.chinese import simplified
from polyfact_dataset.facts.labels import usable
from polyfact_dataset.llm.protocol import Answer
from polyfact_dataset.llm.response_text import InvalidResponse, finished_text, parse_object
from polyfact_dataset.questions.validate import fault

_MAX_QUESTION_CHARACTERS = 400
_QUOTES = re.compile(r"\A[\"'“„«‘『「《](.*)[\"'”“»’』」》]\Z", re.DOTALL)
# A text is in another language if that is at least this likely and the expected one at most that likely
# (0 false alarms in 636 templates of the language files, 98.5 % of wrong languages found).
_OTHER, _EXPECTED = 0.5, 0.1


def parse_name(answer: Answer, entry: Language) -> str:
    """The name in the answer to a label request. Raises `InvalidResponse`."""
    text = finished_text(answer)
    if not text:
        raise InvalidResponse("empty")
    if "\n" in text:
        raise InvalidResponse("not_a_name")
    quoted = _QUOTES.match(text)
    name = usable(quoted[1] if quoted else text, entry)
    if name is None:
        raise InvalidResponse("unusable_name")
    return name


def _fields(text: str) -> tuple[str, str]:
    """`question` and `answer_text` of a JSON object, possibly in one code fence."""
    value = parse_object(text)
    question, answer = value.get("question"), value.get("answer_text")
    if not isinstance(question, str) or not isinstance(answer, str):
        raise InvalidResponse("wrong_shape")
    return question, answer


def resolution(answer_text: str, gold: str) -> str | None:
    """The agreement of a text with the gold: `exact`, or `normalised` (case, width, spaces.

    Paper, appendix D.1), or None.
    """
    if answer_text == gold:
        return "exact"
    return "normalised" if normalise(answer_text) == normalise(gold) else None


@lru_cache(maxsize=1 << 16)
def other_language(wording: str, code: str, codes: tuple[str, ...]) -> str | None:
    """Another of `codes` that is clearly the language of the wording (a question without its names), or None."""
    if not long_enough(wording, language(code).spaced):
        return None
    probability = identifier_of(codes).confidences(wording)
    best = max(probability, key=lambda name: probability[name])
    sure = best != code and code in probability and probability[best] >= _OTHER and probability[code] < _EXPECTED
    return best if sure else None


def parse_question(
    answer: Answer, *, subject: str, named: str, gold: str, code: str, languages: tuple[str, ...]
) -> tuple[str, str]:
    """The question in an answer, if it is valid in its language, and its `resolution`. Raises `InvalidResponse`.

    `named` is the text that the question must contain: the subject's label, with a description where it needs one.
    """
    question, answer_text = _fields(finished_text(answer))
    if not question.strip():
        raise InvalidResponse("empty_question")
    if not answer_text.strip():
        raise InvalidResponse("empty_answer")
    how = resolution(answer_text, gold)
    if how is None:
        raise InvalidResponse("wrong_answer")
    cleaned, entry = clean(question), language(code)
    if cleaned is None or len(cleaned) > _MAX_QUESTION_CHARACTERS or markup(cleaned):
        raise InvalidResponse("unusable_question")
    # Only the wording is converted; the names must not change.
    if "Hans" in entry.scripts:
        cleaned = named.join(simplified(part) for part in cleaned.split(named))
    if not in_scripts(cleaned, entry.scripts) or mixes_scripts(cleaned.replace(named, " ")):
        raise InvalidResponse("wrong_script")
    reason = fault(cleaned, subject, gold, code)
    if reason is not None:
        raise InvalidResponse(reason)
    if normalise(named) not in normalise(cleaned):
        raise InvalidResponse("subject_not_told_apart")
    if other_language(normalise(cleaned).replace(normalise(named), " "), code, languages):
        raise InvalidResponse("wrong_language")
    return cleaned, how
