"""The durable parts of an extraction: finished stretches of the dump, each with its tables and a record.

A part's record is written last, so that a part is either complete or absent; other files of a killed run are
removed. Parts are finished in order: the records are always those of the first stretches of the dump. A record holds
the digests of the part's files and a seal, which also covers the record before it. A part whose record or files are
not those that were written is extracted again, and so are the parts after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import (
    atomic,
    digest,
    digest_json,
    make_folder,
    parquet_writer,
    read_json,
    read_parquet,
    remove,
    write_json,
)
from polyfact_dataset.common.untrusted import validate
from polyfact_dataset.schema import QUARANTINE
from polyfact_dataset.wikidata.workers import TABLES

_WORK = ".work"


Count = Annotated[int, Field(ge=0)]


class PartFile(BaseModel):
    """A file of a part: its SHA-256, and the rows of a table."""

    model_config = ConfigDict(strict=True, extra="forbid")

    sha256: str
    rows: Count | None


class Record(BaseModel):
    """A finished part: where the next begins, the number of newlines before that, and the counts of this one.

    `head_bytes` is the length of the text before the first newline of the extraction (of a part of a dump); None where
    this is not part of a line or not known yet. `tail_bytes` is the length of the unfinished last line. `files` are
    those of the part by their names in the stage's folder; `seal` is the digest of the record and of the seal before.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    position: dict[str, Count]
    newlines: Count
    counts: dict[str, Count]
    head_bytes: Count | None
    tail_bytes: Count
    files: dict[str, PartFile] = {}
    seal: str = ""

    def sealed(self, before: str) -> str:
        """The seal of this record after that of the part before it."""
        return digest_json([before, self.model_dump(exclude={"seal"})])


class Parts:
    """The parts in a stage's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.work = folder, folder / _WORK
        self.records: list[Record] = []
        self.head: bytes | None = None
        self.tail = b""
        # Why a finished part, and those after it, must be extracted again; empty where none must.
        self.damage = ""
        self._load()

    def _load(self) -> None:
        make_folder(self.work)
        while not self.damage and (path := self._work_file(len(self.records), "json")).exists():
            try:
                self.records.append(self._read(path))
            except DataError as error:
                self.damage = str(error)
        if self.records:
            last = self.records[-1]
            self.tail = self._work_file(len(self.records) - 1, "tail").read_bytes()
            self.head = (self.work / "head").read_bytes() if last.head_bytes is not None else None
        keep = {path for number in range(len(self.records)) for path in self._files(number)} | {self.work / "head"}
        for path in [*self.folder.glob("*.parquet/*"), *self.folder.glob("*.parquet/.*"), *self.work.iterdir()]:
            if path not in keep:
                remove(path)

    def _read(self, path: Path) -> Record:
        """The record of the next part. Raises `DataError` unless it and its files are those that were written."""
        number, content = len(self.records), read_json(path)
        validate(Record, content, path, "it is not the record of a part")
        record = Record.model_validate(content)
        names = {self._name(file) for file in self._tables_and_texts(number, record.head_bytes is not None)}
        if record.seal != record.sealed(self._last_seal()) or record.files.keys() != names:
            raise DataError(f"{path} is not the record that was written")
        for name, file in record.files.items():
            path_of_file = self.folder / name
            if not path_of_file.is_file() or digest(path_of_file) != file.sha256:
                raise DataError(f"{path_of_file} is {'changed' if path_of_file.is_file() else 'missing'}")
        return record

    def _last_seal(self) -> str:
        return self.records[-1].seal if self.records else ""

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _tables_and_texts(self, number: int, has_head: bool) -> list[Path]:
        """The files that the record of a part describes."""
        return [*self.targets(number), self._work_file(number, "tail"), *([self.work / "head"] if has_head else [])]

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
        for path in self._tables_and_texts(number, record.head_bytes is not None):
            is_table = path in self.targets(number)
            rows = pq.read_metadata(path).num_rows if is_table else None
            record.files[self._name(path)] = PartFile(sha256=digest(path), rows=rows)
        record.seal = record.sealed(self._last_seal())
        write_json(self._work_file(number, "json"), record.model_dump())
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
