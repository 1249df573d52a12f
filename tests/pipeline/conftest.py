"""A build of few entities that has its first stage, for tests that go on from there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.builds import sample_lines
from tests.support.command import polyfact


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """The options of a build of 499 entities of the sample, whose first stages take little time."""
    path = tmp_path_factory.mktemp("dump") / "few.json"
    path.write_bytes(b"".join([*sample_lines()[:500], b"]\n"]))
    return ("--dump", path)


@pytest.fixture(scope="session")
def extracted(few: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of `few` that has its first stage; tests change copies."""
    out = tmp_path_factory.mktemp("extracted") / "build"
    polyfact("extract", "--out", out, *few)
    return out


@pytest.fixture
def continued(extracted: Path, few: tuple[object, ...], tmp_path: Path) -> tuple[Path, tuple[object, ...]]:
    """A copy of `extracted`, and the command that extracts into it."""
    out = tmp_path / "build"
    shutil.copytree(extracted, out)
    return out, ("extract", "--out", out, *few)
