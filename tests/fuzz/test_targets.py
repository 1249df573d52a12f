"""A little fuzzing of everything that reads others' files and answers; `benchmarks/fuzz.py` does more of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.fuzz_targets import TARGETS, answered


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_errors_of_ours(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]

    # The same inputs in every run: a new crash is found by the benchmark, and kept as a test of its own.
    @settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(target.spoil(tmp_path))
    def one(value: Any) -> None:
        with answered():
            target.read(value, tmp_path)

    one()
