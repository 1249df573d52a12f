"""The order of the rooms holds, and every kind of violation is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.rooms import PACKAGES, ROOT, violations


def test_no_import_goes_upwards_or_in_a_circle() -> None:
    assert list(violations()) == []


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            target = root / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return root


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("facts/labels.py", "from polyfact_dataset.questions import templates", "questions is above"),
        ("schema.py", "from polyfact_dataset.common.files import digest", "common is above"),
        ("llm/cache.py", "def lazy():\n    from polyfact_dataset.cli import app", "cli is above"),
        ("facts/labels.py", "import polyfact_dataset.items.layout as layout", "items is above"),
        ("facts/labels.py", "from ..items import layout", "items is above"),
        (
            "facts/labels.py",
            "import importlib\nimportlib.import_module('polyfact_dataset.audit.run')",
            "audit is above",
        ),
        ("release/reader.py", "from polyfact_dataset.pipeline import inputs", "pipeline.inputs is above"),
        ("hub/push.py", "from baselines import data", "baselines.data is above"),
        ("common/files.py", "from polyfact_dataset.common import database", "circle: "),
        ("loose.py", "", "loose is in no room"),
        ("loose.py", "", "polyfact_dataset/loose.py is neither a room"),
        ("attic/__init__.py", "", "polyfact_dataset/attic is neither a room"),
    ],
)
def test_a_planted_violation_is_found(file: str, line: str, message: str, copied: Path) -> None:
    path = copied / "polyfact_dataset" / file
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\n{line}\n")
    try:
        assert any(message in found for found in violations(copied))
    finally:
        path.unlink()
        if before is not None:
            path.write_text(before)
        elif path.name == "__init__.py":
            path.parent.rmdir()
