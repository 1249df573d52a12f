"""Small release folders written by hand: a README with configs, and Parquet files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from yaml import safe_dump

from polyfact_dataset.common.files import digest
from polyfact_dataset.release.layout import content_of
from polyfact_dataset.release.models import tables_of

Rows = list[dict[str, Any]]
LANGUAGES = ("en", "de", "ja")
NAMES = {
    "Q1": {"en": ["Paris", "City of Light"], "de": ["Paris"], "ja": ["パリ"]},
    "Q2": {"en": ["Rome"], "de": ["Rom"], "ja": ["ローマ"]},
    "Q3": {"en": ["Vienna"], "de": ["Wien"], "ja": ["ウィーン"]},
    "Q4": {"en": ["Cairo"], "de": ["Kairo"], "ja": ["カイロ"]},
}


def ids(number: int, gold: str) -> dict[str, str]:
    """The id columns of a fact."""
    subject = f"Q{100 + number}"
    return {"fact_id": f"{subject}|P36|{gold}", "subject_id": subject, "property_id": "P36", "object_id": gold}


def choice(code: str, order: list[str], gold: str, question: str) -> dict[str, Any]:
    """One language of a multiple-choice row."""
    names = [NAMES[entity][code][0] for entity in order]
    options = dict(zip(("option_a", "option_b", "option_c", "option_d"), names))
    return {
        "question": question,
        **options,
        "answer_text": NAMES[gold][code][0],
        "answer_index": order.index(gold),
        "option_ids": order,
        "subject_label": question,
    }


def parallel_rows(count: int = 4) -> Rows:
    """Facts whose golds go round the four cities; options are turned by one place per language."""
    entities, rows = list(NAMES), []
    for number in range(count):
        gold = entities[number % 4]
        translations = {
            code: choice(code, entities[turn:] + entities[:turn], gold, f"{code} question {number}")
            for turn, code in enumerate(("en", "de", "ja"))
        }
        rows.append({**ids(number, gold), "translations": translations})
    return rows


def open_rows(count: int = 4) -> Rows:
    """The same facts without options, with all names as accepted answers."""
    rows = []
    for row in parallel_rows(count):
        translations = {
            code: {
                "question": item["question"],
                "answer": item["answer_text"],
                "accepted_answers": NAMES[row["object_id"]][code],
            }
            for code, item in row["translations"].items()
        }
        rows.append({**{name: row[name] for name in ids(0, "Q1")}, "translations": translations})
    return rows


def write(folder: Path, configs: dict[str, dict[str, Rows]]) -> Path:
    """Writes config -> split -> rows as a release folder; a split without rows is empty.

    Config `parallel` is that of `clean` unless given: every release has it.
    """
    listed: dict[str, dict[str, list[str]]] = {}
    sizes: dict[str, dict[str, int]] = {}
    digests: dict[str, str] = {}
    for config, splits in configs.items():
        schema = pa.Table.from_pylist(next(rows for rows in splits.values() if rows)).schema
        for split, rows in splits.items():
            name = f"data/{tables_of(config, LANGUAGES)[0]}/{split}-{config}.parquet"
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
            listed.setdefault(config, {})[split] = [name]
            sizes.setdefault(config, {})[split] = len(rows)
            digests[name] = digest(path)
    for table in (listed, sizes):
        table.setdefault("parallel", next(iter(table.values())))
    manifest = {
        "build": {"config": {"languages": list(LANGUAGES)}},
        "configs": listed,
        "sizes": sizes,
        "files": digests,
        "content": content_of(digests),
        "stages": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    readme = [
        {"config_name": config, "data_files": [{"split": split, "path": paths[0]} for split, paths in splits.items()]}
        for config, splits in listed.items()
    ]
    (folder / "README.md").write_text(f"---\n{safe_dump({'configs': readme})}---\n", encoding="utf-8")
    return folder
