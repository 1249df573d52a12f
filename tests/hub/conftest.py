"""Pushes without what another test shows: the download that verifies, and documents rendered again and again."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyfact_dataset.hub import push as pushing
from polyfact_dataset.release import documents
from tests.support.pushed import files_of

_known: dict[tuple[str, str], Any] = {}


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the files of a release, which is called once for equal files."""

    def known(release: Any, *others: object) -> Any:
        files = files_of(release if isinstance(release, Path) else release.folder)
        key = function.__name__, hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        if key not in _known:
            _known[key] = function(release, *others)
        return copy.deepcopy(_known[key])

    return known


@pytest.fixture(autouse=True)
def rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every push renders the documents of its release to check them; the tests push the same two releases."""
    monkeypatch.setattr(documents, "statistics", _once(documents.statistics))
    monkeypatch.setattr(documents, "texts", _once(documents.texts))


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out reading back, where a test is about something else."""
    monkeypatch.setattr(pushing, "read_back", lambda *_: None)
