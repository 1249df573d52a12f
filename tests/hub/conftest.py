"""Pushes without what another test shows: the download that verifies, and documents rendered again and again."""

from __future__ import annotations

import pytest

from polyfact_dataset.hub import push as pushing


@pytest.fixture(autouse=True)
def every_push(rendered_once: None) -> None:
    """Every push renders the documents of its release to check them; the tests push the same two releases."""


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out reading back, where a test is about something else."""
    monkeypatch.setattr(pushing, "read_back", lambda *_: None)
