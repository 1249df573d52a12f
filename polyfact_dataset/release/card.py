"""The dataset card: rendered from the manifest, the records and the files; no number is typed."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, StrictUndefined

from polyfact_dataset.languages import language
from polyfact_dataset.records import _ITEM, OPEN_ITEM, OPTIONS, SPLITS, TIERS, parallel_rows
from polyfact_dataset.relations import all_relations

_EXAMPLE_LANGUAGES = ("en", "sw", "bn", "ja", "ar", "ru")


def _info(folder: Path, name: str, splits: dict[str, list[str]], schema: pa.Schema) -> dict[str, Any]:
    """One entry of `dataset_info`: features, and per split the rows and bytes of its files."""
    from datasets import Features

    entries = []
    for split in (split for split in SPLITS if split in splits):
        metadata = [pq.read_metadata(folder / path) for path in splits[split]]
        entries.append(
            {
                "name": split,
                "num_bytes": sum(m.row_group(g).total_byte_size for m in metadata for g in range(m.num_row_groups)),
                "num_examples": sum(m.num_rows for m in metadata),
            }
        )
    return {
        "config_name": name,
        "features": Features.from_arrow_schema(schema)._to_yaml_list(),
        "splits": entries,
        "download_size": sum((folder / path).stat().st_size for paths in splits.values() for path in paths),
        "dataset_size": sum(entry["num_bytes"] for entry in entries),
    }


def metadata(folder: Path, manifest: dict[str, Any], schemas: dict[str, pa.Schema]) -> str:
    """The card's YAML block."""
    from huggingface_hub import DatasetCardData

    listed: dict[str, dict[str, list[str]]] = manifest["configs"]
    total = sum(manifest["sizes"]["parallel"].values())
    size = next(
        name
        for limit, name in ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e9, "100K<n<1M"))
        if total < limit
    )
    data = DatasetCardData(
        pretty_name="PolyFact",
        language=list(manifest["build"]["config"]["languages"]),
        license="cc0-1.0",
        task_categories=["question-answering", "multiple-choice"],
        multilinguality="multilingual",
        size_categories=[size],
        source_datasets=["original"],
        tags=["wikidata", "factual-recall", "cross-lingual-consistency", "parallel"],
        configs=[
            {
                "config_name": name,
                **({"default": True} if name == "parallel" else {}),
                "data_files": [{"split": split, "path": splits[split]} for split in SPLITS if split in splits],
            }
            for name, splits in listed.items()
        ],
        dataset_info=[
            _info(
                folder,
                name,
                splits,
                schemas["parallel" if name in ("parallel", "clean") else name.removeprefix("clean_")],
            )
            for name, splits in listed.items()
        ],
    )
    return str(data.to_yaml())


def _escape(text: str) -> str:
    """Text of a label or question inside a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")


def _example(folder: Path, splits: dict[str, list[str]], codes: list[str]) -> dict[str, Any]:
    """The item of the most widely known subject of the test split, in several languages."""
    path = next(splits[split][0] for split in ("test", "validation", "train") if split in splits)
    rows = pq.read_table(folder / path).to_pylist()
    row = min(rows, key=lambda r: (-r["popularity"], r["fact_id"]))
    shown = []
    for code in codes:
        item = row["translations"][code]
        options = [
            f"**{_escape(item[name])}**" if position == item["answer_index"] else _escape(item[name])
            for position, name in enumerate(OPTIONS)
        ]
        shown.append(
            {"name": language(code).name, "question": _escape(item["question"]), "options": " · ".join(options)}
        )
    return {**row, "rows": shown}


def _type(kind: pa.DataType) -> str:
    return "struct" if pa.types.is_struct(kind) else "list of string" if pa.types.is_list(kind) else str(kind)


def _provenance(counts: dict[str, dict[str, int]], languages: list[str]) -> dict[str, Any]:
    """The kinds of provenance that occur, the commonest first, and how many labels of each a language has."""
    total = Counter[str]()
    for code in languages:
        total.update(counts[code])
    kinds = sorted(total, key=lambda kind: (kind == "missing", -total[kind], kind))
    rows = [{"code": code, "counts": [f"{counts[code].get(kind, 0):,}" for kind in kinds]} for code in languages]
    return {"kinds": kinds, "rows": rows}


def _relations(counts: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    """Facts per relation and split, with the judged ambiguity."""
    rows = []
    for relation in (entry for entry in all_relations().values() if entry.id in counts):
        own = [counts[relation.id].get(split, 0) for split in SPLITS]
        ambiguity = "–" if relation.ambiguity is None else f"{100 * relation.ambiguity:.0f} %"
        rows.append(
            {"id": relation.id, "label": relation.label, "facts": sum(own), "splits": own, "ambiguity": ambiguity}
        )
    return rows


def render(folder: Path, manifest: dict[str, Any], schemas: dict[str, pa.Schema]) -> str:
    """The whole card: YAML block and text. A number the template needs and the manifest lacks is an error."""
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string(files("dataset_card").joinpath("card.md.j2").read_text(encoding="utf-8"))
    config, stages, sizes = manifest["build"]["config"], manifest["stages"], manifest["sizes"]
    columns = [
        {"name": c.name, "type": _type(c.type), "doc": c.doc} for c in parallel_rows(config["languages"]).columns
    ]
    codes = [code for code in _EXAMPLE_LANGUAGES if code in config["languages"]]
    body = template.render(
        languages=config["languages"],
        total=sum(sizes["parallel"].values()),
        relations=_relations(manifest["relations"]),
        tiers={tier: stages["tier"]["counts"]["tiers"].get(tier, 0) for tier in TIERS},
        splits=SPLITS,
        sizes={
            name: [{"what": split, "size": f"{by_split.get(split, 0):,}"} for split in SPLITS]
            for name, by_split in sizes.items()
        },
        max_ambiguity=f"{100 * config['tiers']['max_ambiguity']:.0f} %",
        parallel_columns=columns,
        item_columns=[{"name": c.name, "type": _type(c.type), "doc": c.doc} for c in _ITEM],
        open_columns=[{"name": c.name, "type": _type(c.type), "doc": c.doc} for c in OPEN_ITEM],
        provenance=_provenance(stages["localise"]["counts"]["languages"], config["languages"]),
        entities=stages["localise"]["counts"]["entities"],
        example=_example(folder, manifest["configs"]["parallel"], codes),
        version=manifest["polyfact"],
        seed=config["seed"],
        model=config["questions"]["model"],
        dump=manifest["build"]["dump"],
        statements=stages["extract"]["counts"]["statements"],
        candidates=stages["candidates"]["counts"]["candidates"],
        survivors=stages["validate"]["counts"]["survivors"],
        content=manifest["content"],
    )
    return f"---\n{metadata(folder, manifest, schemas)}\n---\n\n{body}"
