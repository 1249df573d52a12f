"""Small dumps with planted entities, read by the real stages."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config, load_config
from polyfact_dataset.pipeline.runner import Inputs, run
from polyfact_dataset.pipeline.stages import stage_named
from polyfact_dataset.sample.make import claim
from polyfact_dataset.wikidata.dump import identify

LATIN = ("en", "de", "id", "pt", "sw", "es", "fr")
NATIVE = {"ar": "باريس", "bn": "প্যারিস", "ru": "Париж", "ja": "パリ", "zh": "巴黎"}
DIGITS = str.maketrans("0123456789", "abcdefghij")


def labels(name: str, **others: str) -> dict[str, str]:
    """Labels in all 12 languages from one Latin name; a native word and letters for its digits elsewhere."""
    number = name.translate(DIGITS)
    native = {code: f"{word} {number}" for code, word in NATIVE.items()}
    return {**dict.fromkeys(LATIN, name), **native, **others}


def item(
    qid: str, names: dict[str, str], types: tuple[str, ...] = ("Q515",), titles: dict[str, str] | None = None, **more
) -> dict:
    claims = {"P31": [claim(qid, number, "P31", kind) for number, kind in enumerate(types, start=1)]}
    return {
        "type": "item",
        "id": qid,
        "labels": {code: {"language": code, "value": text} for code, text in names.items()},
        "descriptions": {},
        "aliases": {},
        "claims": claims,
        "sitelinks": {wiki: {"site": wiki, "title": title} for wiki, title in (titles or {}).items()},
        **more,
    }


def state(entity: dict, relation: str, *values: str | tuple[str, str, str]) -> dict:
    """Adds statements: an id, or (id, rank, year of its end)."""
    found = entity["claims"].setdefault(relation, [])
    for value in values:
        qid, rank, end = (value, "normal", "") if isinstance(value, str) else value
        found.append(claim(entity["id"], 100 + len(found), relation, qid, rank, end))
    return entity


def build(
    folder: Path, entities: list[dict], until: str = "export", config: Config | None = None, name: str = "build"
) -> Path:
    """Runs the stages on a dump of `entities`; returns the build folder."""
    dump = folder / f"{name}.json"
    dump.write_text("[\n" + ",\n".join(json.dumps(entity) for entity in entities) + "\n]\n")
    out = folder / name
    run(
        Inputs(config or load_config(facts=1000, extract__workers=1), dump, identify(dump)),
        out,
        Log(quiet=True),
        until=stage_named(until),
    )
    return out


def world(capitals: int = 60) -> list[dict]:
    """Countries Q1.. with one capital each, Q1001.., complete in all languages: facts that no stage rejects."""
    entities = []
    for number in range(1, capitals + 1):
        country, city = f"Q{number}", f"Q{1000 + number}"
        entities.append(state(item(country, labels(f"Land {number}"), ("Q6256",)), "P36", city))
        entities.append(item(city, labels(f"Town {number}")))
    return entities


def reasons(rows: list[dict]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        found[row["fact_id"]].append(row["reason"])
    return dict(found)


assert set(labels("x")) == set(PAPER_LANGUAGES)
