"""Results of the engine come in batches of one size, however it cuts its own."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyfact_dataset.common import database as engine


@pytest.mark.parametrize("rows, expected", [(0, []), (7, [7]), (1000, [1000]), (5003, [1000] * 5 + [3])])
def test_batches_have_one_size(rows: int, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BATCH_ROWS", 1000)
    with engine.connect(tmp_path) as connection:
        batches = list(engine.stream(connection, f"SELECT i FROM range({rows}) t(i) ORDER BY i"))
    assert [batch.num_rows for batch in batches] == expected
    assert [value for batch in batches for value in batch.column(0).to_pylist()] == list(range(rows))


def test_names_of_folders_are_no_patterns_and_no_columns(tmp_path: Path) -> None:
    folder = tmp_path / "seed=42" / "a[1]*?'"
    (folder / "t.parquet").mkdir(parents=True)
    for number in (2, 1):
        pq.write_table(pa.table({"n": [number]}), folder / "t.parquet" / f"{number}.parquet")
    (tmp_path / "seed=42" / "a1").mkdir()
    with engine.connect(tmp_path) as connection:
        files = engine.parquet_files(folder / "t.parquet")
        assert connection.sql("SELECT * FROM parquet($t)", params={"t": files}).fetchall() == [(1,), (2,)]
        rows = engine.rows_of([folder / "t.parquet" / "2.parquet"])
        assert connection.sql(f"SELECT * FROM {rows}").fetchall() == [(2,)]
