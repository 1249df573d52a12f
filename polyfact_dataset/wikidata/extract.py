"""Stage `extract`: one pass over the dump, to entities, statements and quarantined lines.

The dump is cut into chunks; worker processes decompress and parse them. A fixed number of chunks is a part, whose
tables become durable together. A killed run continues after the last part. Tables do not depend on the number of
workers.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import atomic, digest_json, write_json
from polyfact_dataset.common.progress import Task as Progress
from polyfact_dataset.common.untrusted import Untrusted
from polyfact_dataset.config.build import Config
from polyfact_dataset.config.wikidata import ExtractConfig
from polyfact_dataset.pipeline.context import Context, Report
from polyfact_dataset.wikidata.bzip2 import has_lbzip2
from polyfact_dataset.wikidata.chunks import Chunk, Chunks, Position, bounds, open_chunks
from polyfact_dataset.wikidata.dump import Raw, damage_as_data_error, is_other_layout, open_raw
from polyfact_dataset.wikidata.entities import ExtractFields
from polyfact_dataset.wikidata.lines import joined
from polyfact_dataset.wikidata.parts import Parts, Record
from polyfact_dataset.wikidata.workers import (
    REPORTED,
    TABLES,
    Parsed,
    Piece,
    Pool,
    Task,
    in_processes,
    in_this_process,
)

# The record of an extraction for `polyfact merge`, and the lines cut at the borders of a part.
EXTRACTION, HEAD, TAIL = "extraction.json", "head.bin", "tail.bin"
# Megabytes of the parent and of each worker, slots included (docs/full_size.md).
_BASE_MB, _WORKER_MB = 300, 100
# A bz2 chunk contains about twice the text of another, so a part has fewer of them.
_BZ2_CHUNKS = 2


def extracted_fields(config: Config) -> ExtractFields:
    """The codes, wikis and relations that the configured languages and relations need."""
    languages = [language(code) for code in config.languages]
    codes = dict.fromkeys(code for entry in languages for code in entry.labels)
    return ExtractFields(config.relations, (*codes, "mul"), tuple(entry.wiki for entry in languages))


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on; workers and memory limits do not count.

    They contain everything that is used of the catalog and of the schema, so that a changed wording, or another table's
    column, does not require a new pass over the dump.
    """
    need = extracted_fields(config)
    return {
        "relations": need.relations,
        "codes": need.codes,
        "wikis": need.wikis,
        "tables": {table.name: table.schema.to_string() for table in TABLES},
        "extract": config.extract.model_dump(exclude={"workers", "memory_mb", "max_expansion", "max_window_bytes"}),
    }


def fingerprint(config: Config) -> str:
    """The identity of the settings; equal for extractions that may be merged."""
    return digest_json(settings(config))


class ExtractionRecord(Untrusted):
    """The record of an extraction, which `polyfact merge` reads: its lines, its part of the dump, its settings."""

    newlines: int = Field(ge=0)
    part: Annotated[list[int], Field(min_length=2, max_length=2)] | None
    has_head: bool
    settings: str


@dataclass
class _OpenPart:
    """The part being read: its pieces so far and their counts."""

    pieces: list[Piece] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    chunks: int = 0


class Extraction:
    """Combines the results of the workers, in the order of the dump."""

    def __init__(self, config: Config, name: str, parts: Parts, part: tuple[int, int] | None, chunks_per_part: int):
        self._config, self.name, self._parts = config.extract, name, parts
        self._chunks_per_part = chunks_per_part
        self._head, self._tail = parts.head, parts.tail
        self._wants_head = part is not None and part[0] > 1 and parts.head is None
        self._newlines = parts.records[-1].newlines if parts.records else 0
        self._open, self._total = _OpenPart(), parts.counts()
        self._writing: deque[tuple[Callable[[], dict[str, int]], Record, bytes | None, bytes, list[Piece]]] = deque()

    def add(self, parsed: Parsed, chunk: Chunk, pool: Pool) -> None:
        """Takes the next chunk's result; closes the part when it is full."""
        number, limit = self._newlines + 1, self._config.max_line_bytes
        if not parsed.newlines:
            self._tail = joined(self._tail, parsed.tail, limit)
        else:
            if parsed.head is not None:
                self._complete(joined(self._tail, parsed.head, limit), number)
                number += 1
            self._tail = parsed.tail
        self._newlines += parsed.newlines
        self._open.pieces.append(Piece(parsed.rows, number))
        self._count(parsed.counts)
        self._open.chunks += 1
        if self._open.chunks == self._chunks_per_part:
            self.close(chunk.end, pool)

    def _complete(self, line: bytes, number: int) -> None:
        """Adds a line joined from its parts; one whose beginning is in another extraction is kept for the merge."""
        if self._wants_head:
            self._head, self._wants_head = line, False
        elif line.strip():
            self._open.pieces.append(Piece(line, number))

    def _count(self, counts: dict[str, int]) -> None:
        self._open.counts.update(counts)
        self._total.update(counts)
        check_broken(self._total, self._config, self.name, final=False)

    def end(self, position: Position, pool: Pool, *, is_last: bool) -> None:
        """Ends the extraction. The last line needs no newline; a line that another extraction completes stays open."""
        while self._writing:
            self.finish_oldest()
        if is_last and self._tail.strip():
            self._complete(self._tail, self._newlines + 1)
            self._tail, self._newlines = b"", self._newlines + 1
        if self._open.pieces or not self._parts.records or self._head != self._parts.head:
            self.close(position, pool)
            self.finish_oldest()

    def close(self, position: Position, pool: Pool) -> None:
        """Starts writing the open part, while the next one is read."""
        while len(self._writing) > 1:
            self.finish_oldest()
        part, self._open = self._open, _OpenPart()
        number = len(self._parts.records) + len(self._writing)
        record = Record(
            position=position,
            newlines=self._newlines,
            counts=dict(part.counts),
            head_bytes=None if self._head is None else len(self._head),
            tail_bytes=len(self._tail),
        )
        write = pool.write(part.pieces, self._parts.targets(number))
        self._writing.append((write, record, self._head, self._tail, part.pieces))

    def finish_oldest(self) -> None:
        """Waits for the oldest part being written, and makes it durable."""
        write, record, head, tail, pieces = self._writing.popleft()
        counts = write()
        sums = {name: counts.get(name, 0) + record.counts.get(name, 0) for name in counts | record.counts}
        self._total.update({name: sums[name] - record.counts.get(name, 0) for name in sums})
        record.counts = sums
        self._parts.finish(record, head, tail)
        for piece in pieces:
            if not isinstance(piece.rows, bytes):
                piece.rows.unlink()


def check_broken(total: Counter[str], config: ExtractConfig, name: str, *, final: bool) -> None:
    """Raises `DataError` when more lines are broken than the configuration allows."""
    broken, lines = total["broken"], total["lines"]
    if broken <= config.max_broken_lines or (not final and lines < 100_000):
        return
    if broken > config.max_broken_share * lines:
        raise DataError(
            f"dump {name}: {broken} of {lines} lines are broken, more than the allowed "
            f"{config.max_broken_lines} lines or share {config.max_broken_share:g}; check the file, or raise "
            "extract.max_broken_lines or extract.max_broken_share"
        )


def is_cut_off(counts: Mapping[str, int]) -> bool:
    """Whether the array of the dump has a beginning and no end. Dumps of plain lines have neither."""
    return counts["opened"] > counts["closed"]


def _read(source: Chunks, extraction: Extraction, pool: Pool, folder: Path, progress: Progress) -> Position | None:
    """Sends chunks to the workers while there are free slots, and collects their results in order.

    Returns where the dump, or the part of it, ended; None when there was nothing to read.
    """
    free = deque(range(pool.slot_count))
    in_flight: deque[tuple[Chunk, int, Callable[[], Parsed]]] = deque()
    size, started, position, dump_bytes, has_more = source.slot_bytes, 0, None, 0, True
    while has_more or in_flight:
        while has_more and free:
            with damage_as_data_error(extraction.name):
                chunk = source.fill(pool.slots[free[0] * size : (free[0] + 1) * size])
            if chunk is None:
                has_more = False
                break
            slot = free.popleft()
            in_flight.append((chunk, slot, pool.parse(chunk, slot, folder / f"{started:08}.arrow")))
            started += 1
        if in_flight:
            chunk, slot, result = in_flight.popleft()
            extraction.add(result(), chunk, pool)
            progress.advance((chunk.dump_bytes - dump_bytes) / 1e6)
            free.append(slot)
            position, dump_bytes = chunk.end, chunk.dump_bytes
    return position


def worker_count(raw: Raw, config: ExtractConfig) -> int:
    """How many processes to start: none for a dump of one chunk, no more than memory allows."""
    small = config.batch_bytes // 2 if raw.size is not None else len(raw.head) + 1
    if (raw.size or len(raw.head)) <= min(small, config.batch_bytes // 2):
        return 1
    return max(1, min(config.workers, (config.memory_mb - _BASE_MB) // _WORKER_MB))


def _open(raw: Raw, context: Context, parts: Parts) -> Chunks:
    """The chunks that are not in finished parts; logs where reading begins."""
    if parts.damage:
        context.log.line(
            f"extract: part {len(parts.records) + 1} and those after it are extracted again: {parts.damage}"
        )
    begin, end = bounds(raw, context.part) if context.part else (None, None)
    if not parts.records:
        return open_chunks(raw, context.config.extract.batch_bytes, begin, end)
    start = parts.records[-1].position
    context.log.line(f"extract: continues after {len(parts.records)} finished parts{_repeated(raw, start)}")
    return open_chunks(raw, context.config.extract.batch_bytes, start, end)


def _repeated(raw: Raw, start: Position) -> str:
    """A description of the work that must be repeated."""
    if is_other_layout(raw):
        return "; an array in this layout cannot be read from the middle: it is read again and skipped"
    skipped = (start["text"] - start["member_text"]) / 1e6 if "member" in start else 0
    if skipped:
        return (
            f"; a {raw.kind} dump can be read only from the beginning of a member: "
            f"{skipped:,.0f} MB of text are decompressed again, not parsed"
        )
    return "; data that was piped in before is read and skipped" if raw.is_pipe else ""


def run(context: Context) -> Report:
    """Reads the dump and writes `entities`, `statements` (folders of Parquet files) and `quarantine`."""
    if context.dump is None:
        raise ConfigError(
            f"the extraction in {context.out} was made by another version or with other settings, and its dump was "
            "piped in or merged: extract it again with --overwrite"
        )
    config, raw, parts = context.config.extract, open_raw(context.dump), Parts(context.folder)
    raw.max_expansion, raw.max_window_bytes = config.max_expansion, config.max_window_bytes
    with ExitStack() as stack:
        stack.callback(raw.close)
        with damage_as_data_error(raw.name):
            source = _open(raw, context, parts)
        per_part = config.part_batches if raw.kind != "bz2" else max(1, config.part_batches // _BZ2_CHUNKS)
        extraction = Extraction(context.config, raw.name, parts, context.part, per_part)
        limits = config.max_line_bytes, config.max_expansion
        task = Task(
            extracted_fields(context.config), *limits, raw.name, parts.work / "slots", source.slot_bytes, has_lbzip2()
        )
        workers = worker_count(raw, config)
        if workers < config.workers and workers > 1:
            context.log.line(f"extract: {workers} workers fit into {config.memory_mb} MB (extract.memory_mb)")
        pool = stack.enter_context(in_processes(task, workers) if workers > 1 else in_this_process(task))
        total = None if raw.size is None else raw.size / 1e6
        progress = stack.enter_context(context.log.progress("extract", "MB", total))
        position = _read(source, extraction, pool, parts.work, progress)
        is_last = context.part is None or context.part[0] == context.part[1]
        extraction.end(position or (parts.records[-1].position if parts.records else {}), pool, is_last=is_last)
    return _finished(context, parts, raw.name)


def _finished(context: Context, parts: Parts, name: str) -> Report:
    """Checks the totals, and writes the records for later stages and `polyfact merge`."""
    total = parts.counts()
    check_broken(total, context.config.extract, name, final=True)
    if not total["entities"] and context.part is None:
        raise DataError(
            f"dump {name} contains no Wikidata entity in {total['lines']} lines; check that it is the JSON dump"
        )
    parts.gather_quarantine()
    about = {"newlines": parts.records[-1].newlines, "part": context.part, "has_head": parts.head is not None}
    write_json(context.folder / EXTRACTION, {**about, "settings": fingerprint(context.config)})
    if context.part:
        for name, line in ((HEAD, parts.head or b""), (TAIL, parts.tail)):
            with atomic(context.folder / name) as path:
                path.write_bytes(line)
    if total["broken"]:
        context.log.line(f"extract: {total['broken']} broken lines are in quarantine.parquet")
    if is_cut_off(total) and context.part is None:
        context.log.line(
            f"extract: {name} begins with [ but does not end with ]: it is one of several files, or truncated"
        )
    return Report({name: total[name] for name in REPORTED})
