"""Small worlds of Wikidata items: whole, as the API knows them, and with holes, as a dump may hold them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polyfact_dataset.languages import PAPER_LANGUAGES
from tests.synthetic import names

Entity = dict[str, Any]


def statement(relation: str, value: str, rank: str = "normal") -> dict[str, Any]:
    """One statement in the layout of the dump."""
    snak = {
        "snaktype": "value",
        "property": relation,
        "datavalue": {"value": {"entity-type": "item", "id": value}, "type": "wikibase-entityid"},
    }
    return {"mainsnak": snak, "type": "statement", "rank": rank}


def item(
    qid: str,
    labels: Mapping[str, str],
    statements: Iterable[tuple[str, str]] = (),
    *,
    aliases: Mapping[str, list[str]] | None = None,
    descriptions: Mapping[str, str] | None = None,
    titles: Mapping[str, str] | None = None,
    kind: str = "Q35120",
) -> Entity:
    """One item in the layout of the dump."""
    claims: dict[str, list[Any]] = {"P31": [statement("P31", kind)]}
    for relation, value in statements:
        claims.setdefault(relation, []).append(statement(relation, value))
    return {
        "type": "item",
        "id": qid,
        "labels": {code: {"language": code, "value": text} for code, text in labels.items()},
        "descriptions": {code: {"language": code, "value": text} for code, text in (descriptions or {}).items()},
        "aliases": {
            code: [{"language": code, "value": text} for text in texts] for code, texts in (aliases or {}).items()
        },
        "sitelinks": {wiki: {"site": wiki, "title": title} for wiki, title in (titles or {}).items()},
        "claims": claims,
    }


def labelled(count: int, first: int, seed: int = 1) -> dict[str, dict[str, str]]:
    """`count` ids from `Q<first>` on, with distinct labels in all languages, each in its script."""
    rng = np.random.default_rng(seed)
    by_language = {code: names(count, code, rng) for code in PAPER_LANGUAGES}
    return {f"Q{first + n}": {code: texts[n] for code, texts in by_language.items()} for n in range(count)}


def without(entity: Entity, codes: Collection[str]) -> Entity:
    """The item without its labels in some languages."""
    kept = {code: text for code, text in entity["labels"].items() if code not in codes}
    return {**entity, "labels": kept}


def write_dump(path: Path, entities: Iterable[Entity]) -> Path:
    """A dump of these entities in the official layout."""
    lines = ",\n".join(json.dumps(entity) for entity in entities)
    path.write_text(f"[\n{lines}\n]\n")
    return path
