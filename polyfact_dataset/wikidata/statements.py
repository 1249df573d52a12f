"""Statements in the dump: their JSON layout, and which of their values are current.

Current values are those of truthy statements (https://www.mediawiki.org/wiki/Wikibase/Indexing/RDF_Dump_Format) that
have not ended.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

_ITEM_ID = re.compile(r"Q[1-9]\d{0,11}")
# Old dumps write eleven digits of a year; Wikidata's limit is sixteen.
_TIME = re.compile(r"([+-]?\d{1,16})-\d\d-\d\dT", re.ASCII)
_CURRENT_RANKS = ("preferred", "normal")
_PRECISION_YEAR = 9
_MAX_YEAR = 2**31 - 1


class _EntityId(msgspec.Struct, gc=False, rename={"entity_type": "entity-type", "numeric_id": "numeric-id"}):
    id: str | None = None
    entity_type: str | None = None
    numeric_id: int | None = None


class _Value(msgspec.Struct, gc=False):
    value: _EntityId | str | int | float | bool | list[Any] | None = None
    type: str | None = None


class _Snak(msgspec.Struct, gc=False):
    snaktype: str = "value"
    datavalue: _Value | None = None


class _Qualifiers(msgspec.Struct, gc=False):
    P582: list[_Snak] = []


class ItemStatement(msgspec.Struct, gc=False):
    mainsnak: _Snak
    rank: str = "normal"
    qualifiers: _Qualifiers | list[Any] | None = None


class _Time(msgspec.Struct, gc=False):
    # Checked when read: an invalid time must not reject the entity.
    time: Any = None
    precision: Any = None


class _TimeValue(msgspec.Struct, gc=False):
    value: _Time | str | int | float | bool | list[Any] | None = None


class _TimeSnak(msgspec.Struct, gc=False):
    snaktype: str = "value"
    datavalue: _TimeValue | None = None


class TimeStatement(msgspec.Struct, gc=False):
    mainsnak: _TimeSnak
    rank: str = "normal"
    qualifiers: _Qualifiers | list[Any] | None = None


def _object(snak: _Snak) -> str | None:
    """The item id of a value snak, from `id` or, in old dumps, from `numeric-id`; None for anything else."""
    if snak.snaktype != "value" or snak.datavalue is None:
        return None
    value = snak.datavalue.value
    if not isinstance(value, _EntityId):
        return None
    if value.id is not None:
        return value.id if _ITEM_ID.fullmatch(value.id) else None
    if value.numeric_id is not None and value.entity_type in (None, "item") and value.numeric_id > 0:
        return f"Q{value.numeric_id}"
    return None


def _best_rank(statements: Sequence[ItemStatement | TimeStatement]) -> str:
    return "preferred" if any(statement.rank == "preferred" for statement in statements) else "normal"


def current_items(statements: Sequence[ItemStatement]) -> list[str]:
    """The current values of best rank that are items, each once."""
    if len(statements) == 1:
        only = statements[0]
        if only.rank not in _CURRENT_RANKS or _ended(only):
            return []
        qid = _object(only.mainsnak)
        return [] if qid is None else [qid]
    best = _best_rank(statements)
    items = (_object(s.mainsnak) for s in statements if s.rank == best and not _ended(s))
    return list(dict.fromkeys(qid for qid in items if qid))


def earliest_year(statements: Sequence[TimeStatement]) -> int | None:
    """The earliest year among the current values of best rank that are known to the year or better."""
    best = _best_rank(statements)
    years = []
    for statement in statements:
        if statement.rank == best and not _ended(statement) and statement.mainsnak.datavalue is not None:
            value = statement.mainsnak.datavalue.value
            if value.__class__ is _Time and statement.mainsnak.snaktype == "value":
                year = _year_of(value.time, value.precision)
                if year is not None:
                    years.append(year)
    return min(years, default=None)


def _year_of(time: object, precision: object) -> int | None:
    """The year of a time such as `+1952-03-11T00:00:00Z`; None where it is less precise, malformed, or not a year."""
    if not isinstance(time, str) or not isinstance(precision, int) or precision < _PRECISION_YEAR:
        return None
    match = _TIME.match(time)
    year = int(match[1]) if match else 0
    return year if 0 < abs(year) <= _MAX_YEAR else None


def has_value(statements: Sequence[TimeStatement]) -> bool:
    """Whether a current statement of best rank has a value, known or unknown."""
    best = _best_rank(statements)
    return any(s.rank == best and s.mainsnak.snaktype != "novalue" and not _ended(s) for s in statements)


def _ended(statement: ItemStatement | TimeStatement) -> bool:
    """Whether it has an end time; `novalue` means that there is none."""
    qualifiers = statement.qualifiers
    if qualifiers is None or isinstance(qualifiers, list):
        return False
    return any(snak.snaktype != "novalue" for snak in qualifiers.P582)


def add_statements(subject: str, relation: str, statements: Sequence[ItemStatement], columns: list[list[Any]]) -> int:
    """Adds the statements whose value is an item; returns the number of the others."""
    best, others = _best_rank(statements), 0
    for statement in statements:
        value = _object(statement.mainsnak)
        if value is None:
            others += 1
            continue
        row = (subject, relation, value, statement.rank, statement.rank == best, _ended(statement))
        for column, cell in zip(columns, row):
            column.append(cell)
    return others
