"""From lines of the dump to rows: labels, aliases, titles, types and the statements of the relations.

Only the wanted fields are decoded (msgspec Structs made for the configured languages and relations); all else is
skipped by the parser. The rules are those of `reference/definitions.md`, Truthy statement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec.structs import astuple

from polyfact_dataset.schema import ENTITIES, QUARANTINE, STATEMENTS, TEXT

_ITEM_ID = re.compile(r"Q[1-9]\d{0,11}")
_ENTITY_ID = re.compile(r"[QP][1-9]\d{0,11}")
_EXCERPT_CHARACTERS = 200
_COMMA, _BRACE = b",}"
# Columns of `ENTITIES` from statements: lists of items, and years.
ITEM_LISTS = {
    "sexes": "P21",
    "occupations": "P106",
    "located_in": "P131",
    "subclass_of": "P279",
    "part_of": "P361",
    "countries": "P17",
    "continents": "P30",
    "citizenships": "P27",
}
YEARS = {"birth_year": "P569", "death_year": "P570", "inception_year": "P571", "publication_year": "P577"}
# All properties that become columns of entities.
PROPERTIES = ("P31", *ITEM_LISTS.values(), *YEARS.values())
_DEATH_PLACE = list(YEARS).index("death_year")
# Old dumps write eleven digits of a year; Wikidata's own limit is sixteen.
_TIME = re.compile(r"([+-]?\d{1,16})-\d\d-\d\dT", re.ASCII)
_CURRENT_RANKS = ("preferred", "normal")
_PRECISION_YEAR = 9
_MAX_YEAR = 2**31 - 1


class _Text(msgspec.Struct, gc=False):
    value: str


class _Title(msgspec.Struct, gc=False):
    title: str | None = None


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


class _Statement(msgspec.Struct, gc=False):
    mainsnak: _Snak
    rank: str = "normal"
    qualifiers: _Qualifiers | list[Any] | None = None


class _Time(msgspec.Struct, gc=False):
    # Checked when read: an odd time must not cost the entity.
    time: Any = None
    precision: Any = None


class _TimeValue(msgspec.Struct, gc=False):
    value: _Time | str | int | float | bool | list[Any] | None = None


class _TimeSnak(msgspec.Struct, gc=False):
    snaktype: str = "value"
    datavalue: _TimeValue | None = None


class _TimeStatement(msgspec.Struct, gc=False):
    mainsnak: _TimeSnak
    rank: str = "normal"
    qualifiers: _Qualifiers | list[Any] | None = None


class _Redirect(msgspec.Struct, gc=False, rename={"source": "from"}):
    source: str | None = None


def _attribute(name: str) -> str:
    """A Python attribute for a Wikidata code such as `zh-hans`."""
    return "c_" + name.replace("-", "_")


def _chosen(name: str, kinds: Mapping[str, Any]) -> Any:
    """A Struct that decodes only the keys of `kinds` of a JSON object, each optional and of its type."""
    fields = [(_attribute(key), kind | None, None) for key, kind in kinds.items()]
    return msgspec.defstruct(name, fields, rename={_attribute(key): key for key in kinds}, gc=False)


@dataclass(frozen=True)
class Wanted:
    """What to extract: relation ids, Wikidata language codes (with `mul`), and wikis."""

    relations: tuple[str, ...]
    codes: tuple[str, ...]
    wikis: tuple[str, ...]


class _Texts:
    """A column of `records.TEXTS` under construction: flat values and where each row ends."""

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.texts: list[str] = []
        self.ends: list[int] = [0]

    def close_row(self) -> None:
        self.ends.append(len(self.codes))

    def array(self) -> pa.ListArray:
        """The column as Arrow."""
        columns = [pa.array(self.codes, pa.string()), pa.array(self.texts, pa.string())]
        structs = pa.StructArray.from_arrays(columns, fields=list(TEXT))
        return pa.ListArray.from_arrays(pa.array(self.ends, pa.int32()), structs)


class _Sparse:
    """A column that most entities lack: values, and the rows that they belong to."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.values: list[Any] = []

    def lists(self, rows: int) -> pa.ListArray:
        """Per row the list of its values. Values are sorted by row."""
        ends = np.zeros(rows + 1, np.int32)
        np.cumsum(np.bincount(np.array(self.rows, np.int64), minlength=rows), out=ends[1:])
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(self.values, pa.string()))

    def years(self, rows: int) -> pa.Array:
        """Per row its value, or null."""
        years, known = np.zeros(rows, np.int32), np.zeros(rows, bool)
        years[self.rows], known[self.rows] = self.values, True
        return pa.array(years, mask=~known)


class Rows:
    """Column buffers of the three tables, filled line by line, in the order of the dump.

    Texts are kept flat: building a Python object per label, and Arrow from those, would take longer than parsing.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.redirected: list[str | None] = []
        self.types: list[str] = []
        self.type_ends: list[int] = [0]
        self.sitelinks: list[int] = []
        self.labels, self.aliases, self.descriptions, self.titles = _Texts(), _Texts(), _Texts(), _Texts()
        self.lists = [_Sparse() for _ in ITEM_LISTS]
        self.years = [_Sparse() for _ in YEARS]
        self.dead: list[int] = []
        self.statements: list[list[Any]] = [[] for _ in STATEMENTS.columns]
        self.quarantine: list[list[Any]] = [[] for _ in QUARANTINE.columns]
        self.lines = 0
        self.lexemes = 0
        # Statements of the relations whose value is unknown, none, or no item.
        self.without_item = 0
        # The first and the last line of an array.
        self.opened = 0
        self.closed = 0

    @property
    def broken(self) -> int:
        """The number of quarantined lines."""
        return len(self.quarantine[0])

    def tables(self) -> tuple[pa.Table, pa.Table, pa.Table]:
        """Entities, statements and quarantine as Arrow."""
        kinds = ["property" if qid[0] == "P" else "item" for qid in self.ids]
        dead = np.zeros(len(self.ids), bool)
        dead[self.dead] = True
        types = pa.ListArray.from_arrays(pa.array(self.type_ends, pa.int32()), pa.array(self.types, pa.string()))
        columns = [
            pa.array(self.ids, pa.string()),
            pa.array(kinds, pa.string()),
            pa.array(self.redirected, pa.string()),
            types,
            pa.array(self.sitelinks, pa.int32()),
            *(texts.array() for texts in (self.labels, self.aliases, self.descriptions, self.titles)),
            *(column.lists(len(self.ids)) for column in self.lists),
            *(column.years(len(self.ids)) for column in self.years),
            pa.array(dead),
        ]
        statements, quarantine = (
            pa.table([pa.array(column, f.type) for column, f in zip(columns, table.schema)], schema=table.schema)
            for columns, table in ((self.statements, STATEMENTS), (self.quarantine, QUARANTINE))
        )
        return pa.table(columns, schema=ENTITIES.schema), statements, quarantine

    def reject(self, number: int, reason: str, line: bytes | memoryview) -> None:
        """Quarantines a line with its number and reason."""
        excerpt = bytes(line[: 4 * _EXCERPT_CHARACTERS]).decode("utf-8", "replace")[:_EXCERPT_CHARACTERS]
        for column, value in zip(self.quarantine, (number, reason, excerpt)):
            column.append(value)


class Reader:
    """Parses lines into rows. One per process: it holds the decoder made for `wanted`."""

    def __init__(self, wanted: Wanted, max_line_bytes: int = 1 << 27) -> None:
        self.wanted, self._max_line_bytes = wanted, max_line_bytes
        texts = _chosen("Texts", dict.fromkeys(wanted.codes, _Text))
        aliases = _chosen("Aliases", dict.fromkeys(wanted.codes, list[_Text]))
        item_claims = tuple(dict.fromkeys(("P31", *wanted.relations, *ITEM_LISTS.values())))
        claims = _chosen(
            "Claims",
            dict.fromkeys(item_claims, list[_Statement]) | dict.fromkeys(YEARS.values(), list[_TimeStatement]),
        )
        self._lists = tuple(item_claims.index(relation) for relation in ITEM_LISTS.values())
        anything = list[Any] | None
        entity = msgspec.defstruct(
            "Entity",
            [
                ("id", str | None, None),
                ("type", str | None, None),
                ("redirects", _Redirect | anything, None),
                ("labels", texts | anything, None),
                ("aliases", aliases | anything, None),
                ("descriptions", texts | anything, None),
                ("claims", claims | anything, None),
                ("sitelinks", dict[str, _Title] | anything, None),
            ],
            gc=False,
        )
        self._decode: Callable[[memoryview], Any] = msgspec.json.Decoder(entity).decode

    def read(self, data: bytes, first_line: int, rows: Rows, start: int = 0, stop: int | None = None) -> int:
        """Adds the rows of all lines of `data[start:stop]`; broken lines go to the quarantine with their number.

        Returns the number of the line that follows. Lines are decoded where they lie: copying each would take as long
        as a third of parsing it.
        """
        view, number, size = memoryview(data), first_line, len(data) if stop is None else stop
        find = data.find
        while start < size:
            end = find(b"\n", start, size)
            stop = size if end < 0 else end
            # Each line of the official layout ends in `},`; anything else is looked at with care.
            last = stop - 1 if stop > start and view[stop - 1] == _COMMA else stop
            if last > start and view[last - 1] == _BRACE:
                self._read_line(view[start:last], number, rows)
            else:
                line = bytes(view[start:stop]).strip()
                line = line[:-1] if line.endswith(b",") else line
                if line == b"[":
                    rows.opened += 1
                elif line == b"]":
                    rows.closed += 1
                elif line:
                    self._read_line(memoryview(line), number, rows)
            start, number = stop + 1, number + 1
        return number

    def _read_line(self, line: memoryview, number: int, rows: Rows) -> None:
        rows.lines += 1
        if len(line) > self._max_line_bytes:
            rows.reject(number, "line longer than max_line_bytes", line)
            return
        try:
            entity = self._decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            kind = "broken JSON" if _is_syntax(error) else "unexpected layout"
            rows.reject(number, f"{kind}: {error}", line)
            return
        self._add(entity, number, line, rows)

    def _add(self, entity: Any, number: int, line: memoryview, rows: Rows) -> None:
        qid = entity.id
        if qid is None:
            rows.reject(number, "entity without id", line)
            return
        if entity.type == "lexeme" or qid.startswith("L"):
            rows.lexemes += 1
            return
        if not _ENTITY_ID.fullmatch(qid):
            rows.reject(number, f"not an item, property or lexeme id: {qid[:40]}", line)
            return
        redirects = entity.redirects
        rows.ids.append(qid)
        rows.redirected.append(None if redirects is None or redirects.__class__ is list else redirects.source)
        codes = self.wanted.codes
        _add_texts(codes, entity.labels, rows.labels)
        _add_texts(codes, entity.descriptions, rows.descriptions)
        _add_aliases(codes, entity.aliases, rows.aliases)
        self._add_titles(entity.sitelinks, rows)
        claims = entity.claims
        if claims is not None and claims.__class__ is not list:
            values = astuple(claims)
            if values[0]:
                rows.types += _current(values[0])
            if qid[0] == "Q":
                # `values` goes on behind the relations: with the other lists, and the years.
                for relation, found in zip(self.wanted.relations, values[1:]):
                    if found:
                        rows.without_item += _add_statements(qid, relation, found, rows.statements)
            self._add_features(values, rows)
        rows.type_ends.append(len(rows.types))

    def _add_features(self, values: tuple[Any, ...], rows: Rows) -> None:
        row = len(rows.ids) - 1
        for place, column in zip(self._lists, rows.lists):
            if values[place]:
                found = _current(values[place])
                column.values += found
                column.rows += [row] * len(found)
        for statements, column in zip(values[-len(YEARS) :], rows.years):
            if statements:
                year = _year(statements)
                if year is not None:
                    column.values.append(year)
                    column.rows.append(row)
        deaths = values[_DEATH_PLACE - len(YEARS)]
        if deaths and _has_value(deaths):
            rows.dead.append(row)

    def _add_titles(self, sitelinks: Any, rows: Rows) -> None:
        rows.sitelinks.append(len(sitelinks) if sitelinks else 0)
        if sitelinks and sitelinks.__class__ is dict:
            titles = rows.titles
            for wiki in self.wanted.wikis:
                found = sitelinks.get(wiki)
                if found is not None and found.title:
                    titles.codes.append(wiki)
                    titles.texts.append(found.title)
        rows.titles.close_row()


def _add_texts(codes: Sequence[str], texts: Any, column: _Texts) -> None:
    """Labels or descriptions of one entity: a Struct with a field per wanted code, or what PHP writes for none."""
    if texts is not None and texts.__class__ is not list:
        for code, found in zip(codes, astuple(texts)):
            if found is not None:
                column.codes.append(code)
                column.texts.append(found.value)
    column.close_row()


def _add_aliases(codes: Sequence[str], aliases: Any, column: _Texts) -> None:
    if aliases is not None and aliases.__class__ is not list:
        for code, found in zip(codes, astuple(aliases)):
            if found:
                for alias in found:
                    column.codes.append(code)
                    column.texts.append(alias.value)
    column.close_row()


def _is_syntax(error: Exception) -> bool:
    return not isinstance(error, msgspec.ValidationError)


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


def _best_rank(statements: Sequence[_Statement | _TimeStatement]) -> str:
    return "preferred" if any(statement.rank == "preferred" for statement in statements) else "normal"


def _current(statements: Sequence[_Statement]) -> list[str]:
    """The current values of best rank that are items, each once."""
    if len(statements) == 1:
        only = statements[0]
        if only.rank not in _CURRENT_RANKS or _ended(only):
            return []
        qid = _object(only.mainsnak)
        return [] if qid is None else [qid]
    best = _best_rank(statements)
    found = (_object(s.mainsnak) for s in statements if s.rank == best and not _ended(s))
    return list(dict.fromkeys(qid for qid in found if qid))


def _year(statements: Sequence[_TimeStatement]) -> int | None:
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
    """The year of a time such as `+1952-03-11T00:00:00Z`; None where it is vaguer, malformed, or no year at all."""
    if not isinstance(time, str) or not isinstance(precision, int) or precision < _PRECISION_YEAR:
        return None
    found = _TIME.match(time)
    year = int(found[1]) if found else 0
    return year if 0 < abs(year) <= _MAX_YEAR else None


def _has_value(statements: Sequence[_TimeStatement]) -> bool:
    """Whether a current statement of best rank says that there is a value, known or not."""
    best = _best_rank(statements)
    return any(s.rank == best and s.mainsnak.snaktype != "novalue" and not _ended(s) for s in statements)


def _ended(statement: _Statement | _TimeStatement) -> bool:
    """Has an end time; `novalue` says that there is none."""
    qualifiers = statement.qualifiers
    if qualifiers is None or isinstance(qualifiers, list):
        return False
    return any(snak.snaktype != "novalue" for snak in qualifiers.P582)


def _add_statements(subject: str, relation: str, found: Sequence[_Statement], columns: list[list[Any]]) -> int:
    """Adds the statements whose value is an item; returns the number of the others."""
    best, others = _best_rank(found), 0
    for statement in found:
        value = _object(statement.mainsnak)
        if value is None:
            others += 1
            continue
        row = (subject, relation, value, statement.rank, statement.rank == best, _ended(statement))
        for column, cell in zip(columns, row):
            column.append(cell)
    return others
