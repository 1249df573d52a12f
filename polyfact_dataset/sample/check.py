"""Checks the sample tables: in themselves, and against real Wikidata entities.

    python -m polyfact_dataset.sample.check --reference ../shared/data

`--reference` is a folder with `wikidata_entities.json.bz2` (dump layout) and `wikidata_labels.jsonl.bz2`
(`{"id", "labels"}` per line). Differences are printed, and settled by hand in favour of Wikidata.
"""

from __future__ import annotations

import argparse
import bz2
import json
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyfact_dataset.catalog.language import language
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.errors import PolyFactError
from polyfact_dataset.common.text.normalise import clean
from polyfact_dataset.common.text.scripts import in_scripts, mixes_scripts, scripts_of
from polyfact_dataset.facts.labels import simplified
from polyfact_dataset.sample.tables import (
    LANGUAGES,
    Entity,
    Statement,
    load_entities,
    load_labels,
    load_statements,
)

RELATIONS = tuple(all_relations())
SINGLE = frozenset(relation.id for relation in all_relations().values() if relation.values == "single")
CHAINS = {"zh": ("zh-hans", "zh-cn", "zh"), "pt": ("pt", "pt-br")}


@dataclass
class Report:
    """What the check found: `errors` must be mended, `differences` looked at, `counts` quoted."""

    errors: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def check_form(entities: list[Entity], statements: list[Statement], report: Report) -> None:
    """Every rule the tables must obey without looking anywhere else."""
    first: dict[str, Entity] = {}
    for entity in entities:
        if not re.fullmatch(r"Q[1-9]\d*", entity.qid):
            report.errors.append(f"{entity.where}: {entity.qid!r} is no item id")
        if entity.qid in first:
            report.differences.append(f"{entity.where}: {entity.qid} stands already in {first[entity.qid].where}")
        first.setdefault(entity.qid, entity)
        if not entity.types or not all(re.fullmatch(r"Q[1-9]\d*", kind) for kind in entity.types):
            report.errors.append(f"{entity.where}: p31 {entity.types} must be item ids")
        for code in LANGUAGES:
            _check_label(entity, code, report)
    seen: set[tuple[str, str, str, str]] = set()
    for statement in statements:
        _check_statement(statement, first, seen, report)


def _check_label(entity: Entity, code: str, report: Report) -> None:
    text = entity.labels.get(code, "")
    where = f"{entity.where}: {entity.qid} {code} {text!r}"
    if not text:
        report.errors.append(f"{where}: no label")
        return
    if clean(text) != text:
        report.errors.append(f"{where}: not NFC, double space, or an invisible character")
    if mixes_scripts(text):
        report.errors.append(f"{where}: a word mixes two alphabets")
    if not in_scripts(text, language(code).scripts):
        report.errors.append(f"{where}: {sorted(scripts_of(text))} is foreign to {code}")


def _check_statement(
    statement: Statement, known: dict[str, Entity], seen: set[tuple[str, str, str, str]], report: Report
) -> None:
    where = f"{statement.where}: {statement.subject} {statement.property} {statement.object}"
    if statement.property not in RELATIONS:
        report.errors.append(f"{where}: not one of the 22 relations")
    if statement.rank not in ("", "normal", "preferred", "deprecated"):
        report.errors.append(f"{where}: rank {statement.rank!r}")
    if statement.end and not re.fullmatch(r"\d{3,4}", statement.end):
        report.errors.append(f"{where}: end {statement.end!r} is no year")
    key = (statement.subject, statement.property, statement.object, statement.end)
    if key in seen:
        report.differences.append(f"{where}: stands twice")
    seen.add(key)
    ends = [known.get(statement.subject), known.get(statement.object)]
    missing = [qid for qid, end in zip((statement.subject, statement.object), ends) if end is None]
    if missing:
        report.errors.append(f"{where}: no entity row for {missing} ({statement.note})")
        return
    note = " | ".join(end.labels.get("en", "") for end in ends if end)
    if note != statement.note:
        report.errors.append(f"{where}: the note says {statement.note!r}, the ids say {note!r}")


def load_reference(
    folder: Path,
) -> tuple[dict[str, dict[str, list[str]]], dict[str, dict[str, set[str]]], dict[str, set[str]]]:
    """Labels (id -> language -> accepted texts), statements (id -> property -> objects), types (id -> P31)."""
    labels: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    claims: dict[str, dict[str, set[str]]] = {}
    types: dict[str, set[str]] = {}
    with bz2.open(folder / "wikidata_labels.jsonl.bz2", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            for code, text in row["labels"].items():
                labels[row["id"]][code].append(text)
    with bz2.open(folder / "wikidata_entities.json.bz2", "rt", encoding="utf-8") as lines:
        for line in lines:
            line = line.strip().rstrip(",")
            if line in "[]":
                continue
            item = json.loads(line)
            if item.get("type") != "item":
                continue
            for code in LANGUAGES:
                for chain in CHAINS.get(code, (code,)):
                    if chain in (item.get("labels") or {}):
                        labels[item["id"]][code].append(item["labels"][chain]["value"])
                names = (item.get("aliases") or {}).get(code, [])
                labels[item["id"]][code + ":alias"] += [name["value"] for name in names]
            found = {p: _objects(item, p) for p in (*RELATIONS, "P31")}
            types[item["id"]] = found.pop("P31")
            claims[item["id"]] = {p: objects for p, objects in found.items() if objects}
    return labels, claims, types


def _objects(item: dict[str, Any], property_id: str) -> set[str]:
    out = set()
    for statement in (item.get("claims") or {}).get(property_id, []) if item.get("claims") else []:
        value = statement["mainsnak"].get("datavalue", {}).get("value")
        if isinstance(value, dict) and statement.get("rank") != "deprecated":
            out.add(value.get("id") or f"Q{value.get('numeric-id')}")
    return out


def _normal(text: str, code: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold().replace("・", "·").replace("’", "'")
    if code == "zh":
        text = simplified(text)
    return re.sub(r"[\s·=＝-]+", " ", text).strip()


def check_reference(entities: list[Entity], statements: list[Statement], folder: Path, report: Report) -> None:
    """Compares ids, labels, types and statements with the real data wherever both speak of the same item."""
    labels, claims, types = load_reference(folder)
    for entity in entities:
        real = labels.get(entity.qid)
        report.counts["ids"] += 1
        if real is None:
            report.counts["ids not in the reference"] += 1
            continue
        report.counts["ids checked"] += 1
        for code in LANGUAGES:
            if real.get(code):
                report.counts["labels checked"] += 1
                mine = _normal(entity.labels.get(code, ""), code)
                if mine not in {_normal(text, code) for text in real[code] + real.get(code + ":alias", [])}:
                    report.counts["labels that differ"] += 1
                    report.differences.append(
                        f"{entity.where}: {entity.qid} {code} {entity.labels.get(code)!r}, Wikidata {real[code]}"
                    )
        if types.get(entity.qid):
            report.counts["types checked"] += 1
            if not types[entity.qid] & set(entity.types):
                report.differences.append(
                    f"{entity.where}: {entity.qid} is {entity.types}, Wikidata {sorted(types[entity.qid])}"
                )
    for statement in statements:
        real_objects = claims.get(statement.subject, {}).get(statement.property)
        if real_objects:
            report.counts["statements checked"] += 1
            if statement.object not in real_objects and statement.rank != "deprecated":
                report.counts["statements that differ"] += 1
                report.differences.append(
                    f"{statement.where}: {statement.note} ({statement.property} {statement.object}), "
                    f"Wikidata {sorted(real_objects)[:8]}"
                )


def summary(entities: list[Entity], statements: list[Statement]) -> str:
    """Per relation: statements, subjects that can be asked about, distinct answers, the largest share of one answer."""
    lines = [f"{len({e.qid for e in entities})} entities, {len(statements)} statements"]
    complete = {e.qid for e in entities if len(e.labels) == len(LANGUAGES)}
    for relation in RELATIONS:
        rows = [s for s in statements if s.property == relation and not s.end and s.rank != "deprecated"]
        if relation in SINGLE:
            count = Counter(s.subject for s in rows)
            rows = [s for s in rows if count[s.subject] == 1]
        rows = [s for s in rows if {s.subject, s.object} <= complete]
        answers = Counter(s.object for s in rows)
        share = max(answers.values(), default=0) / max(len(rows), 1)
        lines.append(f"{relation:5} facts {len(rows):4}  answers {len(answers):4}  largest share {share:.2f}")
    return "\n".join(lines)


def main() -> int:
    """Prints errors, differences, counts; exit code 1 when there is an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="folder with the real entities and labels")
    parser.add_argument("--only", default="", help="show only lines about files whose name contains this")
    arguments = parser.parse_args()
    report = Report()
    try:
        entities, statements = load_entities(), load_statements()
    except PolyFactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    check_form(entities, statements, report)
    if arguments.reference:
        check_reference(entities, statements, arguments.reference, report)
    for title, lines in (("error", report.errors), ("look at", report.differences)):
        for line in lines:
            if arguments.only in line:
                print(f"{title}: {line}")
    print(summary(entities, statements))
    print(", ".join(f"{key} {value}" for key, value in sorted(report.counts.items())))
    print(f"{len(report.errors)} errors, {len(report.differences)} to look at")
    return 1 if report.errors else 0


if __name__ == "__main__":
    sys.exit(main())
