"""The tables the bundled sample dump is made from, and their form.

`tables/entities_*.tsv` hold one Wikidata item per line with its labels in the 12 languages;
`tables/statements_*.tsv` hold one statement per line. All are tab separated, without quoting.
`written_labels.tsv` holds the labels that we wrote in the 12 languages, `labels/<code>.tsv` those in a further one.
The `note` of a statement repeats the English labels of both ends, so that a mistyped id is caught here.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from polyfact_dataset.common.errors import DataError

TABLES = Path(__file__).parent / "tables"
WRITTEN = TABLES.with_name("written_labels.tsv")
FURTHER = TABLES.with_name("labels")
LANGUAGES = ("en", "de", "id", "pt", "ar", "bn", "sw", "es", "ru", "fr", "ja", "zh")
ENTITY_COLUMNS = ("qid", "p31", *LANGUAGES, "enwiki", "aliases")
PERSON_COLUMNS = ("qid", "sex", "born", "died", "note")
STATEMENT_COLUMNS = ("subject", "property", "object", "rank", "end", "note")


@dataclass(frozen=True)
class Entity:
    """One item of the tables. `aliases` maps a language code to its other names."""

    qid: str
    types: tuple[str, ...]
    labels: dict[str, str]
    enwiki: str
    aliases: dict[str, tuple[str, ...]]
    where: str


@dataclass(frozen=True)
class Person:
    """Sex and years of a person; a year is empty where it is unknown or only estimated, negative before year 1."""

    qid: str
    sex: str
    born: str
    died: str
    note: str
    where: str


@dataclass(frozen=True)
class Statement:
    """One statement of the tables; `end` is the year in which it ceased to hold, or empty."""

    subject: str
    property: str
    object: str
    rank: str
    end: str
    note: str
    where: str


@dataclass(frozen=True)
class WrittenLabel:
    """A label in a further language, empty where it is not written yet; `english` repeats the English label."""

    text: str
    english: str
    where: str


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[str, dict[str, str]]]:
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        header = next(reader, None)
        if header is None or tuple(header) != columns:
            raise DataError(f"{path.name}:1: the header must be {' '.join(columns)}")
        rows = []
        for number, row in enumerate(reader, start=2):
            where = f"{path.name}:{number}"
            if not row or row[0].startswith("#"):
                continue
            if len(row) > len(columns):
                raise DataError(f"{where}: {len(row)} columns instead of {len(columns)}")
            row += [""] * (len(columns) - len(row))
            rows.append((where, dict(zip(columns, (cell.strip() for cell in row)))))
        return rows


def _aliases(cell: str, where: str) -> dict[str, tuple[str, ...]]:
    names: dict[str, list[str]] = {}
    for part in filter(None, cell.split("|")):
        code, colon, name = part.partition(":")
        if not colon or code not in LANGUAGES or not name:
            raise DataError(f"{where}: alias {part!r} is not of the form en:Name")
        names.setdefault(code, []).append(name)
    return {code: tuple(values) for code, values in names.items()}


def load_entities(folder: Path = TABLES) -> list[Entity]:
    """All items of `folder`, by file name and line. Raises `DataError` on a malformed line."""
    return [
        Entity(
            qid=row["qid"],
            types=tuple(filter(None, row["p31"].replace(" ", "").split(","))),
            labels={code: row[code] for code in LANGUAGES if row[code]},
            enwiki=row["enwiki"],
            aliases=_aliases(row["aliases"], where),
            where=where,
        )
        for path in sorted(folder.glob("entities_*.tsv"))
        for where, row in _rows(path, ENTITY_COLUMNS)
    ]


def load_labels(path: Path = WRITTEN) -> dict[str, dict[str, str]]:
    """Id -> language -> label that we wrote, of `written_labels.tsv`."""
    return {
        row["qid"]: {code: row[code] for code in LANGUAGES if row[code]} for _, row in _rows(path, ("qid", *LANGUAGES))
    }


def further_languages(folder: Path = FURTHER) -> tuple[str, ...]:
    """The codes of the languages, other than the 12, that a table of written labels is for."""
    return tuple(sorted(path.stem for path in folder.glob("*.tsv")))


def load_further_labels(code: str, folder: Path = FURTHER) -> dict[str, WrittenLabel]:
    """Id -> label of `labels/<code>.tsv`, empty cells included. Raises `DataError` on a malformed or repeated line."""
    labels: dict[str, WrittenLabel] = {}
    for where, row in _rows(folder / f"{code}.tsv", ("qid", "en", code)):
        if row["qid"] in labels:
            raise DataError(f"{where}: {row['qid']} is already in {labels[row['qid']].where}")
        labels[row["qid"]] = WrittenLabel(row[code], row["en"], where)
    return labels


def load_people(folder: Path = TABLES) -> list[Person]:
    """The persons of `people.tsv`."""
    return [Person(**row, where=where) for where, row in _rows(folder / "people.tsv", PERSON_COLUMNS)]


def load_statements(folder: Path = TABLES) -> list[Statement]:
    """All statements of `folder`, by file name and line. Raises `DataError` on a malformed line."""
    return [
        Statement(**row, where=where)
        for path in sorted(folder.glob("statements_*.tsv"))
        for where, row in _rows(path, STATEMENT_COLUMNS)
    ]
