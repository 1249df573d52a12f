"""How the labels of a class are written in a language: the case of the first letter, and class words.

Wikidata writes "Film laga" but "drama" (Indonesian), "língua sueca" but "francês" (Portuguese): among the options
of one item that is a cue. A language file states under `[spelling.<class>]` what its orthography requires; the classes
are `label_classes` in `relations.toml`.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict

_FIRST_WORD = re.compile(r"[^\W\d_]+")


class Respelling(BaseModel):
    """A rule by spelling: a label that the regular expression `match` covers as a whole becomes `replace`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: re.Pattern[str]
    replace: str


class Spelling(BaseModel):
    """The spelling of one class of labels.

    `case`: `lower` writes the first letter small, unless the label has capitals elsewhere (Neue Deutsche Welle, K-pop);
    `lower_first` also before names (dolar Kanada); `upper` writes it large. Labels that begin with one of `nouns`
    begin small in any case, those that begin with one of the names `proper` (Shibuya-kei) are kept. `class_words` are
    rules that remove or add a class word, the first that matches; they are for answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: Literal["lower", "lower_first", "upper"] | None = None
    nouns: frozenset[str] = frozenset()
    proper: frozenset[str] = frozenset()
    class_words: tuple[Respelling, ...] = ()

    def with_class_word(self, label: str) -> str:
        """The label with the class word that the language gives it, or without."""
        for rule in self.class_words:
            if match := rule.match.fullmatch(label):
                return match.expand(rule.replace)
        return label

    def cased(self, label: str) -> str:
        """The label with its first letter in the case of the class."""
        match = _FIRST_WORD.match(label)
        if match is None or match[0] in self.proper:
            return label
        word, rest = match[0], label[match.end() :]
        if self.case == "upper":
            return label[0].upper() + label[1:]
        # One letter (K-pop), an abbreviation (RPG) or mixed capitals (CoBrA).
        if len(word) < 2 or not word[1:].islower():
            return label
        alone = self.case == "lower" and rest == rest.lower()
        if self.case == "lower_first" or alone or word.lower() in self.nouns:
            return label[0].lower() + label[1:]
        return label
