"""Checks the sample tables: their form, and agreement with public data made from Wikidata.

    python -m polyfact_dataset.sample.check --reference ../shared/data

`--reference` is a folder with `wikidata_entities.json.bz2` and `real_world.json.bz2` (dump layout),
`wikidata_labels.jsonl.bz2` and `sample_reference.jsonl.bz2` (a JSON object with id, labels, aliases, statements per
line). Needs `babel` for the names of countries, languages and currencies in CLDR.
"""

from __future__ import annotations

import argparse
import bz2
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.errors import PolyFactError
from polyfact_dataset.common.text.normalise import clean, normalise
from polyfact_dataset.common.text.scripts import in_scripts, mixes_scripts, scripts_of
from polyfact_dataset.facts.labels import DISAMBIGUATION
from polyfact_dataset.sample.tables import (
    LANGUAGES,
    Entity,
    Person,
    Statement,
    WrittenLabel,
    further_languages,
    load_entities,
    load_further_labels,
    load_labels,
    load_people,
    load_statements,
)

RELATIONS = tuple(all_relations())
UNATTESTED = "labels counted as attested that no reference has"
SINGLE = frozenset(relation.id for relation in all_relations().values() if relation.values == "single")


@dataclass
class Report:
    """The result of the check: `errors` must be fixed, `differences` reviewed, `counts` are statistics."""

    errors: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def check_form(
    entities: list[Entity],
    statements: list[Statement],
    report: Report,
    written: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """The rules for the tables that need no other data."""
    first: dict[str, Entity] = {}
    for entity in entities:
        if not re.fullmatch(r"Q[1-9]\d*", entity.qid):
            report.errors.append(f"{entity.where}: {entity.qid!r} is not an item id")
        if entity.qid in first:
            report.differences.append(f"{entity.where}: {entity.qid} is already in {first[entity.qid].where}")
        first.setdefault(entity.qid, entity)
        if not entity.types or not all(re.fullmatch(r"Q[1-9]\d*", kind) for kind in entity.types):
            report.errors.append(f"{entity.where}: p31 {entity.types} must be item ids")
        for code in LANGUAGES:
            _check_label(entity, code, (written or {}).get(entity.qid, {}), report)
    names = {
        qid: entity.labels.get("en") or (written or {}).get(qid, {}).get("en", "") for qid, entity in first.items()
    }
    seen: set[tuple[str, str, str, str]] = set()
    for statement in statements:
        _check_statement(statement, names, seen, report)


def check_people(people: list[Person], names: Mapping[str, str], report: Report) -> None:
    """Every rule that the table of persons must obey; `names` are the English labels by id."""
    for person in people:
        where = f"{person.where}: {person.qid}"
        if person.note != names.get(person.qid):
            report.errors.append(f"{where}: the note has {person.note!r}, the id has {names.get(person.qid)!r}")
        if person.sex not in ("male", "female"):
            report.errors.append(f"{where}: sex {person.sex!r}")
        years = [int(year) for year in (person.born, person.died) if re.fullmatch(r"-?[1-9]\d{0,3}", year)]
        if len(years) != sum(map(bool, (person.born, person.died))):
            report.errors.append(f"{where}: {person.born!r} and {person.died!r} must be years")
        elif len(years) == 2 and not 8 < years[1] - years[0] < 120:
            report.errors.append(f"{where}: born {years[0]}, died {years[1]}")


def english_names(entities: Iterable[Entity], written: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Id -> English label, attested or written."""
    names: dict[str, str] = {}
    for entity in entities:
        names.setdefault(entity.qid, entity.labels.get("en") or written.get(entity.qid, {}).get("en", ""))
    return names


def _check_label(entity: Entity, code: str, written: Mapping[str, str], report: Report) -> None:
    text = entity.labels.get(code, "") or written.get(code, "")
    if code in entity.labels and code in written:
        report.errors.append(f"{entity.where}: {entity.qid} {code} is attested, and in the table of written labels")
    where = f"{entity.where}: {entity.qid} {code} {text!r}"
    if not text:
        report.errors.append(f"{where}: no label")
        return
    _check_text(text, code, where, report)


def check_further(code: str, labels: Mapping[str, WrittenLabel], names: Mapping[str, str], report: Report) -> None:
    """The rules for the table of a language other than the 12; `names` are the English labels by id."""
    if code not in known():
        report.errors.append(f"labels/{code}.tsv: there is no languages/{code}.toml")
        return
    for qid, label in labels.items():
        where = f"{label.where}: {qid} {code} {label.text!r}"
        if qid not in names:
            report.errors.append(f"{where}: is not in the sample")
        elif label.english != names[qid]:
            report.errors.append(f"{where}: the column en has {label.english!r}, the id has {names[qid]!r}")
        if label.text:
            report.counts[f"{code} written"] += 1
            _check_text(label.text, code, where, report)


def _check_text(text: str, code: str, where: str, report: Report) -> None:
    if clean(text) != text:
        report.errors.append(f"{where}: not NFC, double space, or an invisible character")
    if mixes_scripts(text):
        report.errors.append(f"{where}: a word mixes two alphabets")
    if not in_scripts(text, language(code).scripts):
        report.errors.append(f"{where}: {sorted(scripts_of(text))} is foreign to {code}")


def _check_statement(
    statement: Statement, names: dict[str, str], seen: set[tuple[str, str, str, str]], report: Report
) -> None:
    where = f"{statement.where}: {statement.subject} {statement.property} {statement.object}"
    if statement.property not in RELATIONS:
        report.errors.append(f"{where}: not one of the 22 relations")
    if statement.rank not in ("", "normal", "preferred", "deprecated"):
        report.errors.append(f"{where}: rank {statement.rank!r}")
    if statement.end and not re.fullmatch(r"\d{3,4}", statement.end):
        report.errors.append(f"{where}: end {statement.end!r} is not a year")
    key = (statement.subject, statement.property, statement.object, statement.end)
    if key in seen:
        report.differences.append(f"{where}: is repeated")
    seen.add(key)
    ends = [names.get(statement.subject), names.get(statement.object)]
    missing = [qid for qid, end in zip((statement.subject, statement.object), ends) if end is None]
    if missing:
        report.errors.append(f"{where}: no entity row for {missing} ({statement.note})")
        return
    note = " | ".join(end for end in ends if end is not None)
    if note != statement.note:
        report.errors.append(f"{where}: the note has {statement.note!r}, the ids have {note!r}")


# Which names of the reference attest a label of the tables: those that `facts.labels` would accept, and CLDR's.
_CLDR_LOCALES = {"zh": "zh_Hans"}


@dataclass
class Reference:
    """The public data about an item that was made from Wikidata: names by language, statements, types."""

    names: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    statements: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add_name(self, code: str, text: str) -> None:
        """Adds a name under the languages whose label chain contains `code`."""
        for language_code in LANGUAGES:
            entry = language(language_code)
            if code in entry.labels or (code == "mul" and entry.mul) or code == entry.wiki:
                self.names[language_code].add(normalise(DISAMBIGUATION.sub("", text)))
                self.names[language_code].add(normalise(text))


def load_reference(folder: Path, ids: Collection[str]) -> dict[str, Reference]:
    """Id -> the reference data, for those of `ids` that it contains."""
    known: dict[str, Reference] = defaultdict(Reference)
    for name in ("wikidata_labels.jsonl.bz2", "sample_reference.jsonl.bz2"):
        with bz2.open(folder / name, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if row["id"] in ids:
                    _add_row(known[row["id"]], row)
    for name in ("wikidata_entities.json.bz2", "real_world.json.bz2"):
        with bz2.open(folder / name, "rt", encoding="utf-8") as lines:
            for line in lines:
                line = line.strip().rstrip(",")
                match = re.search(r'"id":"(Q\d+)"', line)
                # The first id in the line of an item is the item's; that of a property has only those of its values.
                if match is None or match[1] not in ids:
                    continue
                item = json.loads(line)
                if item.get("id") in ids:
                    _add_item(known[item["id"]], item)
    return known


def _add_row(reference: Reference, row: Mapping[str, Any]) -> None:
    for code, text in row["labels"].items():
        reference.add_name(code, text)
    for code, names in row.get("aliases", {}).items():
        for text in names:
            reference.add_name(code, text)
    for relation, objects in row.get("statements", {}).items():
        reference.statements[relation].update(objects)


def _add_item(reference: Reference, item: Mapping[str, Any]) -> None:
    for code, label in (item.get("labels") or {}).items():
        reference.add_name(code, label["value"])
    for code, aliases in (item.get("aliases") or {}).items():
        for alias in aliases:
            reference.add_name(code, alias["value"])
    for wiki, link in (item.get("sitelinks") or {}).items():
        reference.add_name(wiki, link["title"])
    for relation in (*RELATIONS, "P31"):
        reference.statements[relation].update(_objects(item, relation))


@cache
def locale_of(code: str) -> Any:
    """CLDR's data of a language. Raises `ValueError` for one that it lacks."""
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(_CLDR_LOCALES.get(code, code))
    except UnknownLocaleError as error:
        raise ValueError(f"CLDR has no language {code!r}") from error


@cache
def cldr_codes() -> dict[str, list[tuple[str, str]]]:
    """English name -> (kind, code) of territories, languages and currencies in CLDR."""
    codes: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for kind in ("territories", "languages", "currencies"):
        for code, name in getattr(locale_of("en"), kind).items():
            codes[normalise(name)].append((kind, code))
    return codes


def in_cldr(english: str, code: str, text: str) -> bool:
    """Whether CLDR gives `text` in a language to the territory, language or currency that is `english` in English."""
    locale = locale_of(code)
    names = (getattr(locale, kind).get(key, "") for kind, key in cldr_codes().get(normalise(english), ()))
    return any(normalise(name) == normalise(text) for name in names if name)


def _objects(item: Mapping[str, Any], property_id: str) -> set[str]:
    out = set()
    for statement in (item.get("claims") or {}).get(property_id, []) if item.get("claims") else []:
        value = statement["mainsnak"].get("datavalue", {}).get("value")
        if isinstance(value, dict) and statement.get("rank") != "deprecated":
            out.add(value.get("id") or f"Q{value.get('numeric-id')}")
    return out


def check_reference(
    entities: list[Entity],
    written: Mapping[str, Mapping[str, str]],
    statements: list[Statement],
    folder: Path,
    report: Report,
) -> None:
    """Compares labels, types and statements with the reference.

    A label of the tables that neither the reference nor CLDR has is an error: in the dump it would count as attested.
    """
    known = load_reference(folder, {entity.qid for entity in entities})
    for entity in entities:
        reference = known.get(entity.qid)
        english = entity.labels.get("en", "") or written.get(entity.qid, {}).get("en", "")
        report.counts["ids"] += 1
        report.counts["ids in the reference"] += reference is not None
        for code, text in entity.labels.items():
            if reference is not None and normalise(text) in reference.names[code]:
                report.counts[f"{code} in the reference"] += 1
            elif in_cldr(english, code, text):
                report.counts[f"{code} in CLDR"] += 1
            else:
                report.counts[UNATTESTED] += 1
                report.errors.append(f"{entity.where}: {entity.qid} {code} {text!r} is in no reference")
        for code in written.get(entity.qid, {}):
            report.counts[f"{code} written"] += 1
        types = reference.statements["P31"] if reference is not None else set()
        if types and not types & set(entity.types):
            report.differences.append(f"{entity.where}: {entity.qid} is {entity.types}, Wikidata {sorted(types)}")
    _check_completeness(entities, statements, known, report)
    for statement in statements:
        objects = known[statement.subject].statements[statement.property] if statement.subject in known else set()
        if objects:
            report.counts["statements compared"] += 1
            if statement.object not in objects and statement.rank != "deprecated":
                report.counts["statements with another value"] += 1
                report.differences.append(
                    f"{statement.where}: {statement.note} ({statement.property} {statement.object}), "
                    f"Wikidata {sorted(objects)[:8]}"
                )


def _check_completeness(
    entities: list[Entity], statements: list[Statement], known: Mapping[str, Reference], report: Report
) -> None:
    """A value of the reference between two entities of the sample that the sample lacks could be a true distractor."""
    names, values = {entity.qid for entity in entities}, defaultdict(set)
    for statement in statements:
        values[statement.subject, statement.property].add(statement.object)
    for (subject, relation), objects in sorted(values.items()):
        lacking = known[subject].statements[relation] & names - objects if subject in known else set()
        if lacking:
            report.counts["values that the sample lacks"] += len(lacking)
            report.differences.append(f"{subject} {relation} has no {sorted(lacking)} of the reference")


def summary(entities: list[Entity], statements: list[Statement], written: Mapping[str, Mapping[str, str]]) -> str:
    """Per relation: statements, subjects that can be asked about, distinct answers, the largest share of one answer."""
    lines = [f"{len({e.qid for e in entities})} entities, {len(statements)} statements"]
    complete = {e.qid for e in entities if len(e.labels.keys() | written.get(e.qid, {}).keys()) == len(LANGUAGES)}
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


def main(words: Sequence[str] | None = None) -> int:
    """Prints errors, differences, counts; exit code 1 for an error, 2 for a reference that cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="folder with the real entities and labels")
    parser.add_argument("--only", default="", help="show only lines about files whose name contains this")
    arguments = parser.parse_args(words)
    report = Report()
    try:
        entities, people = load_entities(), load_people()
        statements, written = load_statements(), load_labels()
        further = {code: load_further_labels(code) for code in further_languages()}
    except PolyFactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    check_form(entities, statements, report, written)
    names = english_names(entities, written)
    check_people(people, names, report)
    for code, labels in further.items():
        check_further(code, labels, names, report)
    if arguments.reference:
        try:
            check_reference(entities, written, statements, arguments.reference, report)
        except OSError as error:
            print(f"error: --reference {arguments.reference}: {error}", file=sys.stderr)
            return 2
    for title, lines in (("error", report.errors), ("look at", report.differences)):
        for line in lines:
            if arguments.only in line:
                print(f"{title}: {line}")
    print(summary(entities, statements, written))
    print(", ".join(f"{key} {value}" for key, value in sorted(report.counts.items())))
    print(f"{UNATTESTED}: {report.counts[UNATTESTED] if arguments.reference else 'not checked: give --reference'}")
    print(f"{len(report.errors)} errors, {len(report.differences)} to look at")
    return 1 if report.errors else 0


if __name__ == "__main__":
    sys.exit(main())
