"""The files of a release: configs, splits and paths, from its manifest or from the names of its folders.

Two layouts are read. A release that this project built has `manifest.json`, which lists the files of every config.
Any other dataset is read as published: a folder for each config (below `data/` or not), with files named after their
split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import digest, digest_json, read_schema
from polyfact_dataset.common.untrusted import read_validated
from polyfact_dataset.release.models import ListedFiles
from polyfact_dataset.schema import SPLITS

Configs = dict[str, dict[str, list[Path]]]
# Parquet files of a release that describe the data and are not part of them.
_DESCRIPTIONS = ("audit", "splits.parquet", "errata.parquet", "leaderboard.parquet")


def is_data_file(name: str) -> bool:
    """Whether a path in a release is that of a data file."""
    return name.endswith(".parquet") and name.partition("/")[0] not in _DESCRIPTIONS


def data_files(folder: Path) -> dict[str, str]:
    """Path in the release -> SHA-256 of every data file."""
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.parquet")}
    return {name: digest(path) for name, path in sorted(names.items()) if is_data_file(name)}


def content_of(files: Mapping[str, str]) -> str:
    """The digest that names the content of a release, from the digests of its data files."""
    return digest_json(dict(files))


def split_of(name: str) -> str:
    """The split that a data file is named after. Raises `DataError` for another name."""
    split = name.rpartition("/")[2].partition("-")[0].partition(".")[0]
    if split not in SPLITS:
        raise DataError(f"{name}: the name of a data file begins with its split, one of {', '.join(SPLITS)}")
    return split


def folder_of(name: str) -> str:
    """The folder that names the config of a data file; empty for files without such a folder."""
    folder = name.rpartition("/")[0].rpartition("/")[2]
    return "" if folder == "data" else folder


def _config_by_columns(path: Path) -> str:
    """The config of a file without a separate folder: by `translations` or `language`, else English items."""
    names = read_schema(path).names
    return "parallel" if "translations" in names else "clean_items" if "language" in names else "en"


def configs_by_folder(folder: Path, names: Iterable[str]) -> Configs:
    """Config -> split -> files, from the names of folders and files."""
    configs: Configs = {}
    for name in names:
        path = folder / name
        config = folder_of(name) or _config_by_columns(path)
        configs.setdefault(config, {}).setdefault(split_of(name), []).append(path)
    return configs


@dataclass(frozen=True)
class Files:
    """The data files of a release: config -> split -> paths, their digests, and the manifest ({} without one)."""

    configs: Configs
    digests: dict[str, str]
    manifest: dict[str, Any]

    def differences(self) -> tuple[str, ...]:
        """Files whose digest differs from the manifest; empty without a manifest."""
        listed: dict[str, str] = self.manifest.get("files", self.digests)
        names = listed.keys() | self.digests
        return tuple(sorted(name for name in names if listed.get(name) != self.digests.get(name)))


def find_files(folder: Path) -> Files:
    """Every data file in `folder`, by the names of folders, in either layout.

    Raises `ConfigError` for a folder without data, `DataError` for files that cannot be read or a broken manifest.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; give the folder of a release")
    digests = data_files(folder)
    if not digests:
        raise ConfigError(f"{folder} contains no Parquet file; give the folder of a release")
    path, advice = folder / "manifest.json", "it is not the manifest of a release: remove it, or give another folder"
    manifest = read_validated(path, ListedFiles, advice) if path.is_file() else {}
    return Files(configs_by_folder(folder, digests), digests, manifest)


def read_splits(
    splits: Mapping[str, list[Path]], columns: Iterable[str] | None = None, with_split: bool = True
) -> pa.Table:
    """The rows of a config, train first, with their split as the last column. Columns that a file lacks are left out.

    `columns` may name fields of a struct: `translations.sw`. Raises `DataError` for a file that cannot be read.
    """
    paths = [(split, path) for split in SPLITS for path in splits.get(split, ())]
    try:
        schemas = [pq.read_schema(path) for _, path in paths]
        shared = [name for name in schemas[0].names if all(name in schema.names for schema in schemas)]
        # A column of this name in the file has the same values.
        shared = [name for name in shared if name != "split" or not with_split]
        selected = shared if columns is None else [name for name in columns if name.partition(".")[0] in shared]
        parts = []
        for split, path in paths:
            rows = pq.ParquetFile(path).read(columns=selected)
            if with_split:
                rows = rows.append_column("split", pa.array([split] * len(rows), pa.string()))
            parts.append(rows)
        return pa.concat_tables(parts, promote_options="permissive")
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{paths[0][1].parent}: {error}") from error
