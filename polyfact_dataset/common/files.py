"""Files: atomic writes, deterministic Parquet, digests. All files of a build are written by this module."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyfact_dataset.common.errors import DataError, RetryableError
from polyfact_dataset.common.secrets import redacted

ROW_GROUP_ROWS = 50_000
_BLOCK_BYTES = 1 << 20
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.part", re.DOTALL)

# The path that means standard input.
STDIN = Path("-")


def sync(path: Path) -> None:
    """Makes a file or a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns the errors of writing `path`, such as a full disk, into a `RetryableError` that names it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise RetryableError(
            f"cannot write {path}: {reason}; fix the cause or free disk space, then rerun the same command"
        ) from error


def sync_tree(folder: Path) -> None:
    """Makes a folder durable with everything in it, whoever wrote it."""
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink():
            sync(path)


def make_folder(path: Path) -> None:
    """Creates a folder and those above it, durably: a new folder is lost in a power cut unless its parent is synced."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        sync(folder.parent)


def is_temporary(path: Path) -> bool:
    """Whether a file is one that `atomic` has not renamed: a write in progress, or one that was killed."""
    return _TEMPORARY.fullmatch(path.name) is not None


def sweep(folder: Path) -> None:
    """Removes what killed writes left in a folder; call it while no other process writes there."""
    for path in folder.glob(".*.part"):
        if is_temporary(path):
            remove(path)


class _SyncedLater:
    """The folder whose files the caller makes durable together."""

    folder: Path | None = None


@contextmanager
def synced_later(folder: Path) -> Iterator[None]:
    """Within the block, `atomic` does not make files in `folder` durable one by one: the caller uses `sync_tree`.

    A file takes two waits for the disk otherwise, and a stage writes more than a hundred.
    """
    before, _SyncedLater.folder = _SyncedLater.folder, folder
    try:
        yield
    finally:
        _SyncedLater.folder = before


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path next to `path`, which is durably renamed to `path` if the block succeeds.

    Within `synced_later`, the caller makes it durable.

    The temporary path is unique, so that processes that write one file at once do not use each other's.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with disk_errors(path):
        make_folder(path.parent)
        try:
            yield temporary
            at_once = _SyncedLater.folder is None or not path.is_relative_to(_SyncedLater.folder)
            if at_once:
                sync(temporary)
            os.replace(temporary, path)
            if at_once:
                sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 with `\\n` line ends and without known keys, atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(redacted(text).encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes JSON with sorted keys, atomically: equal values give equal bytes."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def keep_lines(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Keeps the wanted lines of a file of JSON lines, up to the first that a kill or a power cut has damaged.

    What a caller relies on, it has made durable by `sync`.
    """
    kept = []
    for line in path.read_bytes().splitlines(True):
        try:
            content = json.loads(line)
        except ValueError:
            break
        if not isinstance(content, dict) or not line.endswith(b"\n"):
            break
        if wanted(content):
            kept.append(line.decode("utf-8"))
    write_text(path, "".join(kept))


def read_json(path: Path) -> Any:
    """Reads JSON. Raises `DataError` when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _reading_errors() -> tuple[type[Exception], ...]:
    """The errors of reading a file; those of DuckDB where it was imported, which takes longer than some commands."""
    duckdb = sys.modules.get("duckdb")
    return (OSError, UnicodeDecodeError, pa.ArrowException, *((duckdb.Error,) if duckdb else ()))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns the errors of reading `path`, or files in it, into a `DataError` that names it."""
    try:
        yield
    except _reading_errors() as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"{path} cannot be read: {reason}; create or download it again") from error


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A Parquet file with fixed properties, so that equal rows give equal bytes.

    It is renamed into place at the end.
    """
    with (
        atomic(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            compression_level=3,
            version="2.6",
            data_page_version="1.0",
            use_dictionary=True,
            write_statistics=True,
            write_page_index=True,
        ) as writer,
    ):
        yield writer


@contextmanager
def table_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """A Parquet file from tables of any size: its row groups have `ROW_GROUP_ROWS` rows."""
    kept: list[pa.Table] = []
    with parquet_writer(path, schema) as writer:

        def write(table: pa.Table) -> None:
            kept.append(table)
            rows = sum(map(len, kept))
            if rows >= ROW_GROUP_ROWS:
                whole, full = pa.concat_tables(kept), rows // ROW_GROUP_ROWS * ROW_GROUP_ROWS
                writer.write_table(whole.slice(0, full).combine_chunks(), row_group_size=ROW_GROUP_ROWS)
                kept[:] = [whole.slice(full)]

        yield write
        if any(map(len, kept)):
            writer.write_table(pa.concat_tables(kept).combine_chunks(), row_group_size=ROW_GROUP_ROWS)


def write_parquet(path: Path, table: pa.Table, row_group_rows: int = ROW_GROUP_ROWS) -> None:
    """Writes a whole table with row groups of `row_group_rows`."""
    with parquet_writer(path, table.schema) as writer:
        writer.write_table(table.combine_chunks(), row_group_size=row_group_rows)


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Reads a table. Raises `DataError` when it is missing or damaged."""
    try:
        if path.is_file():
            return pq.ParquetFile(path).read(columns)
        return pq.read_table(path, columns=columns)
    # A damaged column name raises `UnicodeDecodeError`.
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read ({error}); remove it and rerun the same command to rebuild it"
        ) from error


def read_schema(path: Path) -> pa.Schema:
    """The schema of a Parquet file. Raises `DataError` when it is missing or damaged."""
    with readable(path):
        return pq.read_schema(path)


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fingerprint(path: Path, blocks: int = 64) -> str:
    """Identifies a file too large to hash each time: its size and SHA-256 over `blocks` evenly spaced MiB.

    A file of at most that many MiB is hashed whole.
    """
    size = path.stat().st_size
    total = max((size + _BLOCK_BYTES - 1) // _BLOCK_BYTES, 1)
    chosen = (
        sorted({index * (total - 1) // max(blocks - 1, 1) for index in range(blocks)})
        if total > blocks
        else range(total)
    )
    hasher = hashlib.sha256(str(size).encode())
    with path.open("rb") as handle:
        for index in chosen:
            handle.seek(index * _BLOCK_BYTES)
            hasher.update(handle.read(_BLOCK_BYTES))
    return hasher.hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of a JSON-able value in canonical form."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_sources(paths: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of source files; folders are searched for .py, .toml, .txt and .j2 files."""
    files = sorted(
        {
            file
            for path in paths
            for file in (path.rglob("*") if path.is_dir() else [path])
            if file.suffix in (".py", ".toml", ".txt", ".j2")
        }
    )
    hasher = hashlib.sha256()
    for file in files:
        hasher.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return hasher.hexdigest()


def remove(path: Path) -> None:
    """Removes a file or a folder tree if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
