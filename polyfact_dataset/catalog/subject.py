"""The subject of a question: its name and the features that select a wording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Subject:
    """The subject of a question in one language. A feature that is None is unknown."""

    label: str
    id: str | None = None
    kind: str | None = None
    sex: Literal["female", "male"] | None = None
    is_living: bool | None = None
