"""Audit: whether the columns that all languages share agree with the items.

The English labels are those of the English item, the label and domain are those of the relation, the numbers of
attested languages agree with the provenance of the labels, `name_overlap` with the names, popularity is a number of
sitelinks, and values about a subject or an answer are the same in all its facts.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from polyfact_dataset.audit.checks.labels import kind_of
from polyfact_dataset.audit.release import Release
from polyfact_dataset.audit.result import Section, shown
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.items.name_overlap import tells
from polyfact_dataset.schema import OPTIONS, TIERS, UNATTESTED

# The summary in the report.
SUMMARY = (
    "The English labels are those of the English item, label and domain belong to the relation, counts of attested "
    "languages agree with the provenance of the labels, and popularity is a number of sitelinks."
)

Found = Iterator[tuple[int, str]]
_FACT = re.compile(r"Q[1-9]\d*\|P[1-9]\d*\|Q[1-9]\d*")
# Wikimedia has fewer than a thousand wikis.
_MOST_SITELINKS = 1000
_VERIFICATIONS = ("correct", "ambiguous", "unverified")
# Columns that are about one entity: column -> the column that names it.
_ABOUT = {
    "subject": "subject_id",
    "object": "object_id",
    "relation": "property_id",
    "domain": "property_id",
    "popularity": "subject_id",
    "subject_articles": "subject_id",
    "object_articles": "object_id",
    "n_langs_subject_attested": "subject_id",
    "n_langs_attested": "object_id",
}


def _ids(release: Release) -> Found:
    """Facts whose id does not consist of Wikidata ids."""
    for row, fact in enumerate(release.column("fact_id")):
        if not _FACT.fullmatch(fact):
            yield row, f"fact_id {shown(fact)!r} is not Q...|P...|Q..."


def _english(release: Release) -> Found:
    """Facts whose shared labels are not those of their English item."""
    items = release.items.get("en")
    if items is None:
        return
    labels = {"object": items.table.column("answer_text").to_pylist()}
    if items.subjects is not None:
        labels["subject"] = items.subjects.texts()
    for name in (name for name in labels if name in release.facts.column_names):
        column = release.column(name)
        for row, text in zip(items.rows.tolist(), labels[name]):
            if column[row] != text:
                yield row, f"{name} is {shown(str(column[row]))!r}, in the English item {shown(text)!r}"


def _relations(release: Release) -> Found:
    """Facts with a label or domain that is not that of their relation."""
    known = all_relations()
    for name, field in (("relation", "label"), ("domain", "domain")):
        if name not in release.facts.column_names:
            continue
        for row, (relation, value) in enumerate(zip(release.column("property_id"), release.column(name))):
            if relation in known and value != getattr(known[relation], field):
                yield row, f"{name} of {relation} is {value!r}, not {getattr(known[relation], field)!r}"


def _attested(release: Release) -> Found:
    """Facts whose number of attested languages contradicts the provenance of the labels."""
    for name, column in (("n_langs_attested", "option_provenance"), ("n_langs_subject_attested", "subject_provenance")):
        if name not in release.facts.column_names or not all(items.has(column) for items in release.items.values()):
            continue
        counts = [0] * len(release)
        # The provenance of a converted or reordered text does not show whether an alias attests it.
        changed = [0] * len(release)
        languages_seen = [0] * len(release)
        for items in release.items.values():
            sources: Sequence[Any] = items.table.column(column).to_pylist()
            for position, row in enumerate(items.rows.tolist()):
                source = sources[position][items.gold[position]] if column == "option_provenance" else sources[position]
                counts[row] += kind_of(source) not in UNATTESTED
                changed[row] += "+" in source.partition(":")[0]
                languages_seen[row] += 1
        for row, number in enumerate(release.facts.column(name).to_pylist()):
            if languages_seen[row] == len(release.items) and not counts[row] - changed[row] <= number <= counts[row]:
                yield row, f"{name} is {number}, but {counts[row]} languages have a label from Wikidata"


def _overlaps(release: Release) -> Found:
    """Facts whose `name_overlap` is not what the names show, and facts of PolyFact-Clean that have any."""
    if "name_overlap" not in release.facts.column_names:
        return
    stated = [set(codes or ()) for codes in release.facts.column("name_overlap").to_pylist()]
    for code, items in release.items.items():
        if items.subjects is None:
            continue
        options = zip(*(items.table.column(name).to_pylist() for name in OPTIONS))
        for row, subject, texts, gold in zip(items.rows.tolist(), items.subjects.texts(), options, items.gold.tolist()):
            others = [text for slot, text in enumerate(texts) if slot != gold]
            overlapping = tells(subject, texts[gold], others, code)
            if overlapping != (code in stated[row]):
                names = f"{shown(subject)}, {shown(texts[gold])}"
                yield row, f"name_overlap {'lacks' if overlapping else 'lists'} {code}: {names}"
    if release.clean is not None:
        for row in np.flatnonzero(release.clean).tolist():
            if stated[row]:
                yield row, f"name_overlap is {', '.join(sorted(stated[row]))} in PolyFact-Clean"


def _ranges(release: Release) -> Found:
    """Facts with a value that the column cannot have."""
    languages = set(release.items)
    allowed: dict[str, Callable[[Any], bool]] = {
        "quality_tier": lambda value: value in TIERS,
        "verification": lambda value: value in _VERIFICATIONS,
        "popularity": lambda value: value is not None and 0 <= value <= _MOST_SITELINKS,
        "n_langs_attested": lambda value: value is not None and 0 <= value <= len(languages),
        "n_langs_subject_attested": lambda value: value is not None and 0 <= value <= len(languages),
        "name_overlap": lambda value: value is not None and languages.issuperset(value),
        "subject_articles": lambda value: value is not None and languages.issuperset(value),
        "object_articles": lambda value: value is not None and languages.issuperset(value),
    }
    for name, fits in allowed.items():
        if name in release.facts.column_names:
            for row, value in enumerate(release.facts.column(name).to_pylist()):
                if not fits(value):
                    yield row, f"{name} is {shown(str(value))}"


def _constant(release: Release) -> Found:
    """Facts whose values about their subject, relation or answer differ from most of its facts."""
    for name, of in _ABOUT.items():
        if name not in release.facts.column_names:
            continue
        values = [
            tuple(value) if isinstance(value, list) else value for value in release.facts.column(name).to_pylist()
        ]
        counts: dict[str, Counter[Any]] = defaultdict(Counter)
        for entity, value in zip(release.column(of), values):
            counts[entity][value] += 1
        usual = {entity: values.most_common(1)[0][0] for entity, values in counts.items()}
        for row, entity in enumerate(release.column(of)):
            if values[row] != usual[entity]:
                yield row, f"{name} of {entity} is {shown(str(values[row]))}, elsewhere {shown(str(usual[entity]))}"


def audit(release: Release, config: AuditConfig) -> Section:
    """Compares the shared columns with the items; see the module."""
    section = Section("columns", "Shared columns", SUMMARY, config)
    ids = release.column("fact_id")
    for check in (_ids, _english, _relations, _attested, _overlaps, _ranges, _constant):
        for row, detail in check(release):
            section.find("shared_columns", [ids[row]], "", [detail])
    section.gate_count("shared_columns")
    return section
