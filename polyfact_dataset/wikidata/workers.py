"""The processes that decompress and parse chunks, and write them as Arrow; the parent passes only bytes and numbers.

A chunk's bytes are in a slot, a section of a memory-mapped file. Its rows are written to a file, which is read by the
worker that completes the part. No content of the dump is pickled, and memory is bounded by the slots.
"""

from __future__ import annotations

import gc
import mmap
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from polyfact_dataset.common.errors import RetryableError
from polyfact_dataset.common.files import disk_errors, write_parquet
from polyfact_dataset.common.processes import start_processes
from polyfact_dataset.schema import ENTITIES, QUARANTINE, STATEMENTS
from polyfact_dataset.wikidata.bzip2 import decode_by_lbzip2, decode_tolerantly
from polyfact_dataset.wikidata.chunks import Chunk
from polyfact_dataset.wikidata.columns import Rows
from polyfact_dataset.wikidata.dump import check_expansion, damage_as_data_error
from polyfact_dataset.wikidata.entities import ExtractFields, Reader
from polyfact_dataset.wikidata.lines import LineCutter

TABLES = (ENTITIES, STATEMENTS, QUARANTINE)
COUNTS = ("lines", "lexemes", "broken", "without_item", "opened", "closed")
# The counts that stage `extract` reports.
REPORTED = (*COUNTS, *(table.name for table in TABLES))


@dataclass(frozen=True)
class Task:
    """The common settings of all workers; `lbzip2`: whether that program decompresses bz2."""

    fields: ExtractFields
    max_line_bytes: int
    max_expansion: float
    dump_name: str
    slots: Path
    slot_bytes: int
    lbzip2: bool


@dataclass
class Parsed:
    """The result of a chunk: the parts of lines cut at its borders, counts, and the file (or bytes) of its rows."""

    head: bytes | None
    tail: bytes
    newlines: int
    counts: dict[str, int]
    rows: Path | bytes


@dataclass(frozen=True)
class Piece:
    """Rows of a part and the number of their line 0: in a file, or as a line that is not parsed yet."""

    rows: Path | bytes
    first_line: int


def counts_of(rows: Rows) -> dict[str, int]:
    """The counts of parsed lines that the build reports."""
    return {name: getattr(rows, name) for name in COUNTS}


def _encode(rows: Rows) -> bytes:
    """The three tables as consecutive Arrow IPC streams."""
    sink = pa.BufferOutputStream()
    for table in rows.tables():
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _decode(rows: Path) -> list[pa.Table]:
    with pa.memory_map(str(rows)) as source:
        return [pa.ipc.open_stream(source).read_all() for _ in TABLES]


class Worker:
    """One per process: the reader, and the slots."""

    def __init__(self, task: Task, slots: Any) -> None:
        self._task, self._slots = task, slots
        self._reader = Reader(task.fields, task.max_line_bytes)

    def parse(self, chunk: Chunk, slot: int, target: Path) -> Parsed:
        """Parses the lines that are completely in the chunk. Raises `DataError` when it is damaged."""
        begin = slot * self._task.slot_bytes
        data = bytes(self._slots[begin : begin + chunk.length])
        with damage_as_data_error(self._task.dump_name):
            rows, cutter, lines = self._decoded(chunk, data)
        with disk_errors(target):
            target.write_bytes(_encode(rows))
        newlines = lines + (cutter.head is not None)
        return Parsed(cutter.head, cutter.tail, newlines, counts_of(rows), target)

    def _decoded(self, chunk: Chunk, data: bytes) -> tuple[Rows, LineCutter, int]:
        """Decodes with the fastest decoder that accepts the chunk."""
        if chunk.bits is not None and self._task.lbzip2:
            try:
                return self._read(chunk, chunk.text(data, decode_by_lbzip2))
            except RuntimeError:
                pass  # the library succeeds, or reports the damage
        try:
            return self._read(chunk, chunk.text(data))
        except RuntimeError as error:
            if chunk.bits is None or "Stream CRC" not in str(error):
                raise
        return self._read(chunk, chunk.text(data, decode_tolerantly))

    def _read(self, chunk: Chunk, text: Iterator[bytes]) -> tuple[Rows, LineCutter, int]:
        """The rows, the incomplete lines at the ends, and the number of whole lines."""
        rows, cutter, number = Rows(), LineCutter(self._task.max_line_bytes, at_line=chunk.at_line), 0
        text_bytes = 0
        for piece in text:
            text_bytes += len(piece)
            if chunk.bits is not None:
                check_expansion(self._task.dump_name, text_bytes, chunk.length, self._task.max_expansion)
            for lines in cutter.feed(piece):
                number = self._reader.read(lines.data, number, rows, lines.start, lines.stop)
        return rows, cutter, number

    def write_part(self, pieces: Sequence[Piece], targets: Sequence[Path]) -> dict[str, int]:
        """Writes the rows of a part as its three tables, durably; returns the counts of rows and lines."""
        counts, tables = Counter[str](), list[list[pa.Table]]([[] for _ in TABLES])
        for piece in pieces:
            if isinstance(piece.rows, Path):
                entities, statements, quarantine = _decode(piece.rows)
            else:
                rows = Rows()
                self._reader.read(piece.rows, 0, rows)
                counts.update(counts_of(rows))
                entities, statements, quarantine = rows.tables()
            for pieces_of_table, content in zip(
                tables, (entities, statements, renumbered(quarantine, piece.first_line))
            ):
                pieces_of_table.append(content)
        for table, pieces_of_table, target in zip(TABLES, tables, targets):
            whole = pa.concat_tables([table.schema.empty_table(), *pieces_of_table]).combine_chunks()
            write_parquet(target, whole)
            counts[table.name] = whole.num_rows
        return counts


def renumbered(quarantine: pa.Table, lines_before: int) -> pa.Table:
    """Quarantined lines with their numbers increased by the number of lines before."""
    lines = [line + lines_before for line in quarantine.column("line").to_pylist()]
    return quarantine.set_column(0, QUARANTINE.schema.field("line"), pa.array(lines, pa.int64()))


# An error of the start is raised by the first task: the pool would print it with its traceback.
_worker: Worker | RetryableError | None = None


def _start(task: Task) -> None:
    global _worker
    try:
        with task.slots.open("rb") as handle:
            _worker = Worker(task, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, MemoryError) as error:
        _worker = RetryableError(
            f"a worker process cannot map {task.slots}: {error}; raise the limit of memory, or use fewer --workers"
        )
    # Rows hold no cycles; looking for some takes a tenth of the time.
    gc.disable()


def _started() -> Worker:
    assert _worker is not None
    if isinstance(_worker, RetryableError):
        raise _worker
    return _worker


def _parse(chunk: Chunk, slot: int, target: Path) -> Parsed:
    return _started().parse(chunk, slot, target)


def _write(pieces: Sequence[Piece], targets: Sequence[Path]) -> dict[str, int]:
    return _started().write_part(pieces, targets)


@dataclass
class Pool:
    """Runs tasks in processes or, with one worker, in this one when their result is requested."""

    slots: memoryview
    slot_count: int
    parse: Callable[[Chunk, int, Path], Callable[[], Parsed]]
    write: Callable[[Sequence[Piece], Sequence[Path]], Callable[[], dict[str, int]]]


@contextmanager
def in_this_process(task: Task) -> Iterator[Pool]:
    """One slot, and tasks that run at once."""
    memory = bytearray(task.slot_bytes)
    worker = Worker(task, memory)

    def parse(chunk: Chunk, slot: int, target: Path) -> Callable[[], Parsed]:
        parsed = worker.parse(chunk, slot, target)
        return lambda: parsed

    def write(pieces: Sequence[Piece], targets: Sequence[Path]) -> Callable[[], dict[str, int]]:
        counts = worker.write_part(pieces, targets)
        return lambda: counts

    yield Pool(memoryview(memory), 1, parse, write)


@contextmanager
def in_processes(task: Task, workers: int) -> Iterator[Pool]:
    """`workers` processes and slots for two chunks each, until the end of the block."""
    count = 2 * workers + 2
    with disk_errors(task.slots), task.slots.open("w+b") as handle:
        handle.truncate(count * task.slot_bytes)
        if hasattr(os, "posix_fallocate"):
            # Writing to mapped memory on a full disk would kill the process.
            os.posix_fallocate(handle.fileno(), 0, count * task.slot_bytes)
        memory = mmap.mmap(handle.fileno(), 0)
    executor = start_processes(workers, _start, task)

    def parse(chunk: Chunk, slot: int, target: Path) -> Callable[[], Parsed]:
        return executor.submit(_parse, chunk, slot, target).result

    def write(pieces: Sequence[Piece], targets: Sequence[Path]) -> Callable[[], dict[str, int]]:
        return executor.submit(_write, pieces, targets).result

    try:
        yield Pool(memoryview(memory), count, parse, write)
    except BrokenProcessPool as error:
        raise RetryableError(
            "a worker process ended abruptly, possibly for lack of memory; rerun the same command, "
            "with fewer --workers if it recurs"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
