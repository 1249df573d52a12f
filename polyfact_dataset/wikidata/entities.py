"""From lines of the dump to rows: labels, aliases, titles, types and the statements of the relations.

Only the chosen fields are decoded (msgspec Structs for the configured languages and relations); the parser
skips all others.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import astuple

from polyfact_dataset.wikidata.columns import ITEM_LISTS, YEARS, Rows, TextColumn
from polyfact_dataset.wikidata.repair import repaired
from polyfact_dataset.wikidata.statements import (
    ItemStatement,
    TimeStatement,
    add_statements,
    current_items,
    earliest_year,
    has_value,
)

_ENTITY_ID = re.compile(r"[QP][1-9]\d{0,11}")
_COMMA, _BRACE = b",}"
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
# All properties that become columns of entities.
PROPERTIES = ("P31", *ITEM_LISTS.values(), *YEARS.values())
_DEATH_PLACE = list(YEARS).index("death_year")


class _Text(msgspec.Struct, gc=False):
    value: str


class _Title(msgspec.Struct, gc=False):
    title: str | None = None


class _Redirect(msgspec.Struct, gc=False, rename={"source": "from"}):
    source: str | None = None


def _attribute(name: str) -> str:
    """A Python attribute for a Wikidata code such as `zh-hans`."""
    return "c_" + name.replace("-", "_")


def _chosen(name: str, kinds: Mapping[str, Any]) -> Any:
    """A Struct that decodes only the keys of `kinds` of a JSON object, each optional and of its type."""
    columns = [(_attribute(key), kind | None, None) for key, kind in kinds.items()]
    return msgspec.defstruct(name, columns, rename={_attribute(key): key for key in kinds}, gc=False)


@dataclass(frozen=True)
class ExtractFields:
    """What to extract: relation ids, Wikidata language codes (with `mul`), and wikis."""

    relations: tuple[str, ...]
    codes: tuple[str, ...]
    wikis: tuple[str, ...]


class Reader:
    """Parses lines into rows. One per process, with the decoder for `fields`."""

    def __init__(self, fields: ExtractFields, max_line_bytes: int = 1 << 27) -> None:
        self.fields, self._max_line_bytes = fields, max_line_bytes
        texts = _chosen("Texts", dict.fromkeys(fields.codes, _Text))
        aliases = _chosen("Aliases", dict.fromkeys(fields.codes, list[_Text]))
        item_claims = tuple(dict.fromkeys(("P31", *fields.relations, *ITEM_LISTS.values())))
        claims = _chosen(
            "Claims",
            dict.fromkeys(item_claims, list[ItemStatement]) | dict.fromkeys(YEARS.values(), list[TimeStatement]),
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

        Returns the number of the line that follows. Lines are decoded in place: copying them would take a third of
        the parsing time.
        """
        view, number, size = memoryview(data), first_line, len(data) if stop is None else stop
        find = data.find
        if data.startswith(codecs.BOM_UTF8, start):
            start += len(codecs.BOM_UTF8)
        while start < size:
            end = find(b"\n", start, size)
            stop = size if end < 0 else end
            # Each line of the official layout ends in `},`; other lines take the slow path.
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
        except _UNREADABLE as error:
            entity = self._without_bad_values(line)
            if entity is None:
                kind = "broken JSON" if _is_syntax(error) else "unexpected layout"
                rows.reject(number, f"{kind}: {error}", line)
                return
        self._add(entity, number, line, rows)

    def _without_bad_values(self, line: memoryview) -> Any:
        text = repaired(bytes(line))
        try:
            return None if text is None else self._decode(memoryview(text))
        except _UNREADABLE:
            return None

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
        codes = self.fields.codes
        _add_texts(codes, entity.labels, rows.labels)
        _add_texts(codes, entity.descriptions, rows.descriptions)
        _add_aliases(codes, entity.aliases, rows.aliases)
        self._add_titles(entity.sitelinks, rows)
        claims = entity.claims
        if claims is not None and claims.__class__ is not list:
            values = astuple(claims)
            if values[0]:
                rows.types += current_items(values[0])
            if qid[0] == "Q":
                # After the relations, `values` contains the other lists and the years.
                for relation, statements in zip(self.fields.relations, values[1:]):
                    if statements:
                        rows.without_item += add_statements(qid, relation, statements, rows.statements)
            self._add_features(values, rows)
        rows.type_ends.append(len(rows.types))

    def _add_features(self, values: tuple[Any, ...], rows: Rows) -> None:
        row = len(rows.ids) - 1
        for index, column in zip(self._lists, rows.lists):
            if values[index]:
                items = current_items(values[index])
                column.values += items
                column.rows += [row] * len(items)
        for statements, column in zip(values[-len(YEARS) :], rows.years):
            if statements:
                year = earliest_year(statements)
                if year is not None:
                    column.values.append(year)
                    column.rows.append(row)
        deaths = values[_DEATH_PLACE - len(YEARS)]
        if deaths and has_value(deaths):
            rows.dead.append(row)

    def _add_titles(self, sitelinks: Any, rows: Rows) -> None:
        rows.sitelinks.append(len(sitelinks) if sitelinks else 0)
        if sitelinks and sitelinks.__class__ is dict:
            titles = rows.titles
            for wiki in self.fields.wikis:
                sitelink = sitelinks.get(wiki)
                if sitelink is not None and sitelink.title:
                    titles.codes.append(wiki)
                    titles.texts.append(sitelink.title)
        rows.titles.close_row()


def _add_texts(codes: Sequence[str], texts: Any, column: TextColumn) -> None:
    """Labels or descriptions of one entity: a Struct with a field per code, or the empty list that PHP writes."""
    if texts is not None and texts.__class__ is not list:
        for code, text in zip(codes, astuple(texts)):
            if text is not None:
                column.codes.append(code)
                column.texts.append(text.value)
    column.close_row()


def _add_aliases(codes: Sequence[str], aliases: Any, column: TextColumn) -> None:
    if aliases is not None and aliases.__class__ is not list:
        for code, listed in zip(codes, astuple(aliases)):
            if listed:
                for alias in listed:
                    column.codes.append(code)
                    column.texts.append(alias.value)
    column.close_row()


def _is_syntax(error: Exception) -> bool:
    return not isinstance(error, msgspec.ValidationError)
