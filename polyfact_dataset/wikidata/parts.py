"""The durable parts of an extraction: finished stretches of the dump, each with its tables and a record.

A part's record is written last, so that a part is either complete or absent; other files of a killed run are
removed. Parts are finished in order: the records are always those of the first stretches of the dump.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from polyfact_dataset.common.files import atomic, parquet_writer, read_json, read_parquet, remove, write_json
from polyfact_dataset.schema import QUARANTINE
from polyfact_dataset.wikidata.chunks import Position
from polyfact_dataset.wikidata.workers import TABLES

_WORK = ".work"


@dataclass
class Record:
    """A finished part: where the next begins, the number of newlines before that, and the counts of this one.

    `head_bytes` is the length of the text before the first newline of the extraction (of a part of a dump); None where
    this is not part of a line or not known yet. `tail_bytes` is the length of the unfinished last line.
    """

    position: Position
    newlines: int
    counts: dict[str, int]
    head_bytes: int | None
    tail_bytes: int


class Parts:
    """The parts in a stage's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.work = folder, folder / _WORK
        self.records: list[Record] = []
        self.head: bytes | None = None
        self.tail = b""
        self._load()

    def _load(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        while (path := self._work_file(len(self.records), "json")).exists():
            self.records.append(Record(**read_json(path)))
        if self.records:
            last = self.records[-1]
            self.tail = self._work_file(len(self.records) - 1, "tail").read_bytes()
            self.head = (self.work / "head").read_bytes() if last.head_bytes is not None else None
        keep = {path for number in range(len(self.records)) for path in self._files(number)} | {self.work / "head"}
        for path in [*self.folder.glob("*.parquet/*"), *self.folder.glob("*.parquet/.*"), *self.work.iterdir()]:
            if path not in keep:
                remove(path)

    def _work_file(self, number: int, suffix: str) -> Path:
        return self.work / f"{number:05}.{suffix}"

    def _files(self, number: int) -> set[Path]:
        return {*self.targets(number), self._work_file(number, "json"), self._work_file(number, "tail")}

    def targets(self, number: int) -> tuple[Path, Path, Path]:
        """The Parquet files of a part: entities, statements, quarantine."""
        entities, statements = (self.folder / f"{table.name}.parquet" / f"{number:05}.parquet" for table in TABLES[:2])
        return entities, statements, self._work_file(number, "quarantine")

    def finish(self, record: Record, head: bytes | None, tail: bytes) -> None:
        """Makes a part durable whose tables are written."""
        number = len(self.records)
        if head is not None and self.head is None:
            with atomic(self.work / "head") as path:
                path.write_bytes(head)
        with atomic(self._work_file(number, "tail")) as path:
            path.write_bytes(tail)
        write_json(self._work_file(number, "json"), asdict(record))
        self.records.append(record)
        self.head, self.tail = head, tail

    def counts(self) -> Counter[str]:
        """The sums of the counts of all parts."""
        total = Counter[str]()
        for record in self.records:
            total.update(record.counts)
        return total

    def gather_quarantine(self) -> None:
        """Writes the quarantine of all parts as one table: it is small."""
        files = [self.targets(number)[2] for number in range(len(self.records))]
        write_quarantine(self.folder / "quarantine.parquet", [read_parquet(path) for path in files])


def write_quarantine(path: Path, tables: Sequence[pa.Table]) -> None:
    """One table of quarantined lines."""
    with parquet_writer(path, QUARANTINE.schema) as writer:
        # `empty_table` would import pandas, which takes longer than this function.
        empty = pa.Table.from_batches([], QUARANTINE.schema)
        writer.write_table(pa.concat_tables([empty, *tables]).combine_chunks())
