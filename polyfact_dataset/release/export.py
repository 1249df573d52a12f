"""Stage `export`: the release folder that `load_dataset` reads.

Rows are partitioned by table, split and tier, so that every config is a list of files and no row is stored twice:
`parallel` and the languages list all tiers; `clean` and `clean_<lang>` list gold and silver; `clean_items`, the
default, lists the gold and silver files of all languages. `verification` has the items that were judged, including
those of withdrawn facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset import __version__
from polyfact_dataset.common.files import digest_sources, write_json, write_parquet
from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.context import Context, Report
from polyfact_dataset.release.layout import content_of, data_files
from polyfact_dataset.release.models import ITEMS, Manifest
from polyfact_dataset.release.reader import config_order
from polyfact_dataset.release.rows import tables
from polyfact_dataset.release.schema import FLAT_ROWS, SUBJECT_SPLITS
from polyfact_dataset.schema import SPLITS, TIERS, VERIFICATION

CLEAN_TIERS = ("gold", "silver")
_NOT_FLAT = ("parallel", "open")


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on."""
    return {"languages": config.languages, "export": config.export.model_dump(), "version": __version__}


def write_partition(folder: Path, name: str, rows: pa.Table, config: Config) -> dict[str, int]:
    """Writes one table, split and tier in shards of equal size; returns their names in the release and their rows.

    The number of shards follows from the size of the rows in memory, which is an upper bound of the compressed size.
    """
    size = -(-len(rows) // max(-(-rows.nbytes // config.export.shard_bytes), 1))
    shards = -(-len(rows) // size)
    written = {}
    for shard, first in enumerate(range(0, len(rows), size)):
        path, part = f"data/{name}-{shard:05}-of-{shards:05}.parquet", rows.slice(first, size)
        write_parquet(folder / path, part, config.export.row_group_rows)
        written[path] = len(part)
    return written


def configs(files: dict[str, dict[str, dict[str, list[str]]]]) -> dict[str, dict[str, list[str]]]:
    """Config -> split -> files, in the order of `config_order`. `files` is table -> split -> tier -> files."""
    codes = [table for table in files if table not in _NOT_FLAT]

    def of(tables: Sequence[str], tiers: Sequence[str]) -> dict[str, list[str]]:
        splits = {
            split: [path for table in tables for tier in tiers for path in files[table].get(split, {}).get(tier, ())]
            for split in SPLITS
        }
        return {split: paths for split, paths in splits.items() if paths}

    listed = {table: of([table], TIERS) for table in files}
    listed |= {"clean" if table == "parallel" else f"clean_{table}": of([table], CLEAN_TIERS) for table in files}
    listed[ITEMS] = of(codes, CLEAN_TIERS)
    return {name: listed[name] for name in config_order(listed, codes) if listed[name]}


def _partitions(items: pa.Table, tiers: pa.Table) -> dict[tuple[str, str], pa.Array]:
    """(split, tier) -> row numbers."""
    split, tier = items.column("split"), tiers.column("quality_tier")
    masks = {(s, t): pc.and_(pc.equal(split, s), pc.equal(tier, t)) for s in SPLITS for t in TIERS}
    return {key: pc.indices_nonzero(mask.combine_chunks()) for key, mask in masks.items() if pc.any(mask).as_py()}


def _aligned(items: pa.Table, tiers: pa.Table) -> dict[str, pa.Array]:
    if items.column("fact_id").combine_chunks() != tiers.column("fact_id").combine_chunks():
        raise AssertionError("items and tiers are not aligned")
    shipped = FLAT_ROWS.schema.names
    names = [name for name in tiers.column_names if name in shipped and name not in items.column_names]
    return {name: tiers.column(name).combine_chunks() for name in names}


def write_judged(context: Context, config: Config) -> dict[str, dict[str, int]]:
    """Writes the rows of config `verification`, by the split of their facts: split -> files and their rows."""
    judged = context.read("judged_items")
    splits = judged.column("split")
    parts = {split: judged.filter(pc.equal(splits, split)).drop_columns(["split"]) for split in SPLITS}
    return {
        split: write_partition(context.folder, f"{VERIFICATION.name}/{split}", part, config)
        for split, part in parts.items()
        if len(part)
    }


def split_sizes(listed: dict[str, dict[str, list[str]]], rows: dict[str, int]) -> dict[str, dict[str, int]]:
    """Config -> split -> number of rows."""
    return {
        name: {split: sum(rows[path] for path in paths) for split, paths in splits.items()}
        for name, splits in listed.items()
    }


def by_relation(items: pa.Table) -> dict[str, dict[str, int]]:
    """Relation -> split -> number of facts."""
    counts: dict[str, dict[str, int]] = {}
    for row in items.group_by(["property_id", "split"]).aggregate([([], "count_all")]).to_pylist():
        counts.setdefault(row["property_id"], {})[row["split"]] = row["count_all"]
    return counts


def release_manifest(
    context: Context, folder: Path, listed: dict[str, Any], sizes: dict[str, Any], relations: dict[str, Any]
) -> dict[str, Any]:
    """The record of a release: inputs, configuration, counts and digests, without paths and times."""
    data = data_files(folder)
    stages = {
        name: {"counts": entry["counts"], "tally": entry["tally"]} for name, entry in context.manifest["stages"].items()
    }
    return {
        "polyfact": __version__,
        "code": digest_sources([Path(__file__).parents[1]]),
        "build": context.manifest["build"],
        "content": content_of(data),
        "files": data,
        "configs": listed,
        "sizes": sizes,
        "relations": relations,
        "stages": stages,
    }


def subject_splits(previous: Mapping[str, str], items: pa.Table) -> pa.Table:
    """The split of every subject of this and all earlier releases, which the next release keeps."""
    splits = {**previous, **dict(zip(items.column("subject_id").to_pylist(), items.column("split").to_pylist()))}
    subjects = sorted(splits)
    return pa.table([subjects, [splits[subject] for subject in subjects]], schema=SUBJECT_SPLITS.schema)


def run(context: Context) -> Report:
    """Writes the data of the release folder: `data/`, `manifest.json`, `splits.parquet`."""
    config, folder = context.config, context.folder
    languages: Sequence[str] = config.languages
    drawn, tiers = context.read("items"), context.read("tiers")
    # Without the facts that were judged incorrect.
    items = drawn.filter(pc.is_in(drawn.column("fact_id"), tiers.column("fact_id").combine_chunks()))
    partitions = _partitions(items, tiers)
    files: dict[str, dict[str, dict[str, list[str]]]] = {}
    rows: dict[str, int] = {}
    labels, answer_aliases = context.read("question_labels"), context.read("answer_aliases")
    with ThreadPoolExecutor(config.extract.workers) as pool:
        for table, content in tables(items, _aligned(items, tiers), labels, answer_aliases, languages):
            names = [f"{table}/{split}-{tier}" for split, tier in partitions]
            # Arrow compresses without Python's lock.
            parts = map(content.take, partitions.values())
            parts_written = pool.map(partial(write_partition, folder, config=config), names, parts)
            for (split, tier), written in zip(partitions, parts_written):
                files.setdefault(table, {}).setdefault(split, {})[tier] = list(written)
                rows |= written
    listed, judged = configs(files), write_judged(context, config)
    if judged:
        listed[VERIFICATION.name] = {split: list(written) for split, written in judged.items()}
        rows |= {path: number for written in judged.values() for path, number in written.items()}
    sizes = split_sizes(listed, rows)
    manifest = release_manifest(context, folder, listed, sizes, by_relation(items))
    Manifest.model_validate(manifest)
    write_json(folder / "manifest.json", manifest)
    write_parquet(folder / "splits.parquet", subject_splits(context.previous.splits, drawn))
    return Report({"content": manifest["content"], "configs": len(listed), "facts": len(items)})
