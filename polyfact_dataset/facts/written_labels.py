"""Labels written by people for entities whose label Wikidata lacks in a language: an optional input of a build.

The table is tab separated, with a header: `qid`, then codes of languages; an empty cell means no label. Such a label
is used after all of Wikidata's, has the provenance `written` and never counts as attested.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.text.normalise import clean
from polyfact_dataset.pipeline.context import Context
from polyfact_dataset.schema import WRITTEN_LABELS

_QID = re.compile(r"Q[1-9]\d*")
_CODE = re.compile(r"[a-z]{2,3}")


def read_written_labels(paths: Sequence[Path]) -> pa.Table | None:
    """Rows of `schema.WRITTEN_LABELS` from all tables, sorted by id; None without tables.

    The first table takes precedence. Raises `ConfigError` naming the file and the line.
    """
    if not paths:
        return None
    merged: dict[str, dict[str, str]] = {}
    for path in paths:
        for qid, labels in _read_table(path).items():
            merged[qid] = {**labels, **merged.get(qid, {})}
    rows = [
        {"entity_id": qid, "labels": [{"code": code, "text": text} for code, text in sorted(labels.items())]}
        for qid, labels in sorted(merged.items())
    ]
    return pa.Table.from_pylist(rows, schema=WRITTEN_LABELS.schema)


def _read_table(path: Path) -> dict[str, dict[str, str]]:
    labels_by_id: dict[str, dict[str, str]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
            header = next(reader, [])
            codes = header[1:]
            if header[:1] != ["qid"] or not codes or not all(map(_CODE.fullmatch, codes)):
                raise ConfigError(f"{path}:1: the header must be qid and codes of languages, separated by tabs")
            for number, row in enumerate(reader, start=2):
                if row and not row[0].startswith("#"):
                    _read_row(row, codes, labels_by_id, f"{path}:{number}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: {error}; give a table of written labels (tab separated, UTF-8)") from error
    return labels_by_id


def _read_row(row: list[str], codes: list[str], labels_by_id: dict[str, dict[str, str]], where: str) -> None:
    qid, *cells = (cell.strip() for cell in row)
    if not _QID.fullmatch(qid) or len(cells) > len(codes):
        raise ConfigError(f"{where}: must have an item id and at most {len(codes)} labels")
    labels = labels_by_id.setdefault(qid, {})
    for code, text in zip(codes, cells):
        if text and clean(text) is None:
            raise ConfigError(f"{where}: the {code} label {text!r} contains hidden or no readable characters")
        if text and labels.setdefault(code, text) != text:
            raise ConfigError(f"{where}: {qid} has two labels in {code}: {labels[code]!r} and {text!r}")


def register_written_labels(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Makes the build's written labels the view `written_label`; it is empty where there are none."""
    table = context.written_labels
    connection.register("written_label", WRITTEN_LABELS.schema.empty_table() if table is None else table)
