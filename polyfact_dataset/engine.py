"""DuckDB within bounds: the engine for joins and sorts over tables larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from polyfact_dataset.records import Table
from polyfact_dataset.storage import parquet_writer, remove

BATCH_ROWS = 50_000


@contextmanager
def connect(folder: Path, memory_mb: int = 2000) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that keeps within `memory_mb` and spills into `folder`, which it leaves clean."""
    spill = folder / ".spill"
    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{memory_mb}MB'")
        connection.execute("SET temp_directory = ?", [str(spill)])
        connection.execute("SET enable_progress_bar = false")
        yield connection
    remove(spill)


def stream(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a query, `BATCH_ROWS` at a time."""
    yield from connection.sql(query, params=parameters or {}).to_arrow_reader(BATCH_ROWS)


def write_query(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    table: Table,
    path: Path,
    parameters: dict[str, Any] | None = None,
) -> int:
    """Writes the rows of an ordered query as `table`; returns their number."""
    rows = 0
    with parquet_writer(path, table.schema) as writer:
        for batch in stream(connection, query, parameters):
            rows += batch.num_rows
            writer.write_batch(batch.cast(table.schema))
    return rows
