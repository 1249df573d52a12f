"""Folders that are made once and shared by the worker processes of one test run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name`, filled by the first worker that asks for it; the others wait. Tests must not write into it."""
    base = factory.getbasetemp()
    # Workers of pytest-xdist have folders of their own in that of the run.
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = root / name
    with FileLock(root / f"{name}.lock"):
        done = root / f"{name}.done"
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
