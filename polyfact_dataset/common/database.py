"""DuckDB with a memory limit, for joins and sorts over tables that are larger than memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from polyfact_dataset.common.files import parquet_writer, remove
from polyfact_dataset.schema import Table

BATCH_ROWS = 50_000


@contextmanager
def connect(folder: Path, memory_mb: int = 2000) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that keeps within `memory_mb` and spills into `folder`; the spill files are removed at the end."""
    spill = folder / ".spill"
    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{memory_mb}MB'")
        connection.execute("SET temp_directory = ?", [str(spill)])
        connection.execute("SET enable_progress_bar = false")
        # Folders named `seed=42` are no columns of the tables in them.
        connection.execute(
            "CREATE MACRO parquet(files) AS TABLE SELECT * FROM read_parquet(files, hive_partitioning = false)"
        )
        yield connection
    remove(spill)


def parquet_files(path: Path) -> list[str]:
    """The Parquet file `path`, or the files of the folder `path`, with the characters of glob patterns escaped."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return [re.sub(r"([\[*?])", r"[\1]", str(file)) for file in files]


def rows_of(paths: Sequence[Path]) -> str:
    """SQL: the rows of Parquet files or folders, for FROM in connections without the macro `parquet`."""
    files = (file.replace("'", "''") for path in paths for file in parquet_files(path))
    listed = ", ".join(f"'{file}'" for file in files)
    return f"read_parquet([{listed}], hive_partitioning = false)"


def stream(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a query in batches of exactly `BATCH_ROWS`, the last one shorter.

    The size of DuckDB's batches depends on the number of threads. These batches become row groups of files, which must
    not depend on it.
    """
    reader = connection.sql(query, params=parameters or {}).to_arrow_reader(BATCH_ROWS)
    kept: list[pa.RecordBatch] = []
    rows = 0
    for batch in reader:
        kept.append(batch)
        rows += batch.num_rows
        while rows >= BATCH_ROWS:
            whole = pa.Table.from_batches(kept, reader.schema)
            yield whole.slice(0, BATCH_ROWS).combine_chunks().to_batches()[0]
            kept = whole.slice(BATCH_ROWS).to_batches()
            rows -= BATCH_ROWS
    if rows:
        yield pa.Table.from_batches(kept, reader.schema).combine_chunks().to_batches()[0]


def one_row_per_id() -> str:
    """SQL: the condition (for QUALIFY) that keeps one row of an entity that occurs more than once in a dump.

    The row with the most labels and sitelinks is kept. Ties are broken by the texts, never by the order of the rows.
    """
    return (
        "row_number() OVER (PARTITION BY id ORDER BY len(labels) DESC, sitelinks DESC, "
        "md5(labels::VARCHAR), md5(types::VARCHAR)) = 1"
    )


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
