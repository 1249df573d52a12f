"""Releases with planted changes: rows read from one, edited, and written as another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyfact_dataset.common.files import write_parquet
from polyfact_dataset.release.layout import content_of, data_files
from polyfact_dataset.release.reader import config_files

Rows = list[dict[str, Any]]


def parallel_rows_of(release: Path) -> Rows:
    """The parallel rows with their split."""
    return [
        {**row, "split": split}
        for split, paths in config_files(release, "parallel").items()
        for path in paths
        for row in pq.read_table(path).to_pylist()
    ]


def copy_of(release: Path, target: Path) -> Path:
    """A copy that may be changed."""
    shutil.copytree(release, target)
    return target


def edited(release: Path, target: Path, edit: Callable[[Rows], Rows | None], schema: pa.Schema | None = None) -> Path:
    """A release with only parallel rows, those of `release` after `edit`, which changes or returns them."""
    rows = parallel_rows_of(release)
    rows = edit(rows) or rows
    old = next(iter(config_files(release, "parallel").values()))[0]
    schema = schema or pq.read_schema(old)
    listed: dict[str, list[str]] = {}
    for split in ("train", "validation", "test"):
        own = [{name: row[name] for name in schema.names} for row in rows if row["split"] == split]
        name = f"data/parallel/{split}-gold-00000-of-00001.parquet"
        write_parquet(target / name, pa.Table.from_pylist(own, schema=schema))
        listed[split] = [name]
    manifest = json.loads((release / "manifest.json").read_text())
    found = data_files(target)
    sizes = {split: sum(row["split"] == split for row in rows) for split in listed}
    manifest |= {"configs": {"parallel": listed}, "sizes": {"parallel": sizes}, "files": found}
    (target / "manifest.json").write_text(json.dumps({**manifest, "content": content_of(found)}))
    for name in ("release.json", "CHANGELOG.md"):
        shutil.copy(release / name, target / name)
    return target
