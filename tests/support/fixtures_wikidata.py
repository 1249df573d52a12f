"""Real entities as the usual script reads them, a dump that lacks labels, and the server that has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import usual

from tests.support.backfilled import running_wikidata, write_dump
from tests.support.wikidata_server import Wikidata


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    return write_dump(tmp_path)


@pytest.fixture
def wikidata() -> Iterator[Wikidata]:
    with running_wikidata() as server:
        yield server


class UsualRows(NamedTuple):
    """What the usual script reads in the dump of real entities."""

    lines: int
    entities: list[dict[str, Any]]
    statements: list[dict[str, Any]]


@pytest.fixture(scope="session")
def usual_rows(real_dump: Path) -> UsualRows:
    found = list(usual.entities(real_dump))
    kept = [entity for entity in found if entity["type"] != "lexeme"]
    items = [entity for entity in kept if entity["type"] == "item"]
    return UsualRows(
        len(found),
        [usual.entity_row(entity) for entity in kept],
        [r for item in items for r in usual.statement_rows(item)],
    )
