"""Real data next to a checkout and not part of it: tests that need them skip where they are absent."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared"


def shared(name: str) -> Path:
    """A file of the shared data; skips the test where it is absent."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{path} is absent: it holds real data and is no part of the project")
    return path
