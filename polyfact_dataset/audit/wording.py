"""The wording of a question: what is left of it without the name of its subject.

Names speak other languages than the questions that hold them, and a template has one wording for thousands of
facts. So languages are identified, negations sought and lengths compared on wordings.
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
    """The question without its subject's name; the whole question where the name is not in it as it stands."""
    if not subject or subject not in question:
        return question
    return " ".join(_EMPTY.sub(" ", question.replace(subject, " ", 1)).split())
