"""Real entities, a dump that lacks labels, and the server that has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.backfilled import running_wikidata, write_dump
from tests.support.dumps import config, extract
from tests.support.sharing import made_once
from tests.support.wikidata_server import Wikidata


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    return write_dump(tmp_path)


@pytest.fixture
def wikidata() -> Iterator[Wikidata]:
    with running_wikidata() as server:
        yield server


@pytest.fixture(scope="session")
def real_extraction(real_dump: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with the extraction of the real entities, by two processes in many parts."""
    own = config(workers=2, batch_bytes=1 << 20)
    return made_once(tmp_path_factory, "real_extraction", lambda out: extract(real_dump, out, own))
