"""Small dumps of the true shape in every compression, and extracting them in this process."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import zstandard
from synthetic_dump import lines

from polyfact_dataset.common.files import digest
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config
from polyfact_dataset.config.wikidata import ExtractConfig
from polyfact_dataset.pipeline.runner import Inputs, run
from polyfact_dataset.pipeline.stages import EXTRACT, stage_folder
from polyfact_dataset.wikidata.dump import Text, check_input, damage_as_data_error, identify, open_raw, text_of

# About 50 chunks in 7 parts of text; of bz2 (blocks of 100 kB of text) about 12 in 6.
SMALL = {"batch_bytes": 24_000, "max_line_bytes": 1 << 22}
KINDS = ("plain", "bz2", "bz2 streams", "gz", "gz members", "zst", "zst frames")


@cache
def text(size: int = 1_200_000) -> bytes:
    """A dump of the official layout, one broken line among its entities."""
    content = b"".join(lines(size, seed=3))
    middle = content.index(b"\n", len(content) // 2) + 1
    return content[:middle] + b'{"id":"Q7","labels":\n' + content[middle:]


def _pieces(content: bytes) -> list[bytes]:
    """Seven pieces that do not end with lines."""
    borders = [len(content) * n // 7 for n in range(8)]
    return [content[begin:end] for begin, end in zip(borders, borders[1:])]


@cache
def packed(kind: str) -> bytes:
    """The dump, compressed in one or in several streams."""
    content = text()
    parts = _pieces(content) if " " in kind else [content]
    pack = {
        "plain": lambda data: data,
        "bz2": lambda data: bz2.compress(data, 1),
        "gz": lambda data: gzip.compress(data, mtime=0),
        "zst": zstandard.ZstdCompressor().compress,
    }[kind.split()[0]]
    return b"".join(map(pack, parts))


@contextmanager
def open_dump(path: Path) -> Iterator[Text]:
    """The decompressed bytes of a dump, in one thread. Raises `DataError` when they are truncated or corrupt."""
    check_input(path)
    raw = open_raw(path)
    try:
        with damage_as_data_error(raw.name):
            yield text_of(raw)
    finally:
        raw.close()


def settings(kind: str) -> dict[str, int]:
    """Settings for small chunks and parts."""
    return {**SMALL, "part_batches": 4 if kind.startswith("bz2") else 8}


def config(kind: str = "", workers: int = 1, **extract: int) -> Config:
    """A configuration with small chunks and parts."""
    return Config(extract=ExtractConfig(workers=workers, **{**settings(kind), **extract}))


def extract(dump: Path, out: Path, own: Config, log: Log | None = None, part: tuple[int, int] | None = None) -> Path:
    """Extracts in this process; the folder of the stage."""
    run(Inputs(own, dump, identify(dump), part=part), out, log or Log(quiet=True), until=EXTRACT)
    return stage_folder(out, EXTRACT)


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file."""
    return {path.relative_to(folder).as_posix(): digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def tables(folder: Path) -> tuple[list, list, list]:
    """The rows of an extraction's entities, statements and quarantine."""
    names = ("entities", "statements", "quarantine")
    return tuple(pq.read_table(folder / f"{name}.parquet").to_pylist() for name in names)  # type: ignore[return-value]
