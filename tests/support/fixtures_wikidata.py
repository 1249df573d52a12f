"""The dump that lacks labels, and the server that has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.backfilled import dump_entities
from tests.support.planted import world
from tests.support.wikidata_server import Wikidata, serving


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump.json"
    path.write_text("[\n" + ",\n".join(json.dumps(entity) for entity in dump_entities()) + "\n]\n")
    return path


@pytest.fixture
def wikidata() -> Iterator[Wikidata]:
    entities = {entity["id"]: entity for entity in world()}
    del entities["Q1052"]
    with serving(Wikidata(entities, redirects={"Q9051": "Q1051"})) as server:
        yield server
