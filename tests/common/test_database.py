"""Results of the engine come in batches of one size, however it cuts its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyfact_dataset.common import database as engine


@pytest.mark.parametrize("rows, expected", [(0, []), (7, [7]), (1000, [1000]), (5003, [1000] * 5 + [3])])
def test_batches_have_one_size(rows: int, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BATCH_ROWS", 1000)
    with engine.connect(tmp_path) as connection:
        batches = list(engine.stream(connection, f"SELECT i FROM range({rows}) t(i) ORDER BY i"))
    assert [batch.num_rows for batch in batches] == expected
    assert [value for batch in batches for value in batch.column(0).to_pylist()] == list(range(rows))
