"""Columns of the extracted tables under construction, filled line by line in the order of the dump."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from polyfact_dataset.schema import ENTITIES, QUARANTINE, STATEMENTS, TEXT

_EXCERPT_CHARACTERS = 200
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


class TextColumn:
    """A column of `schema.TEXTS` under construction: flat values and where each row ends."""

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


class SparseColumn:
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
        self.labels, self.aliases, self.descriptions, self.titles = (
            TextColumn(),
            TextColumn(),
            TextColumn(),
            TextColumn(),
        )
        self.lists = [SparseColumn() for _ in ITEM_LISTS]
        self.years = [SparseColumn() for _ in YEARS]
        self.dead: list[int] = []
        self.statements: list[list[Any]] = [[] for _ in STATEMENTS.columns]
        self.quarantine: list[list[Any]] = [[] for _ in QUARANTINE.columns]
        self.lines = 0
        self.lexemes = 0
        # Statements of the relations whose value is unknown, missing, or not an item.
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
