"""Forms of names: a name as it is written in a sentence, with article, contraction or case ("du Kenya", "der Schweiz").

A language's file in `forms/` holds whole phrases for names, keyed by Wikidata id and label; nouns that
determine the form of names that contain them ("tour Eiffel"); and rules by spelling. The code has no rules for
particular languages.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from polyfact_dataset.catalog.relation import kind_chain, kind_names
from polyfact_dataset.catalog.subject import Subject
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.validation import validated

FOLDER = Path(__file__).parent / "forms"


class Heads(BaseModel):
    """Nouns in names, by class. `position` is the place of the noun in a name: its first or last word, or the end of a
    name of one word (`suffix`). With `kinds`, only names of these kinds are considered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    position: Literal["first", "last", "suffix"]
    kinds: tuple[str, ...] = ()
    classes: dict[str, tuple[str, ...]]

    def class_of(self, name: str) -> str | None:
        """The class of the noun in a name, or None. Case does not matter. The name may be the noun alone."""
        words = name.casefold().split()
        if not words:
            return None
        if self.position == "suffix" and len(words) > 1:
            return None
        word = words[0] if self.position == "first" else words[-1]
        if self.position != "suffix":
            return self._groups.get(word)
        return next((group for noun, group in self._groups.items() if word.endswith(noun)), None)

    @cached_property
    def _groups(self) -> dict[str, str]:
        """Noun -> its class, the first that lists it."""
        listed: dict[str, str] = {}
        for group, nouns in self.classes.items():
            for noun in nouns:
                listed.setdefault(noun, group)
        return listed


class Rule(BaseModel):
    """The form of names by their spelling: the regular expression `match`, replaced once by `replace`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slot: str
    match: re.Pattern[str]
    replace: str
    kinds: tuple[str, ...] = ()


class Forms(BaseModel):
    """One file of forms.

    `slots` are the places in a sentence that need a form; `names` maps an id to its label and the phrase of each slot.
    `plural` are ids of names that a plural verb follows. `classes` maps the class of a noun to its pattern in each slot
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: tuple[str, ...] = ()
    plural: frozenset[str] = frozenset()
    names: dict[str, tuple[str, ...]] = {}
    # Another spelling of a label (Irão) -> the label in `names` (Irã), for names that differ in nothing else.
    spellings: dict[str, str] = {}
    plural_classes: frozenset[str] = frozenset()
    classes: dict[str, dict[str, str]] = {}
    heads: tuple[Heads, ...] = ()
    rules: tuple[Rule, ...] = ()
    nested_quotes: dict[str, str] = {}
    # Whether a phrase may hold another form of the name than the label ("der Vereinigten Staaten").
    inflected: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Forms:
        for qid, row in self.names.items():
            if not re.fullmatch(r"Q[1-9]\d*", qid) or len(row) != 1 + len(self.slots):
                raise ValueError(f"names.{qid}: needs a label and {len(self.slots)} phrases ({', '.join(self.slots)})")
            if any(not text or text != text.strip() for text in row):
                raise ValueError(f"names.{qid}: a phrase is empty or has leading or trailing spaces")
        _require("spellings", self.spellings.values(), {row[0] for row in self.names.values()}, "the labels in names")
        for name, patterns in self.classes.items():
            if set(patterns) - set(self.slots) or any(text.count("{name}") != 1 for text in patterns.values()):
                raise ValueError(
                    f"classes.{name}: give each slot among {', '.join(self.slots)} at most one pattern with {{name}}"
                )
        kinds = [
            kind for limited in (*[h.kinds for h in self.heads], *[r.kinds for r in self.rules]) for kind in limited
        ]
        classes = [*self.plural_classes, *(group for heads in self.heads for group in heads.classes)]
        _require("plural", self.plural, self.names, "names")
        _require("plural_classes and heads", classes, self.classes, "classes")
        _require("heads and rules", kinds, kind_names(), "the kinds of relations.toml")
        _require("rules", [rule.slot for rule in self.rules], self.slots, "slots")
        return self

    def of(self, subject: Subject, slot: str) -> str | None:
        """The subject's name as it is written in a slot; None where it is not known.

        A name whose label differs from the file's has no form, since the phrase may not fit it.
        """
        if subject.id in self.names:
            phrases = self.phrases(subject.id, subject.label)
            return phrases[self.slots.index(slot)] if phrases else None
        group = self._class_of(subject)
        if group is not None:
            pattern = self.classes[group].get(slot)
            return None if pattern is None else pattern.replace("{name}", subject.label)
        for rule in self._of_kind(subject.kind)[1].get(slot, ()):
            form, count = rule.match.subn(rule.replace, subject.label, count=1)
            if count:
                return form
        return None

    def phrases(self, entity_id: str, label: str) -> tuple[str, ...]:
        """The phrases of a name, in the order of the slots; empty where the file has another label, ignoring case.

        The phrases of a label in another spelling are those of the file with its own spelling.
        """
        row = self.names.get(entity_id, ())
        if row and self.spellings.get(label) == row[0]:
            return tuple(phrase.replace(row[0], label) for phrase in row[1:])
        return row[1:] if row and row[0].casefold() == label.casefold() else ()

    def quoted(self, name: str) -> str:
        """The name as it is written inside quotation marks."""
        return (
            name.translate(str.maketrans(dict[str, str | int | None](self.nested_quotes)))
            if self.nested_quotes
            else name
        )

    def written(self, entity_id: str, label: str) -> Iterator[str]:
        """All forms of a name that may occur in a question: the label, its phrases, its forms by rules."""
        yield label
        yield from self.phrases(entity_id, label)
        yield self.quoted(label)
        for rule in self.rules:
            yield rule.match.sub(rule.replace, label, count=1)

    def number(self, subject: Subject) -> str | None:
        """`plural` or `singular` for a name that the file lists or whose noun it lists, else None."""
        if subject.id in self.names:
            known = not self.differs(subject)
            return ("plural" if subject.id in self.plural else "singular") if known else None
        group = self._class_of(subject)
        return None if group is None else "plural" if group in self.plural_classes else "singular"

    def _class_of(self, subject: Subject) -> str | None:
        """The class of the first listed noun in a name, or None."""
        for heads in self._of_kind(subject.kind)[0]:
            group = heads.class_of(subject.label)
            if group is not None:
                return group
        return None

    def _of_kind(self, kind: str | None) -> tuple[list[Heads], dict[str, list[Rule]]]:
        """The nouns of names of a kind, and their rules by slot; kept, since there are few kinds."""
        if kind not in self._kept:
            chain = kind_chain(kind)
            heads = [one for one in self.heads if not one.kinds or not set(one.kinds).isdisjoint(chain)]
            rules: dict[str, list[Rule]] = {}
            for rule in self.rules:
                if not rule.kinds or not set(rule.kinds).isdisjoint(chain):
                    rules.setdefault(rule.slot, []).append(rule)
            self._kept[kind] = heads, rules
        return self._kept[kind]

    @cached_property
    def _kept(self) -> dict[str | None, tuple[list[Heads], dict[str, list[Rule]]]]:
        return {}

    def differs(self, subject: Subject) -> bool:
        """Whether the file has another label for the subject's id, ignoring case."""
        row = self.names.get(subject.id or "")
        return row is not None and row[0].casefold() not in (
            subject.label.casefold(),
            self.spellings.get(subject.label, "").casefold(),
        )


def _require(where: str, names: Iterable[str], known: Collection[str], what: str) -> None:
    """Raises `ValueError` when one of the names is not among the known ones."""
    unknown = sorted({name for name in names if name not in known})
    if unknown:
        raise ValueError(f"{where}: {', '.join(unknown)} not among {what}")


@cache
def forms(code: str) -> Forms:
    """The forms of a language; empty where it has no file. Raises `ConfigError` naming the file and the entry."""
    path = FOLDER / f"{code}.toml"
    if not path.is_file():
        return Forms()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"forms/{path.name}: {error}") from error
    return validated(Forms, data, f"forms/{path.name}")
