"""Shared fixtures: a small dump, and one sample build for all end-to-end tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_dump() -> Path:
    """Real Wikidata entities in dump layout, beside the checkout."""
    path = SHARED / "wikidata_entities.json.bz2"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def polyfact(*arguments: object, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-m", "polyfact_dataset.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    if check and result.returncode:
        raise AssertionError(f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result


@pytest.fixture(scope="session")
def sample_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole build of the bundled sample dump."""
    out = tmp_path_factory.mktemp("sample") / "build"
    polyfact("build", "--out", out, "--facts", 2000)
    return out


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew; read them before committing"
    )
