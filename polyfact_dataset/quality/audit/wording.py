"""The wording of a question: what is left of it without the name of its subject.

Names speak other languages than the questions that hold them, and a template has one wording for thousands of
facts. So languages are identified, negations sought and lengths compared on wordings.
"""

from __future__ import annotations

import re

import numpy as np

from polyfact_dataset.quality.audit.release import Coded, Items

# Quotation marks that a removed name leaves behind.
_EMPTY = re.compile(r"«\s*»|“\s*”|„\s*“|‘\s*’|「\s*」|『\s*』|《\s*》|\"\s*\"|'\s*'")
_SPACE = re.compile(r"\s+")


def wording(question: str, subject: str | None) -> str:
    """The question without its subject's name; the whole question where the name is not in it as it stands."""
    if not subject or subject not in question:
        return question
    return _SPACE.sub(" ", _EMPTY.sub(" ", question.replace(subject, " ", 1))).strip()


def wordings(items: Items) -> Coded:
    """The wording of every item."""
    subjects = items.subjects
    if subjects is None:
        return items.questions
    place: dict[str, int] = {}
    codes = np.empty(len(items), dtype=np.int64)
    pairs = zip(items.questions.texts(), subjects.texts())
    for row, (question, subject) in enumerate(pairs):
        codes[row] = place.setdefault(wording(question, subject), len(place))
    return Coded(list(place), codes)
