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
# The kind whose subjects have a sex and are living or dead.
PERSON = "person"
# The P31 of every person.
HUMAN = "Q5"
# The class of labels that are proper names, whatever else the entity is.
PROPER = "proper"


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
    # A symmetric relation: if (a, b) holds, so does (b, a), and neither may be a distractor of the other.
    symmetric: bool = False
    # The question covers the past ("has employed"): a statement that has ended is still an answer.
    past: bool = False
    # The question is about the present: not asked about a subject that no longer exists (`is_ended`).
    present: bool = False
    # The classes of its answers (`answer_classes`).
    answers: tuple[str, ...] = ()
    # Classes of answers that are rejected even where an answer is of an expected class as well.
    refused: tuple[str, ...] = ()
    # Answers that are of no class at all are rejected as well.
    answers_known: bool = False
    # Answers may be true together though Wikidata has one of them: what is animation is an animated film.
    overlapping: bool = False
    # Subject and answer lie near each other: answers far apart are not asked together if that can be avoided.
    near: bool = False
    # What is true of the subject's country may be true of the subject.
    of_country: bool = False
    # Whether a short description may distinguish two subjects: not where it contains the relation's answer.
    descriptions: bool = True
    # The end of a fact that is usually a person.
    people: Literal["subjects", "answers"] | None = None
    # The kind of subjects whose types have no kind with a wording for the relation.
    subjects: str | None = None
    # Subjects of no kind are not asked about: here Wikidata states the relation of things of all sorts.
    kind_known: bool = False


class Kind(BaseModel):
    """One kind of subject: its P31 types and, for a kind of person, P106 occupations. `within` is the wider kind.

    A `heading` only collects kinds: facts of different kinds within it are never each other's options.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    within: str | None = None
    types: frozenset[str] = frozenset()
    occupations: frozenset[str] = frozenset()
    heading: bool = False


class Ended(BaseModel):
    """The P31 types of entities that no longer exist; one that also has a type of `unless` still exists."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: tuple[str, ...]
    unless: tuple[str, ...] = ()


@dataclass(frozen=True)
class _File:
    relations: dict[str, Relation]
    kinds: dict[str, Kind]
    answer_classes: dict[str, tuple[str, ...]]
    label_classes: dict[str, tuple[str, ...]]
    ended: Ended


@cache
def _file() -> _File:
    try:
        data = tomllib.loads(PATH.read_text(encoding="utf-8"))
        relations = {key: Relation(id=key, **entry) for key, entry in data["relations"].items()}
        kinds = {key: Kind(**entry) for key, entry in data["kinds"].items()}
        classes = {name: tuple(types) for name, types in data["answer_classes"].items()}
        label_classes = {name: tuple(types) for name, types in data["label_classes"].items()}
        ended = Ended(**data["ended"])
    except (tomllib.TOMLDecodeError, ValidationError, KeyError, TypeError) as error:
        raise ConfigError(f"{PATH.name}: {error}") from error
    order = {name: position for position, name in enumerate(kinds)}
    for name, kind in kinds.items():
        if kind.within is not None and order.get(kind.within, -1) < order[name]:
            raise ConfigError(f"{PATH.name}: kinds.{name}: within {kind.within!r} must be a kind that comes later")
    for relation in relations.values():
        if relation.subjects is not None and relation.subjects not in kinds:
            raise ConfigError(f"{PATH.name}: relations.{relation.id}: subjects {relation.subjects!r} is not a kind")
        if unknown := [name for name in (*relation.answers, *relation.refused) if name not in classes]:
            raise ConfigError(f"{PATH.name}: {relation.id}: answers: [answer_classes] lacks {', '.join(unknown)}")
    return _File(relations, kinds, classes, label_classes, ended)


def all_relations() -> dict[str, Relation]:
    """Property id -> relation, in the order of the file."""
    return _file().relations


def kind_names() -> tuple[str, ...]:
    """The kinds of subject for which a language file may have wordings."""
    return tuple(_file().kinds)


def answer_classes() -> dict[str, tuple[str, ...]]:
    """Class of answers -> the types (P31) that belong to it."""
    return _file().answer_classes


def ended() -> Ended:
    """The types of entities that no longer exist."""
    return _file().ended


def is_ended(types: Iterable[str]) -> bool:
    """Whether an entity with these P31 types no longer exists."""
    listed = set(types)
    return not listed.isdisjoint(ended().types) and listed.isdisjoint(ended().unless)


def label_classes() -> tuple[str, ...]:
    """The classes of labels for which a language file may have a spelling."""
    return tuple(name for name in _file().label_classes if name != PROPER)


def label_class(types: Iterable[str]) -> str | None:
    """The first class of the file that one of an entity's P31 types belongs to; None also for proper names."""
    present = set(types)
    first = next((name for name, listed in _file().label_classes.items() if not present.isdisjoint(listed)), PROPER)
    return None if first == PROPER else first


@cache
def kind_chain(kind: str | None) -> tuple[str, ...]:
    """A kind and its wider kinds, the widest last; empty for None."""
    kinds, chain = _file().kinds, []
    while kind is not None:
        chain.append(kind)
        kind = kinds[kind].within
    return tuple(chain)


def is_heading(kind: str) -> bool:
    """Whether the kinds within a kind are too unlike for their facts to be each other's options."""
    return _file().kinds[kind].heading


@cache
def _kinds_by_type() -> dict[str, tuple[str, ...]]:
    """P31 type -> the kinds that list it, in the order of the file."""
    by_type: dict[str, tuple[str, ...]] = {}
    for name, kind in _file().kinds.items():
        for type_id in kind.types:
            by_type[type_id] = (*by_type.get(type_id, ()), name)
    return by_type


def kind_of(types: Iterable[str], occupations: Iterable[str] = ()) -> str | None:
    """The first kind of the file that one of the subject's P31 types belongs to, or None.

    A kind with occupations needs one of the subject's `occupations` (P106) as well.
    """
    kinds, by_type, occupation_ids = _file().kinds, _kinds_by_type(), set(occupations)
    matching = {name for type_id in types for name in by_type.get(type_id, ())}
    return next(
        (
            name
            for name, kind in kinds.items()
            if name in matching and (not kind.occupations or not occupation_ids.isdisjoint(kind.occupations))
        ),
        None,
    )


def widest_kind(types: Iterable[str]) -> str | None:
    """The widest kind of a subject with these P31 types, or None."""
    chain = kind_chain(kind_of(types))
    return chain[-1] if chain else None
