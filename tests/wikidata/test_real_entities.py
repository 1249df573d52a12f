"""Real entities, read and extracted: the rows of the usual script, which shares no code with the extraction."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import usual

from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.stages import EXTRACT, stage_folder
from polyfact_dataset.wikidata.columns import Rows
from polyfact_dataset.wikidata.entities import Reader
from polyfact_dataset.wikidata.extract import extracted_fields
from tests.support.dumps import config, extract, tables


class UsualRows(NamedTuple):
    """What the usual script reads in the dump of real entities."""

    lines: int
    entities: list[dict[str, Any]]
    statements: list[dict[str, Any]]


@pytest.fixture(scope="module")
def usual_rows(real_dump: Path) -> UsualRows:
    found = list(usual.entities(real_dump))
    kept = [entity for entity in found if entity["type"] != "lexeme"]
    items = [entity for entity in kept if entity["type"] == "item"]
    return UsualRows(
        len(found),
        [usual.entity_row(entity) for entity in kept],
        [r for item in items for r in usual.statement_rows(item)],
    )


def test_lines_are_read_as_the_usual_script_reads_them(real_dump: Path, usual_rows: UsualRows) -> None:
    rows = Rows()
    Reader(extracted_fields(Config())).read(bz2.decompress(real_dump.read_bytes()), 1, rows)
    assert rows.lines == usual_rows.lines == 2255 and rows.lexemes == 23 and not rows.broken
    entities, statements, _ = rows.tables()
    assert entities.to_pylist() == usual_rows.entities
    assert statements.to_pylist() == usual_rows.statements and len(usual_rows.statements) == 4192


def test_an_extraction_has_the_rows_of_the_usual_script(real_extraction: Path, usual_rows: UsualRows) -> None:
    entities, statements, quarantine = tables(stage_folder(real_extraction, EXTRACT))
    assert entities == usual_rows.entities and len(entities) == 2232
    assert statements == usual_rows.statements and not quarantine


@pytest.mark.slow
def test_so_has_an_extraction_of_gzip(real_dump: Path, usual_rows: UsualRows, tmp_path: Path) -> None:
    (tmp_path / "dump.gz").write_bytes(gzip.compress(bz2.decompress(real_dump.read_bytes()), 1))
    own = config(workers=2, batch_bytes=1 << 20)
    entities, statements, quarantine = tables(extract(tmp_path / "dump.gz", tmp_path / "build", own))
    assert entities == usual_rows.entities and statements == usual_rows.statements and not quarantine
