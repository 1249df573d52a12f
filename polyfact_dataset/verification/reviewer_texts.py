"""The words of the review page and the rubric in the language that is reviewed: `page_texts/<language>.toml`.

Only what a reviewer reads is translated. The labels are stored in English, and the judge reads the English rubric.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.verification.rubric import Rubric, rubric

FOLDER = Path(__file__).parent / "page_texts"
# The language of the page where a language has no file.
FALLBACK = "en"


class _Texts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Names(_Texts):
    """The labels as the buttons show them."""

    correct: str
    ambiguous: str
    incorrect: str
    unsure: str


class Words(_Texts):
    """The other words of the page; `finished` contains `{total}`."""

    language: str
    name: str
    name_needed: str
    begin: str
    marked: str
    note: str
    undo: str
    rubric: str
    write_note: str
    leave_note: str
    finished: str


class ReviewerTexts(_Texts):
    """The texts in one language; `unsure` is the meaning of the label of that name. Without a rubric, it is English."""

    unsure: str
    names: Names
    words: Words
    rubric: Rubric | None = None
    language: str = FALLBACK

    def name(self, label: str) -> str:
        """The name of a label."""
        return str(getattr(self.names, label))

    def meanings(self) -> dict[str, str]:
        """Label -> its meaning, in the order of the keys."""
        return {**(self.rubric or rubric()).labels, "unsure": self.unsure}


@cache
def texts_in(code: str) -> ReviewerTexts:
    """The texts of a language, in English where it has no file. Raises `ConfigError` naming the file."""
    path = FOLDER / f"{code}.toml"
    if not path.is_file():
        return texts_in(FALLBACK)
    try:
        return ReviewerTexts.model_validate({**tomllib.loads(path.read_text(encoding="utf-8")), "language": code})
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigError(f"{FOLDER.name}/{path.name}: {error}") from error
