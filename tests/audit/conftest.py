"""A release that passes every gate, on disk, for tests that damage it there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.audited import on_disk


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return on_disk(tmp_path_factory.mktemp("published") / "release")


@pytest.fixture
def published(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "release"))
