"""Small releases to draw from, and samples with known labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyfact_dataset.common.files import write_json
from polyfact_dataset.schema import OPTIONS
from polyfact_dataset.verification.sampling import Draw, write_sample

LANGUAGES = ("en", "ar", "bn")
RELATIONS = {"P36": "capital", "P50": "author", "P17": "country"}


def row(relation: str, number: int, code: str, label: str = "") -> dict[str, Any]:
    """One flat item; `label` replaces its subject's name."""
    name = label or f"{relation} thing {number}"
    options = [f"{code} answer {number + step}" for step in range(4)]
    marked = number % 4
    return {
        "fact_id": f"Q{number}|{relation}|Q{1000 + number}",
        "property_id": relation,
        "subject": name,
        "relation": RELATIONS[relation],
        "object": f"answer {number}",
        "question": f"{code}: {RELATIONS[relation]} of {name}?",
        **dict(zip(OPTIONS, options)),
        "answer_index": marked,
        "answer_text": options[marked],
        "subject_label": name,
    }


def write_release(
    folder: Path, numbers: dict[str, int], *, languages: tuple[str, ...] = LANGUAGES, label: str = ""
) -> Path:
    """A release with so many facts of each relation: of ten facts, eight in train and one in either other split."""
    facts = [(relation, number) for relation, count in numbers.items() for number in range(count)]
    configs: dict[str, Any] = {}
    for table, code in (("parallel", languages[0]), *zip(languages, languages)):
        for split, places in (("train", range(8)), ("validation", (8,)), ("test", (9,))):
            rows = [row(relation, number, code, label) for relation, number in facts if number % 10 in places]
            if rows:
                path = f"data/{table}/{split}.parquet"
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(pa.Table.from_pylist(rows), folder / path)
                configs.setdefault(table, {})[split] = [path]
    build = {"config": {"languages": list(languages)}}
    sizes = {name: dict.fromkeys(splits, 1) for name, splits in configs.items()}
    manifest = {"content": "c" * 64, "polyfact": "1", "build": build, "configs": configs, "sizes": sizes}
    write_json(folder / "manifest.json", {**manifest, "files": {}, "stages": {}})
    return folder


def sampled(folder: Path, numbers: dict[str, int] | None = None, items: int | None = 6, **options: Any) -> Path:
    """A folder with a sample of a small release."""
    release = write_release(folder / "release", numbers or {"P36": 10, "P50": 10, "P17": 10}, **options)
    write_sample(release, folder / "v", Draw(items, 42))
    return folder / "v"
