"""What a model's answer is worth: the name or the question in it, or the reason why it cannot be used."""

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
from polyfact_dataset.llm.response_text import Unusable, object_of, text_of
from polyfact_dataset.questions.validate import fault

_MAX_QUESTION_CHARACTERS = 400
_QUOTES = re.compile(r"\A[\"'“„«‘『「《](.*)[\"'”“»’』」》]\Z", re.DOTALL)
# An identification is sure when another language is at least this likely and the own one at most that
# (0 false alarms in 636 templates of the language files, 98.5 % of wrong languages found).
_OTHER, _OWN = 0.5, 0.1


def name_of(answer: Answer, entry: Language) -> str:
    """The name that a label translation gives. Raises `Unusable`."""
    text = text_of(answer)
    if not text:
        raise Unusable("empty")
    if "\n" in text:
        raise Unusable("not_a_name")
    quoted = _QUOTES.match(text)
    name = usable(quoted[1] if quoted else text, entry)
    if name is None:
        raise Unusable("unusable_name")
    return name


def _fields(text: str) -> tuple[str, str]:
    """`question` and `answer_text` of a JSON object, which may stand in one code fence."""
    value = object_of(text)
    question, answer = value.get("question"), value.get("answer_text")
    if not isinstance(question, str) or not isinstance(answer, str):
        raise Unusable("wrong_shape")
    return question, answer


def resolution(answer_text: str, gold: str) -> str | None:
    """How a text agrees with the gold: `exact`, or `normalised` (case, width, spaces; paper, appendix D.1), or None."""
    if answer_text == gold:
        return "exact"
    return "normalised" if normalise(answer_text) == normalise(gold) else None


@lru_cache(maxsize=1 << 16)
def other_language(wording: str, code: str, codes: tuple[str, ...]) -> str | None:
    """Another of `codes` in which the wording (a question without its names) surely is, or None."""
    if not long_enough(wording, language(code).spaced):
        return None
    found = identifier_of(codes).confidences(wording)
    best = max(found, key=lambda name: found[name])
    sure = best != code and code in found and found[best] >= _OTHER and found[code] < _OWN
    return best if sure else None


def question_of(
    answer: Answer, *, subject: str, named: str, gold: str, code: str, languages: tuple[str, ...]
) -> tuple[str, str]:
    """The question that an answer holds, if it is sound in its language, and its `resolution`. Raises `Unusable`.

    `named` is what the question must contain: the subject's label, with a description where it needs one.
    """
    question, answer_text = _fields(text_of(answer))
    if not question.strip():
        raise Unusable("empty_question")
    if not answer_text.strip():
        raise Unusable("empty_answer")
    how = resolution(answer_text, gold)
    if how is None:
        raise Unusable("wrong_answer")
    cleaned, entry = clean(question), language(code)
    if cleaned is None or len(cleaned) > _MAX_QUESTION_CHARACTERS or markup(cleaned):
        raise Unusable("unusable_question")
    # Only the wording is converted: the names are to stay as they are shown.
    if "Hans" in entry.scripts:
        cleaned = named.join(simplified(part) for part in cleaned.split(named))
    if not in_scripts(cleaned, entry.scripts) or mixes_scripts(cleaned.replace(named, " ")):
        raise Unusable("wrong_script")
    reason = fault(cleaned, subject, gold, code)
    if reason is not None:
        raise Unusable(reason)
    if normalise(named) not in normalise(cleaned):
        raise Unusable("subject_not_told_apart")
    if other_language(normalise(cleaned).replace(normalise(named), " "), code, languages):
        raise Unusable("wrong_language")
    return cleaned, how
