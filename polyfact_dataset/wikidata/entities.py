"""From lines of the dump to rows: labels, aliases, titles, types and the statements of the relations.

Only the wanted fields are decoded (msgspec Structs made for the configured languages and relations); all else is
skipped by the parser. The rules are those of `reference/definitions.md`, Truthy statement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa

from polyfact_dataset.records import ENTITIES, QUARANTINE, STATEMENTS

_ITEM_ID = re.compile(r"Q[1-9]\d{0,11}")
_ENTITY_ID = re.compile(r"[QP][1-9]\d{0,11}")
_EXCERPT_CHARACTERS = 200


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


class _Redirect(msgspec.Struct, gc=False, rename={"source": "from"}):
    source: str | None = None


def _attribute(name: str) -> str:
    """A Python attribute for a Wikidata code such as `zh-hans`."""
    return "c_" + name.replace("-", "_")


def _chosen(name: str, keys: Iterable[str], kind: Any) -> Any:
    """A Struct that decodes only `keys` of a JSON object, each optional."""
    fields = [(_attribute(key), kind | None, None) for key in keys]
    return msgspec.defstruct(name, fields, rename={_attribute(key): key for key in keys}, gc=False)


@dataclass(frozen=True)
class Wanted:
    """What to extract: relation ids, Wikidata language codes (with `mul`), and wikis."""

    relations: tuple[str, ...]
    codes: tuple[str, ...]
    wikis: tuple[str, ...]


@dataclass
class Rows:
    """Column buffers of the three tables, filled line by line, in the order of the dump."""

    entities: list[list[Any]] = field(default_factory=lambda: [[] for _ in ENTITIES.columns])
    statements: list[list[Any]] = field(default_factory=lambda: [[] for _ in STATEMENTS.columns])
    quarantine: list[list[Any]] = field(default_factory=lambda: [[] for _ in QUARANTINE.columns])
    lines: int = 0
    lexemes: int = 0

    def tables(self) -> tuple[pa.Table, pa.Table, pa.Table]:
        """Entities, statements and quarantine as Arrow."""
        return tuple(
            pa.table([pa.array(column, f.type) for column, f in zip(columns, table.schema)], schema=table.schema)
            for columns, table in (
                (self.entities, ENTITIES),
                (self.statements, STATEMENTS),
                (self.quarantine, QUARANTINE),
            )
        )

    def reject(self, number: int, reason: str, line: bytes) -> None:
        excerpt = line[: 4 * _EXCERPT_CHARACTERS].decode("utf-8", "replace")[:_EXCERPT_CHARACTERS]
        for column, value in zip(self.quarantine, (number, reason, excerpt)):
            column.append(value)


class Reader:
    """Parses lines into rows. One per process: it holds the decoder made for `wanted`."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        texts = _chosen("Texts", wanted.codes, _Text)
        aliases = _chosen("Aliases", wanted.codes, list[_Text])
        claims = _chosen("Claims", ("P31", *wanted.relations), list[_Statement])
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
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(entity).decode
        self._codes = tuple((code, _attribute(code)) for code in wanted.codes)
        self._relations = tuple((relation, _attribute(relation)) for relation in wanted.relations)

    def read(self, data: bytes, first_line: int, rows: Rows) -> None:
        """Adds the rows of all lines of `data`; broken lines go to the quarantine with their number."""
        for number, line in enumerate(data.split(b"\n"), start=first_line):
            line = line.strip()
            if line.endswith(b","):
                line = line[:-1]
            if not line or line in (b"[", b"]"):
                continue
            rows.lines += 1
            try:
                entity = self._decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                rows.reject(
                    number, f"broken JSON: {error}" if _is_syntax(error) else f"unexpected layout: {error}", line
                )
                continue
            self._add(entity, number, line, rows)

    def _add(self, entity: Any, number: int, line: bytes, rows: Rows) -> None:
        if entity.id is None:
            rows.reject(number, "entity without id", line)
            return
        if entity.type == "lexeme" or entity.id.startswith("L"):
            rows.lexemes += 1
            return
        if not _ENTITY_ID.fullmatch(entity.id):
            rows.reject(number, f"not an item, property or lexeme id: {entity.id[:40]}", line)
            return
        claims = None if isinstance(entity.claims, list) else entity.claims
        redirects = entity.redirects
        values = (
            entity.id,
            "property" if entity.id[0] == "P" else "item",
            None if redirects is None or isinstance(redirects, list) else redirects.source,
            _types(claims),
            len(entity.sitelinks or ()),
            self._texts(entity.labels),
            self._aliases(entity.aliases),
            self._texts(entity.descriptions),
            self._titles(entity.sitelinks),
        )
        for column, value in zip(rows.entities, values):
            column.append(value)
        if claims is not None and entity.id[0] == "Q":
            for relation, attribute in self._relations:
                found = getattr(claims, attribute)
                if found:
                    _statements(entity.id, relation, found, rows.statements)

    def _texts(self, texts: Any) -> list[dict[str, str]]:
        if not texts or isinstance(texts, list):
            return []
        return [
            {"code": code, "text": found.value}
            for code, attribute in self._codes
            if (found := getattr(texts, attribute)) is not None
        ]

    def _aliases(self, aliases: Any) -> list[dict[str, str]]:
        if not aliases or isinstance(aliases, list):
            return []
        return [
            {"code": code, "text": alias.value}
            for code, attribute in self._codes
            for alias in getattr(aliases, attribute) or ()
        ]

    def _titles(self, sitelinks: Any) -> list[dict[str, str]]:
        if not isinstance(sitelinks, dict):
            return []
        return [
            {"code": wiki, "text": found.title}
            for wiki in self.wanted.wikis
            if (found := sitelinks.get(wiki)) is not None and found.title
        ]


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


def _best_rank(statements: Sequence[_Statement]) -> str:
    return "preferred" if any(statement.rank == "preferred" for statement in statements) else "normal"


def _types(claims: Any) -> list[str]:
    statements = getattr(claims, _attribute("P31")) if claims is not None else None
    if not statements:
        return []
    best = _best_rank(statements)
    found = (_object(s.mainsnak) for s in statements if s.rank == best and not _ended(s))
    return list(dict.fromkeys(qid for qid in found if qid))


def _ended(statement: _Statement) -> bool:
    """Has an end time; `novalue` says that there is none."""
    qualifiers = statement.qualifiers
    if qualifiers is None or isinstance(qualifiers, list):
        return False
    return any(snak.snaktype != "novalue" for snak in qualifiers.P582)


def _statements(subject: str, relation: str, found: Sequence[_Statement], columns: list[list[Any]]) -> None:
    best = _best_rank(found)
    for statement in found:
        value = _object(statement.mainsnak)
        if value is None:
            continue
        row = (subject, relation, value, statement.rank, statement.rank == best, _ended(statement))
        for column, cell in zip(columns, row):
            column.append(cell)
