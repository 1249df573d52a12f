"""The card's YAML block: what the Hub and `load_dataset` read of a release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from polyfact_dataset.release.reader import Release

_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"))


def _info(folder: Path, name: str, splits: dict[str, list[str]]) -> dict[str, Any]:
    """One entry of `dataset_info`: features, and per split the rows and bytes of its files."""
    from datasets import Features

    metadata = {path: pq.read_metadata(folder / path) for paths in splits.values() for path in paths}
    entries = []
    for split, paths in splits.items():
        own = [metadata[path] for path in paths]
        entries.append(
            {
                "name": split,
                "num_bytes": sum(m.row_group(g).total_byte_size for m in own for g in range(m.num_row_groups)),
                "num_examples": sum(m.num_rows for m in own),
            }
        )
    schema = next(iter(metadata.values())).schema.to_arrow_schema()
    return {
        "config_name": name,
        "features": Features.from_arrow_schema(schema)._to_yaml_list(),
        "splits": entries,
        "download_size": sum((folder / path).stat().st_size for path in metadata),
        "dataset_size": sum(entry["num_bytes"] for entry in entries),
    }


def block(release: Release, licences: list[str]) -> str:
    """The YAML between the dashes: description, `configs` and `dataset_info`, of the files as they are."""
    from huggingface_hub import DatasetCardData

    listed: dict[str, dict[str, list[str]]] = release.manifest["configs"]
    facts = release.rows("parallel")
    size = next((name for limit, name in _SIZES if facts < limit), "n>1T")
    data = DatasetCardData(
        pretty_name="PolyFact",
        language=release.languages,
        license=licences[0] if len(set(licences)) == 1 else list(dict.fromkeys(licences)),
        task_categories=["question-answering", "multiple-choice"],
        multilinguality="multilingual",
        size_categories=[size],
        source_datasets=["original"],
        tags=["wikidata", "factual-recall", "cross-lingual-consistency", "parallel"],
        configs=[
            {
                "config_name": name,
                **({"default": True} if name == "parallel" else {}),
                "data_files": [{"split": split, "path": paths} for split, paths in splits.items()],
            }
            for name, splits in listed.items()
        ],
        dataset_info=[_info(release.folder, name, splits) for name, splits in listed.items()],
    )
    return str(data.to_yaml())
