"""Stage `extract`: one pass over the dump, to entities, statements and quarantined lines.

The reader cuts the decompressed stream into batches of whole lines; worker processes parse them and return Arrow;
the results are written in the order of the dump, so the tables do not depend on the number of workers.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import pyarrow as pa

from polyfact_dataset.config import Config, ExtractConfig
from polyfact_dataset.errors import DataError
from polyfact_dataset.languages import language
from polyfact_dataset.pipeline import Context, Report
from polyfact_dataset.records import ENTITIES, QUARANTINE, STATEMENTS
from polyfact_dataset.storage import ROW_GROUP_ROWS, parquet_writer
from polyfact_dataset.wikidata.dump import Batch, batches, open_dump
from polyfact_dataset.wikidata.entities import Reader, Rows, Wanted

_TABLES = (ENTITIES, STATEMENTS, QUARANTINE)


@dataclass
class Parsed:
    """One parsed batch: three Arrow IPC streams and what was counted."""

    tables: tuple[bytes, bytes, bytes]
    lines: int
    lexemes: int
    broken: int
    batch_bytes: int


@dataclass
class Totals:
    """Counts over the whole dump."""

    lines: int = 0
    lexemes: int = 0
    broken: int = 0
    rows: dict[str, int] = field(default_factory=lambda: {table.name: 0 for table in _TABLES})


def wanted(config: Config) -> Wanted:
    """The codes, wikis and relations that the configured languages and relations need."""
    languages = [language(code) for code in config.languages]
    codes = dict.fromkeys(code for entry in languages for code in entry.labels)
    return Wanted(config.relations, (*codes, "mul"), tuple(entry.wiki for entry in languages))


def settings(config: Config) -> dict[str, object]:
    """What the result depends on besides the dump and the code; the number of workers does not count."""
    need = wanted(config)
    return {
        "relations": need.relations,
        "codes": need.codes,
        "wikis": need.wikis,
        "extract": config.extract.model_dump(exclude={"workers"}),
    }


_reader: Reader | None = None


def _start(need: Wanted) -> None:
    global _reader
    _reader = Reader(need)


def _ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _parse(batch: Batch) -> Parsed:
    assert _reader is not None
    rows = Rows()
    _reader.read(batch.data, batch.first_line, rows)
    for number in batch.too_long:
        rows.lines += 1
        rows.reject(number, "line longer than max_line_bytes", b"")
    entities, statements, quarantine = (_ipc(table) for table in rows.tables())
    return Parsed(
        (entities, statements, quarantine), rows.lines, rows.lexemes, len(rows.quarantine[0]), len(batch.data)
    )


def _parsed(source: Iterator[Batch], need: Wanted, workers: int) -> Iterator[Parsed]:
    """Results in the order of the batches, with at most a few per worker in flight."""
    if workers == 1:
        _start(need)
        yield from map(_parse, source)
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, context, _start, (need,)) as pool:
        flying: deque[Future[Parsed]] = deque()
        for batch in source:
            flying.append(pool.submit(_parse, batch))
            if len(flying) > 2 * workers:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()


class _Buffer:
    """Collects tables until a row group is full, so that groups do not depend on how the dump was cut."""

    def __init__(self, writer: object) -> None:
        self._writer, self._tables, self._rows = writer, [], 0  # type: ignore[var-annotated]

    def add(self, table: pa.Table) -> None:
        self._tables.append(table)
        self._rows += table.num_rows
        while self._rows >= ROW_GROUP_ROWS:
            self.flush(ROW_GROUP_ROWS)

    def flush(self, rows: int) -> None:
        whole = pa.concat_tables(self._tables)
        if rows:
            self._writer.write_table(whole.slice(0, rows).combine_chunks(), row_group_size=rows)  # type: ignore[attr-defined]
        self._tables, self._rows = [whole.slice(rows)], whole.num_rows - rows

    def close(self) -> None:
        if self._rows:
            self.flush(self._rows)


def _check_broken(totals: Totals, config: ExtractConfig, name: str, final: bool) -> None:
    if totals.broken <= config.max_broken_lines:
        return
    if not final and totals.lines < 100_000:
        return
    if totals.broken > config.max_broken_share * totals.lines:
        raise DataError(
            f"dump {name}: {totals.broken} of {totals.lines} lines are broken, more than the allowed "
            f"{config.max_broken_lines} lines or share {config.max_broken_share:g}; check the file, or raise "
            "extract.max_broken_lines or extract.max_broken_share"
        )


def run(context: Context) -> Report:
    """Reads the dump and writes `entities`, `statements` and `quarantine`."""
    config, dump = context.config.extract, context.dump
    totals = Totals()
    with ExitStack() as stack:
        # The stream is entered last: what goes wrong in it is about the dump, not about what is being written.
        buffers = [
            _Buffer(stack.enter_context(parquet_writer(context.target(table.name), table.schema))) for table in _TABLES
        ]
        stream = stack.enter_context(open_dump(dump))
        progress = stack.enter_context(context.log.progress("extract", "MB"))
        source = batches(stream, config.batch_bytes, config.max_line_bytes, dump.name)
        for parsed in _parsed(source, wanted(context.config), config.workers):
            for table, buffer, data in zip(_TABLES, buffers, parsed.tables):
                rows = pa.ipc.open_stream(data).read_all()
                totals.rows[table.name] += rows.num_rows
                buffer.add(rows)
            totals.lines += parsed.lines
            totals.lexemes += parsed.lexemes
            totals.broken += parsed.broken
            progress.advance(parsed.batch_bytes / 1e6)
            _check_broken(totals, config, dump.name, final=False)
        for buffer in buffers:
            buffer.close()
        _check_broken(totals, config, dump.name, final=True)
        if not totals.rows["entities"]:
            raise DataError(f"dump {dump.name} holds no Wikidata entity in {totals.lines} lines; is it the JSON dump?")
    if totals.broken:
        context.log.line(f"extract: {totals.broken} broken lines are in {context.target('quarantine').name}")
    return Report(
        {
            "lines": totals.lines,
            "lexemes": totals.lexemes,
            "broken": totals.broken,
            **totals.rows,
        }
    )
