"""`polyfact merge`: one extraction from those of the parts of a dump, made on several machines.

Parts are either `--part i/n` of one dump, whose lines at the borders are joined here, or whole dump files.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import digest_json, read_parquet, sync, write_json, write_parquet
from polyfact_dataset.common.untrusted import read_validated
from polyfact_dataset.pipeline.build_dir import read_manifest
from polyfact_dataset.pipeline.context import Context, Report
from polyfact_dataset.pipeline.stages import EXTRACT, stage_folder
from polyfact_dataset.wikidata.columns import Rows
from polyfact_dataset.wikidata.entities import Reader
from polyfact_dataset.wikidata.extract import (
    EXTRACTION,
    HEAD,
    TAIL,
    ExtractionRecord,
    check_broken,
    extracted_fields,
    fingerprint,
)
from polyfact_dataset.wikidata.lines import joined
from polyfact_dataset.wikidata.workers import REPORTED, TABLES, counts_of, renumbered


@dataclass(frozen=True)
class Source:
    """The folder of a finished extraction, the dump in its manifest, and the content of `EXTRACTION`."""

    folder: Path
    dump: str
    counts: dict[str, int]
    part: tuple[int, int] | None
    newlines: int
    has_head: bool
    settings: str

    @classmethod
    def open(cls, out: Path) -> Source:
        """Raises `ConfigError` when the build folder has no finished extraction."""
        folder, manifest = stage_folder(out, EXTRACT), out / "manifest.json"
        content = read_manifest(out) if manifest.exists() else {"stages": {}}
        if EXTRACT.name not in content["stages"] or not (folder / EXTRACTION).exists():
            raise ConfigError(f"{out} has no finished extraction; run `polyfact extract --out {out}` to its end")
        about = read_validated(folder / EXTRACTION, ExtractionRecord, f"rerun `polyfact extract --out {out}`")
        return cls(
            folder,
            content["build"]["dump"],
            content["stages"][EXTRACT.name]["counts"],
            (about["part"][0], about["part"][1]) if about["part"] else None,
            about["newlines"],
            about["has_head"],
            about["settings"],
        )


def open_sources(outs: Sequence[Path]) -> tuple[list[Source], str]:
    """The extractions in the order of the dump, and the identity of the merged dump.

    Raises `ConfigError` when they are not all parts of one dump, or none is a part.
    """
    sources = [Source.open(out) for out in outs]
    if len({source.settings for source in sources}) > 1:
        raise ConfigError("the extractions were made with different languages, relations or extract settings")
    parts = [source.part for source in sources if source.part]
    if not parts:
        if len({source.dump for source in sources}) < len(sources):
            raise ConfigError("two of the extractions are of the same dump: give each once")
        return sources, "merge:" + digest_json([source.dump for source in sources])
    count = parts[0][1]
    if len(parts) < len(sources) or sorted(parts) != [(number, count) for number in range(1, count + 1)]:
        named = ", ".join(f"{number}/{of}" for number, of in sorted(parts))
        raise ConfigError(
            f"merge needs each of the parts 1/{count} to {count}/{count} once; the given parts are {named}"
        )
    if len({source.dump for source in sources}) > 1:
        raise ConfigError("the parts are not of the same dump")
    return sorted(sources, key=lambda source: source.part or (0, 0)), sources[0].dump


def _take(source: Path, target: Path) -> None:
    """Links a file, or copies it where linking fails."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        sync(target)


class _Merger:
    """Collects part files, and completes the lines between them."""

    def __init__(self, context: Context) -> None:
        self._folder, self._limit = context.folder, context.config.extract.max_line_bytes
        self._reader = Reader(extracted_fields(context.config), self._limit)
        self._files, self._newlines, self._tail = 0, 0, b""
        self._quarantine: list[pa.Table] = []
        self.counts = Counter[str]()
        for table in TABLES[:2]:
            (self._folder / f"{table.name}.parquet").mkdir()

    def add(self, source: Source) -> None:
        head, tail = ((source.folder / name).read_bytes() if source.part else b"" for name in (HEAD, TAIL))
        if source.has_head:
            self._complete(joined(self._tail, head, self._limit))
            self._tail = tail
        else:
            self._tail = joined(self._tail, tail, self._limit)
        names = sorted(path.name for path in (source.folder / "entities.parquet").iterdir())
        for name in names:
            for table in TABLES[:2]:
                path = f"{table.name}.parquet"
                _take(source.folder / path / name, self._folder / path / f"{self._files:05}.parquet")
            self._files += 1
        quarantine = read_parquet(source.folder / "quarantine.parquet")
        self._quarantine.append(renumbered(quarantine, self._newlines))
        self.counts.update(source.counts)
        self._newlines += source.newlines

    def _complete(self, line: bytes) -> None:
        rows = Rows()
        self._reader.read(line, self._newlines + 1, rows)
        if not rows.lines:
            return
        tables = rows.tables()
        for table, content in zip(TABLES[:2], tables):
            write_parquet(self._folder / f"{table.name}.parquet" / f"{self._files:05}.parquet", content)
        self._files += 1
        self._quarantine.append(tables[2])
        self.counts.update(counts_of(rows))
        self.counts.update({table.name: content.num_rows for table, content in zip(TABLES, tables)})

    def finish(self, config_digest: str) -> None:
        """Writes the files of an extraction other than its part files."""
        if self._tail:
            raise AssertionError("the last part left a line open")
        write_parquet(self._folder / "quarantine.parquet", pa.concat_tables(self._quarantine))
        about = {"newlines": self._newlines, "part": None, "has_head": False, "settings": config_digest}
        write_json(self._folder / EXTRACTION, about)


def merged(context: Context, sources: Sequence[Source]) -> Report:
    """The result of stage `extract`, combined from several extractions."""
    if sources[0].settings != fingerprint(context.config):
        raise ConfigError("the extractions were made with other settings; give merge the same --config")
    for path in context.folder.iterdir():
        if not path.name.startswith("."):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    merger = _Merger(context)
    for source in sources:
        merger.add(source)
    merger.finish(sources[0].settings)
    check_broken(merger.counts, context.config.extract, "(merged)", final=True)
    if not merger.counts["entities"]:
        raise DataError("the extractions contain no Wikidata entity")
    return Report({name: merger.counts[name] for name in REPORTED})
