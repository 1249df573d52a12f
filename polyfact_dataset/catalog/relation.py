"""The relations and the kinds of subject: `relations.toml`, read and checked once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polyfact_dataset.common.errors import ConfigError

PATH = Path(__file__).parent / "relations.toml"


class Relation(BaseModel):
    """One relation. `ambiguity` is the share judged ambiguous or incorrect over `judged` items (paper, Table 7)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^P[1-9]\d*$")
    label: str
    domain: Literal["geography", "biography", "works", "organisations"]
    values: Literal["single", "multi"]
    noun: Literal["proper", "common"] = "proper"
    ambiguity: float | None = Field(default=None, ge=0, le=1)
    judged: int = Field(default=0, ge=0)
    # What is true of (a, b) is true of (b, a): neither may be a distractor of the other.
    symmetric: bool = False
    # Asked about the past as well ("has employed"): a statement that has ended is still an answer.
    past: bool = False
    # The classes of its answers (`answer_classes`).
    answers: tuple[str, ...] = ()
    # Whether a short description may tell two subjects apart: not where it says what the relation asks for.
    descriptions: bool = True
    # Which end of a fact is a person, as a rule.
    people: Literal["subjects", "answers"] | None = None


@dataclass(frozen=True)
class _File:
    relations: dict[str, Relation]
    kinds: dict[str, tuple[str, ...]]
    answer_classes: dict[str, tuple[str, ...]]


@cache
def _file() -> _File:
    try:
        data = tomllib.loads(PATH.read_text(encoding="utf-8"))
        relations = {key: Relation(id=key, **entry) for key, entry in data["relations"].items()}
        kinds = {kind: tuple(types) for kind, types in data["kinds"].items()}
        classes = {name: tuple(types) for name, types in data["answer_classes"].items()}
    except (tomllib.TOMLDecodeError, ValidationError, KeyError, TypeError) as error:
        raise ConfigError(f"{PATH.name}: {error}") from error
    for relation in relations.values():
        if unknown := [name for name in relation.answers if name not in classes]:
            raise ConfigError(f"{PATH.name}: {relation.id}: answers: [answer_classes] lacks {', '.join(unknown)}")
    return _File(relations, kinds, classes)


def all_relations() -> dict[str, Relation]:
    """Property id -> relation, in the order of the file."""
    return _file().relations


def kind_names() -> tuple[str, ...]:
    """The kinds of subject that a language file may word a question for."""
    return tuple(_file().kinds)


def kind_of(types: Iterable[str]) -> str | None:
    """The first kind of the file that one of the subject's P31 types belongs to, or None."""
    own = set(types)
    return next((kind for kind, members in _file().kinds.items() if own.intersection(members)), None)


def answer_classes() -> dict[str, tuple[str, ...]]:
    """Class of answers -> the types (P31) that belong to it."""
    return _file().answer_classes
