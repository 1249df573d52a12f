"""The usual script for the work of the extraction, as its baseline: parse every line as JSON, keep some values.

    python benchmarks/usual.py DUMP FOLDER [json | orjson | ijson | qwikidata]

The last argument names the library that reads the entities. The script shares no code with the extraction, so that
equal rows are evidence. It writes the tables `entities` and `statements` as JSON Lines.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from polyfact_dataset.catalog.language import language
from polyfact_dataset.config.build import Config

_LANGUAGES = [language(code) for code in Config().languages]
CODES = [*dict.fromkeys(code for entry in _LANGUAGES for code in entry.labels), "mul"]
WIKIS = [entry.wiki for entry in _LANGUAGES]
RELATIONS = Config().relations


def _open(dump: Path) -> BinaryIO:
    """The text of a dump."""
    if dump.suffix == ".zst":
        import zstandard

        return io.BufferedReader(zstandard.open(dump, "rb"))
    return {".bz2": bz2.open, ".gz": gzip.open}.get(dump.suffix, open)(dump, "rb")


def entities(dump: Path, library: str = "json") -> Iterator[dict[str, Any]]:
    """The entities of a dump, decoded."""
    if library == "qwikidata":
        from qwikidata.json_dump import WikidataJsonDump

        yield from WikidataJsonDump(str(dump))
        return
    module = import_module(library)
    with _open(dump) as file:
        if library == "ijson":
            yield from module.items(file, "item", use_float=True)
            return
        for line in file:
            line = line.strip().rstrip(b",")
            if line not in (b"[", b"]", b""):
                yield module.loads(line)


def _item(snak: dict[str, Any]) -> str | None:
    """The item that is the value of a snak."""
    value = snak.get("datavalue", {}).get("value")
    if snak["snaktype"] != "value" or not isinstance(value, dict) or value.get("entity-type", "item") != "item":
        return None
    return value.get("id") or (f"Q{value['numeric-id']}" if "numeric-id" in value else None)


def _ended(statement: dict[str, Any]) -> bool:
    ends = (statement.get("qualifiers") or {}).get("P582", [])
    return any(end["snaktype"] != "novalue" for end in ends)


def _best(statements: list[dict[str, Any]]) -> str:
    return "preferred" if any(statement["rank"] == "preferred" for statement in statements) else "normal"


def _texts(terms: dict[str, Any]) -> list[dict[str, str]]:
    return [{"code": code, "text": terms[code]["value"]} for code in CODES if code in terms]


LISTS = {
    "types": "P31", "sexes": "P21", "occupations": "P106", "located_in": "P131", "subclass_of": "P279",
    "part_of": "P361", "countries": "P17", "continents": "P30", "citizenships": "P27",
}  # fmt: skip
YEARS = {"birth_year": "P569", "death_year": "P570", "inception_year": "P571", "publication_year": "P577"}


def _current(entity: dict[str, Any], relation: str) -> list[dict[str, Any]]:
    """The main snaks of the statements of best rank that have not ended."""
    statements = (entity.get("claims") or {}).get(relation, [])
    return [s["mainsnak"] for s in statements if s["rank"] == _best(statements) and not _ended(s)]


def _year(snak: dict[str, Any]) -> int | None:
    """The year of a time that is known to the year; there is no year 0, and a value of another type has none."""
    value = snak.get("datavalue", {}).get("value")
    if snak["snaktype"] != "value" or not isinstance(value, dict) or value.get("precision", 0) < 9:
        return None
    time = value["time"]
    return int(time[0] + time[1:].partition("-")[0]) or None


def entity_row(entity: dict[str, Any]) -> dict[str, Any]:
    """A row of the table `entities`. Empty maps may be lists."""
    sitelinks, aliases = entity.get("sitelinks") or {}, entity.get("aliases") or {}
    return {
        "id": entity["id"],
        "kind": entity["type"],
        "redirected_from": (entity.get("redirects") or {}).get("from"),
        "sitelinks": len(sitelinks),
        "labels": _texts(entity.get("labels") or {}),
        "aliases": [{"code": code, "text": a["value"]} for code in CODES for a in aliases.get(code, [])],
        "descriptions": _texts(entity.get("descriptions") or {}),
        "titles": [{"code": wiki, "text": sitelinks[wiki]["title"]} for wiki in WIKIS if wiki in sitelinks],
        **{
            name: list(dict.fromkeys(qid for snak in _current(entity, relation) if (qid := _item(snak))))
            for name, relation in LISTS.items()
        },
        **{
            name: min((year for snak in _current(entity, relation) if (year := _year(snak))), default=None)
            for name, relation in YEARS.items()
        },
        "is_dead": any(snak["snaktype"] != "novalue" for snak in _current(entity, "P570")),
    }


def statement_rows(entity: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of the table `statements`."""
    claims = entity.get("claims") or {}
    for relation in RELATIONS:
        statements = claims.get(relation, [])
        best = _best(statements)
        for statement in statements:
            value = _item(statement["mainsnak"])
            if value is not None:
                rank = statement["rank"]
                yield {
                    "subject": entity["id"],
                    "property": relation,
                    "object": value,
                    "rank": rank,
                    "truthy": rank == best,
                    "ended": _ended(statement),
                }


def main(dump: Path, folder: Path, library: str = "json") -> None:
    """Writes the two tables."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "entities.jsonl").open("w") as labels, (folder / "statements.jsonl").open("w") as triples:
        for entity in entities(dump, library):
            if entity["type"] == "lexeme":
                continue
            labels.write(json.dumps(entity_row(entity), ensure_ascii=False) + "\n")
            if entity["type"] == "item":
                triples.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in statement_rows(entity))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
