"""Audit: whether a text denotes its entity, and no other answer.

An entity has one text in a language, as option and as subject, over the whole release: a text that does
not belong to its id would change the fact. No option is another name of the gold (an alias, a variant, a Wikipedia
title, an accepted answer): it would be equally correct.

Forms of names are listed by id and label; where the release has another label, they cannot be used and are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from polyfact_dataset.audit.checks.leakage import other_names
from polyfact_dataset.audit.release import Ints, Items, Release
from polyfact_dataset.audit.result import Section, shown
from polyfact_dataset.catalog.forms import forms
from polyfact_dataset.catalog.subject import Subject
from polyfact_dataset.config.audit import AuditConfig

# The summary in the report.
SUMMARY = (
    "An entity has one text per language, as option and as subject, in the whole release. No option is another name "
    "of the gold (alias, variant, Wikipedia title, accepted answer): it would be equally correct. Forms of names (du "
    "Kenya) that are listed under another label than the release's cannot be used: they are counted."
)

_CHECKS = ("one_text", "alias_option", "form_of_another_label")


def _uses(items: Items, subjects: list[str]) -> tuple[list[str], list[str], Ints, Ints, Ints]:
    """Entities, texts, and every use of one for the other as (entity, text, item). `subjects` are the items'."""
    assert items.entities is not None
    entities = {name: code for code, name in enumerate(items.entities.values)}
    texts = {text: code for code, text in enumerate(items.options.values)}
    entity_codes = [items.entities.codes.ravel()]
    text_codes = [items.options.codes.ravel()]
    rows = [np.repeat(np.arange(len(items)), 4)]
    if items.subjects is not None:
        labels = [texts.setdefault(text, len(texts)) for text in items.subjects.values]
        entity_codes.append(np.array([entities.setdefault(name, len(entities)) for name in subjects], dtype=np.int64))
        text_codes.append(np.array(labels, dtype=np.int64)[items.subjects.codes])
        rows.append(np.arange(len(items)))
    return list(entities), list(texts), np.concatenate(entity_codes), np.concatenate(text_codes), np.concatenate(rows)


def other_texts(items: Items, subjects: list[str]) -> Iterator[tuple[int, str]]:
    """(item, what is wrong) of every item that shows an entity by another text than most do."""
    entities, texts, entity_codes, text_codes, rows = _uses(items, subjects)
    pairs, inverse, times = np.unique(entity_codes * len(texts) + text_codes, return_inverse=True, return_counts=True)
    entity, text = pairs // len(texts), pairs % len(texts)
    order = np.lexsort((text, -times, entity))
    usual = np.zeros(len(entities), dtype=np.int64)
    usual[entity[order[::-1]]] = order[::-1]
    for use in np.flatnonzero(usual[entity_codes] != inverse.ravel()):
        most = pairs[usual[entity_codes[use]]] % len(texts)
        detail = (
            f"{entities[entity_codes[use]]} is {shown(texts[text_codes[use]])!r} here, {shown(texts[most])!r} elsewhere"
        )
        yield int(rows[use]), detail


def aliases_offered(items: Items, objects: list[str], names: Mapping[str, frozenset[str]]) -> Iterator[tuple[int, str]]:
    """(item, option) of every option that is another name of the item's answer."""
    for row, option_codes in enumerate(items.options.codes.tolist()):
        known = names.get(objects[row], frozenset())
        for slot, code in enumerate(option_codes) if known else ():
            if slot != items.gold[row] and items.offered[code] in known:
                yield row, items.options.values[code]


def unusable_forms(items: Items, subjects: list[str]) -> Iterator[tuple[int, str]]:
    """(item, what differs) of every item whose subject has forms that are listed under another label."""
    table = forms(items.code)
    for row, (entity, label) in enumerate(zip(subjects, items.subjects.texts() if items.subjects else ())):
        if table.differs(Subject(label, entity)):
            yield row, f"{entity} is {shown(label)!r} here, {shown(table.names[entity][0])!r} in the forms"


def _known_names(release: Release, code: str) -> dict[str, frozenset[str]]:
    """Answer -> all its names in a language, normalised: those accepted in config `open`, and its aliases."""
    known = {entity: frozenset(names) for entity, names in other_names(release, code).items()}
    if release.opened is not None:
        for entity, accepted in release.opened.names.get(code, {}).items():
            known[entity] = accepted | known.get(entity, frozenset())
    return known


def audit(release: Release, config: AuditConfig) -> Section:
    """Compares texts with entities; see the module."""
    section = Section("names", "Names", SUMMARY, config)
    for code, items in release.items.items():
        ids = release.array("fact_id")[items.rows]
        subjects = release.array("subject_id")[items.rows].tolist()
        for row, detail in unusable_forms(items, subjects):
            section.find("form_of_another_label", [ids[row]], code, [detail])
        if items.entities is not None:
            for row, detail in other_texts(items, subjects):
                section.find("one_text", [ids[row]], code, [detail])
        objects = release.array("object_id")[items.rows].tolist()
        for row, option in aliases_offered(items, objects, _known_names(release, code)):
            gold = items.options.values[items.options.codes[row, items.gold[row]]]
            detail = f"option {shown(option)!r} is another name of {shown(gold)!r}, the answer"
            section.find("alias_option", [ids[row]], code, [detail])
    lacking = ", ".join(code for code, items in release.items.items() if items.entities is None)
    tied = any(items.entities is not None for items in release.items.values())
    section.gate(
        "one_text", section.count("one_text") if tied else None, f"no option_ids in {lacking}" if lacking else ""
    )
    named = release.opened is not None or release.aliases is not None
    section.gate(
        "alias_option",
        section.count("alias_option") if named else None,
        "" if named else "other names are known to the build and to config open",
    )
    section.grid("Names by language", ("language", *_CHECKS), section.by_language(_CHECKS, release.items))
    return section
