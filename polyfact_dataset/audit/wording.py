"""The wording of a question: the question without the name of its subject.

Names may be in another language than the question, and a template has one wording for thousands of facts. Language
identification, the search for negations and the comparison of lengths therefore use wordings.
"""

from __future__ import annotations

import re

# Quotation marks that a removed name leaves behind.
_EMPTY = re.compile(r"«\s*»|“\s*”|„\s*“|‘\s*’|「\s*」|『\s*』|《\s*》|\"\s*\"|'\s*'")
# Neither letters, marks nor digits.
_BESIDE = re.compile(r"(?:_|[^\w\u0300-\u036f\u064b-\u065f\u0900-\u0dff])+")


def bare(text: str) -> str:
    """The letters and digits of a normalised text alone, without spaces and punctuation."""
    return _BESIDE.sub("", text)


def wording(question: str, subject: str | None) -> str:
    """The question without its subject's name; the whole question where it does not contain the name verbatim."""
    if not subject or subject not in question:
        return question
    return " ".join(_EMPTY.sub(" ", question.replace(subject, " ", 1)).split())
