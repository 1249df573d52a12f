"""The card's YAML block, from which the Hub and `load_dataset` read a release.

The features are left out: `load_dataset` takes them from the Parquet files, and repeating them for every config would
take three quarters of the card. Files are named by patterns, so that the block does not grow with the number of shards.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from polyfact_dataset.common.files import readable
from polyfact_dataset.release.reader import Release, default_config

_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"))


_SHARD = re.compile(r"-\d{5}-of-\d{5}\.parquet$")
_CLEAN = re.compile(r"-(?:gold|silver)$")


class _OneLine(dict[str, Any]):
    """A mapping that is written on one line."""


class _OneLineList(list[Any]):
    """A list that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Writes the entries that repeat for every config on one line each."""


_Dumper.add_representer(
    _OneLine, lambda dumper, value: dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=True)
)
_Dumper.add_representer(
    _OneLineList, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def patterns(paths: Sequence[str], files: Collection[str]) -> list[str]:
    """Patterns that match `paths` in their order and nothing else among `files`; the paths themselves where none do.

    Readers sort the matches of a pattern, so that `[gs]*` gives gold, then silver.
    """
    stems = [_SHARD.sub("", path) for path in paths]
    globs: list[str] = []
    for start, group in groupby(dict.fromkeys(stems), key=lambda stem: _CLEAN.sub("-", stem)):
        members = list(group)
        globs.append(f"{start}[gs]*.parquet" if len(members) == 2 else f"{members[0]}-*.parquet")
    matched = [path for pattern in globs for path in sorted(files) if fnmatchcase(path, pattern)]
    return globs if matched == list(paths) else list(paths)


def _metadata(folder: Path, configs: Mapping[str, Mapping[str, list[str]]]) -> dict[str, pq.FileMetaData]:
    """Path in the release -> Parquet metadata; files that several configs share are read once."""
    paths = {path for splits in configs.values() for paths in splits.values() for path in paths}
    with readable(folder):
        return {path: pq.read_metadata(folder / path) for path in sorted(paths)}


def _info(
    folder: Path, name: str, splits: Mapping[str, list[str]], metadata: Mapping[str, pq.FileMetaData]
) -> dict[str, Any]:
    """One entry of `dataset_info`: per split the rows and bytes of its files."""
    entries = []
    for split, paths in splits.items():
        files = [metadata[path] for path in paths]
        entries.append(
            _OneLine(
                name=split,
                num_bytes=sum(m.row_group(g).total_byte_size for m in files for g in range(m.num_row_groups)),
                num_examples=sum(m.num_rows for m in files),
            )
        )
    return {
        "config_name": name,
        "splits": entries,
        "download_size": sum((folder / path).stat().st_size for paths in splits.values() for path in paths),
        "dataset_size": sum(entry["num_bytes"] for entry in entries),
    }


def _files_of(splits: Mapping[str, list[str]], files: Collection[str]) -> list[_OneLine]:
    """The entry `data_files` of a config."""
    entries = []
    for split, paths in splits.items():
        named = patterns(paths, files)
        entries.append(_OneLine(split=split, path=named[0] if len(named) == 1 else _OneLineList(named)))
    return entries


def block(release: Release, licences: list[str], arxiv: str) -> str:
    """The YAML between the dashes: description, `configs` and `dataset_info`.

    `arxiv` is the id of the paper; as a tag, the Hub links it.
    """
    listed: dict[str, dict[str, list[str]]] = release.manifest["configs"]
    default = default_config(release.manifest)
    facts = release.rows("parallel")
    metadata = _metadata(release.folder, listed)
    values = {
        "pretty_name": "PolyFact",
        "language": release.languages,
        "license": licences[0] if len(set(licences)) == 1 else list(dict.fromkeys(licences)),
        "task_categories": ["question-answering", "multiple-choice"],
        "multilinguality": "multilingual",
        "size_categories": [next((name for limit, name in _SIZES if facts < limit), "n>1T")],
        "source_datasets": ["original"],
        "tags": ["wikidata", "factual-recall", "cross-lingual-consistency", "parallel", f"arxiv:{arxiv}"],
        "configs": [
            {
                "config_name": name,
                **({"default": True} if name == default else {}),
                "data_files": _files_of(splits, metadata),
            }
            for name, splits in listed.items()
        ],
        "dataset_info": [_info(release.folder, name, splits, metadata) for name, splits in listed.items()],
    }
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)).strip()
