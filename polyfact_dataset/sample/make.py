"""Creates the bundled sample dump from the tables, in the layout of the official JSON dump.

    python -m polyfact_dataset.sample.make

Entities that yield no facts reproduce the irregular structures of the real dump: `[]` for an empty map, values without
an `id`, ranks, ended statements, unknown values, redirects, properties, lexemes, labels only under `mul` or a variant.
"""

from __future__ import annotations

import argparse
import bz2
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.files import atomic
from polyfact_dataset.sample.tables import (
    LANGUAGES,
    Entity,
    Person,
    Statement,
    load_entities,
    load_people,
    load_statements,
)

PATH = Path(__file__).parent / "dump.json.bz2"
_SEXES = {"male": "Q6581097", "female": "Q6581072"}


def _value(qid: str) -> dict[str, Any]:
    return {
        "value": {"entity-type": "item", "numeric-id": int(qid[1:]), "id": qid},
        "type": "wikibase-entityid",
    }


def _year(year: str) -> dict[str, Any]:
    number = int(year)
    time = {
        "time": f"{'-' if number < 0 else '+'}{abs(number):04}-00-00T00:00:00Z",
        "timezone": 0,
        "before": 0,
        "after": 0,
        "precision": 9,
        "calendarmodel": "http://www.wikidata.org/entity/Q1985727",
    }
    return {"value": time, "type": "time"}


def year_claim(subject: str, number: int, property_id: str, year: str) -> dict[str, Any]:
    """A statement whose value is a year."""
    statement = claim(subject, number, property_id, "Q0")
    statement["mainsnak"] |= {"datavalue": _year(year), "datatype": "time"}
    return statement


def claim(
    subject: str, number: int, property_id: str, value: str, rank: str = "normal", end: str = ""
) -> dict[str, Any]:
    """One statement in the layout of the dump; `end` is a year for the qualifier P582."""
    statement: dict[str, Any] = {
        "mainsnak": {
            "snaktype": "value",
            "property": property_id,
            "datavalue": _value(value),
            "datatype": "wikibase-item",
        },
        "type": "statement",
        "id": f"{subject}$00000000-0000-4000-8000-{number:012}",
        "rank": rank or "normal",
    }
    if end:
        snak = {
            "snaktype": "value",
            "property": "P582",
            "datavalue": _year(end),
            "datatype": "time",
        }
        statement["qualifiers"] = {"P582": [snak]}
        statement["qualifiers-order"] = ["P582"]
    return statement


def _labels(labels: dict[str, str]) -> dict[str, Any]:
    return {code: {"language": code, "value": text} for code, text in labels.items()}


def item(entity: Entity, statements: list[Statement], person: Person | None = None) -> dict[str, Any]:
    """One item of the tables as an entity of the dump. Empty maps are `[]`, as PHP writes them."""
    claims: dict[str, list[dict[str, Any]]] = defaultdict(list)
    number = 0
    for kind in entity.types:
        number += 1
        claims["P31"].append(claim(entity.qid, number, "P31", kind))
    if person is not None:
        claims["P21"].append(claim(entity.qid, number := number + 1, "P21", _SEXES[person.sex]))
        for property_id, year in (("P569", person.born), ("P570", person.died)):
            if year:
                claims[property_id].append(year_claim(entity.qid, number := number + 1, property_id, year))
    for statement in statements:
        number += 1
        claims[statement.property].append(
            claim(entity.qid, number, statement.property, statement.object, statement.rank, statement.end)
        )
    aliases = {code: [{"language": code, "value": name} for name in names] for code, names in entity.aliases.items()}
    sitelinks = {"enwiki": {"site": "enwiki", "title": entity.enwiki, "badges": []}} if entity.enwiki else {}
    return {
        "type": "item",
        "id": entity.qid,
        "labels": _labels(entity.labels),
        "descriptions": [],
        "aliases": aliases or [],
        "claims": dict(claims) or [],
        "sitelinks": sitelinks or [],
    }


def merged(entities: list[Entity]) -> list[Entity]:
    """One entity per id, in the order of their numbers; the first file that has it gives its labels."""
    first: dict[str, Entity] = {}
    for entity in entities:
        first.setdefault(entity.qid, entity)
    return sorted(first.values(), key=lambda entity: int(entity.qid[1:]))


def properties() -> list[dict[str, Any]]:
    """The relations as property entities; their labels are those of `relations.toml`."""
    return [
        {
            "type": "property",
            "datatype": "wikibase-item",
            "id": relation.id,
            "labels": _labels({"en": relation.label}),
            "descriptions": [],
            "aliases": [],
            "claims": [],
        }
        for relation in all_relations().values()
    ]


def awkward() -> list[dict[str, Any]]:
    """Structures of the real dump that must yield no facts, on the Wikidata sandbox items and a lexeme."""
    sandbox = {"en": "Wikidata Sandbox", "de": "Wikidata-Spielwiese", "pt-br": "Página de testes"}
    base = {"type": "item", "descriptions": [], "aliases": [], "sitelinks": []}
    unknown = claim("Q4115189", 1, "P19", "Q64")
    unknown["mainsnak"] = {"snaktype": "somevalue", "property": "P19", "datatype": "wikibase-item"}
    none = claim("Q4115189", 2, "P20", "Q64")
    none["mainsnak"] = {"snaktype": "novalue", "property": "P20", "datatype": "wikibase-item"}
    old = claim("Q4115189", 3, "P17", "Q183")
    del old["mainsnak"]["datavalue"]["value"]["id"]
    ranked = [
        claim("Q4115189", 4, "P27", "Q183", "deprecated"),
        claim("Q4115189", 5, "P27", "Q142", "preferred"),
        claim("Q4115189", 6, "P27", "Q145", "normal", "1999"),
    ]
    itself = claim("Q4115189", 7, "P47", "Q4115189")
    return [
        {
            **base,
            "id": "Q4115189",
            "labels": _labels(sandbox),
            "claims": {"P19": [unknown], "P20": [none], "P17": [old], "P27": ranked, "P47": [itself]},
        },
        {**base, "id": "Q13406268", "labels": _labels({"mul": "Wikidata Sandbox 2"}), "claims": []},
        {**base, "id": "Q15397819", "labels": _labels({"zh-hant": "維基數據沙盒"}), "claims": []},
        {
            **base,
            "id": "Q112795079",
            "labels": [],
            "claims": [],
            "redirects": {"from": "Q112795080", "to": "Q112795079"},
        },
        {
            "type": "lexeme",
            "id": "L1",
            "lemmas": {"mis-x-q36790": {"language": "mis-x-q36790", "value": "𒂼"}},
            "lexicalCategory": "Q1084",
            "language": "Q36790",
            "claims": {"P407": [claim("L1", 1, "P407", "Q36790")]},
            "forms": [],
            "senses": [],
        },
    ]


def encode(entity: dict[str, Any]) -> str:
    """One line as PHP writes it: ASCII with `\\uXXXX`, and `/` as `\\/`."""
    return json.dumps(entity, ensure_ascii=True, separators=(",", ":")).replace("/", "\\/")


def main(words: Sequence[str] | None = None) -> None:
    """Writes the dump next to this module and prints its size."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(words)
    entities = merged(load_entities())
    by_subject: dict[str, list[Statement]] = defaultdict(list)
    for statement in load_statements():
        if statement not in by_subject[statement.subject]:
            by_subject[statement.subject].append(statement)
    people = {person.qid: person for person in load_people()}
    lines = [encode(item(entity, by_subject[entity.qid], people.get(entity.qid))) for entity in entities]
    lines += [encode(entity) for entity in (*properties(), *awkward())]
    content = "[\n" + ",\n".join(lines) + "\n]\n"
    with atomic(PATH) as temporary:
        temporary.write_bytes(bz2.compress(content.encode("ascii"), 9))
    print(f"{PATH.name}: {len(lines):,} entities in {', '.join(LANGUAGES)}; {PATH.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
