"""Audit 2: does the question give an option away?

A name counts as standing in a question where its letters end: a Latin name needs its ends free of Latin letters,
also inside a Japanese question, while Han and kana names are found anywhere. Bengali names may carry endings and
Arabic ones prefixes. Names below three characters (two in Han or kana) are too short to tell anything. The answer
is also sought in its other cases, where the language file lists endings, and a person's by the family name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from polyfact_dataset.audit.release import Items, Release
from polyfact_dataset.audit.result import Section, shown
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.text.mentions import mentions_inflected, mentions_surname
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.common.text.scripts import script_of
from polyfact_dataset.config.audit import AuditConfig

# What the report tells its reader.
SUMMARY = (
    "A name counts as mentioned where a word boundary ends it: in a Japanese question a Latin name needs no Latin "
    "letter beside it, and Han and kana names match anywhere. Bengali names may carry endings, Arabic ones prefixes. "
    "Names below three characters (two in Han or kana) are skipped. The answer is also searched in its other cases, "
    "where the language file lists endings, and a person's by the family name."
)

_UNSPACED = {"Hani", "Hira", "Kana", "Thai"}
_FLOOR, _UNSPACED_FLOOR = 3, 2
_CHECKS = ("leak_gold", "leak_alias", "leak_inflected", "leak_surname", "leak_distractor", "leak_subject")


def _needs_boundary(edge: str, beside: str) -> bool:
    """Whether `beside` goes on with the word that ends at `edge`."""
    if not beside or not (beside.isalnum() or unicodedata.category(beside)[0] == "M"):
        return False
    if edge.isdigit() or beside.isdigit():
        return edge.isdigit() and beside.isdigit()
    return not {script_of(edge), script_of(beside)} & _UNSPACED


def stands_in(question: str, name: str, glue: str = "none") -> bool:
    """Whether `name` stands in `question` as a word of its own; both normalised. `glue` as in the language file."""
    unspaced = {script_of(char) for char in name} & _UNSPACED
    if len(name) < (_UNSPACED_FLOOR if unspaced else _FLOOR):
        return False
    start = question.find(name)
    while start >= 0:
        end = start + len(name)
        before, after = question[start - 1 : start], question[end : end + 1]
        if glue == "prefix" and script_of(name[0]) == "Arab":
            before = ""
        if glue == "suffix" and script_of(name[-1]) in ("Beng", "Zyyy"):
            after = ""
        if not _needs_boundary(name[0], before) and not _needs_boundary(name[-1], after):
            return True
        start = question.find(name, start + 1)
    return False


def leaks(items: Items, glue: str) -> Iterable[tuple[int, int]]:
    """(item, option) of every option that stands in its question."""
    questions, options = items.questions.codes.tolist(), items.options.codes.tolist()
    for row, (question, own) in enumerate(zip(questions, options)):
        asked = items.asked[question]
        for slot, option in enumerate(own):
            name = items.offered[option]
            if name and name in asked and stands_in(asked, name, glue):
                yield row, slot


def other_names(release: Release, code: str) -> dict[str, tuple[str, ...]]:
    """Entity -> its other names in a language, normalised; `mul` counts where the language uses it."""
    if release.aliases is None or code not in known():
        return {}
    codes = set(language(code).labels) | ({"mul"} if language(code).mul else set())
    names: dict[str, set[str]] = {}
    for entity, own, text in zip(*(release.aliases.column(name).to_pylist() for name in ("entity", "code", "text"))):
        if own in codes:
            names.setdefault(entity, set()).add(normalise(text))
    return {entity: tuple(sorted(own)) for entity, own in names.items()}


def _aliases(
    items: Items, names: Mapping[str, Sequence[str]], objects: Sequence[str], glue: str
) -> Iterable[tuple[int, str]]:
    """(item, alias) of every item whose question holds another name of its answer."""
    for row, question in enumerate(items.questions.codes.tolist()):
        asked = items.asked[question]
        alias = next((n for n in names.get(objects[row], ()) if n in asked and stands_in(asked, n, glue)), None)
        if alias is not None:
            yield row, alias


def _disguised(items: Items, people: Sequence[bool]) -> Iterable[tuple[int, str]]:
    """(item, check) of every question that holds its answer in another case, or a person's by the family name.

    `people` says of each item whether its answer is a person.
    """
    entry = language(items.code) if items.code in known() else None
    spaced, glue, cases = (entry.spaced, entry.glue, entry.cases) if entry else (True, "none", ())
    slots = items.options.codes[np.arange(len(items)), items.gold].tolist()
    for row, (question, option) in enumerate(zip(items.questions.codes.tolist(), slots)):
        asked, name = items.asked[question], items.offered[option]
        if mentions_inflected(asked, name, cases):
            yield row, "leak_inflected"
        elif people[row] and mentions_surname(asked, name, spaced=spaced, glue=glue, endings=cases):
            yield row, "leak_surname"


def _subjects(items: Items, release: Release) -> list[tuple[int, str]]:
    """(item, how) of every item that offers its own subject, as an entity or as a text."""
    found = []
    if items.entities is not None:
        number = {name: code for code, name in enumerate(items.entities.values)}
        own = np.array([number.get(name, -1) for name in release.column("subject_id")], dtype=np.int64)[items.rows]
        found += [
            (int(row), "the entity is the subject")
            for row in np.flatnonzero((items.entities.codes == own[:, None]).any(axis=1))
        ]
    if items.subjects is not None:
        forms = {text: code for code, text in enumerate(items.offered)}
        named = np.array([forms.get(text, -1) for text in items.named], dtype=np.int64)
        normal = np.array([forms[text] for text in items.offered], dtype=np.int64)
        same = (normal[items.options.codes] == named[items.subjects.codes][:, None]).any(axis=1)
        seen = {row for row, _ in found}
        found += [(int(row), "an option is the subject's name") for row in np.flatnonzero(same) if row not in seen]
    return found


def audit(release: Release, config: AuditConfig) -> Section:
    """Measures leaks; see the module."""
    section = Section("leakage", "Leakage", SUMMARY, config)
    people = {relation.id for relation in all_relations().values() if relation.people == "answers"}
    for code, items in release.items.items():
        ids = release.array("fact_id")[items.rows]
        glue = language(code).glue if code in known() else "none"
        asked, options = items.questions.texts(), items.options.values
        plain = set()
        for row, slot in leaks(items, glue):
            check = "leak_gold" if slot == items.gold[row] else "leak_distractor"
            plain.add((row, check))
            detail = f"{shown(options[items.options.codes[row, slot]])!r} in {shown(asked[row])!r}"
            section.find(check, [ids[row]], code, [detail])
        objects = release.array("object_id")[items.rows].tolist()
        for row, alias in _aliases(items, other_names(release, code), objects, glue):
            section.find("leak_alias", [ids[row]], code, [f"{shown(alias)!r} in {shown(asked[row])!r}"])
        of_people = [relation in people for relation in release.array("property_id")[items.rows]]
        for row, check in _disguised(items, of_people):
            if (row, "leak_gold") not in plain:
                gold = options[items.options.codes[row, items.gold[row]]]
                section.find(check, [ids[row]], code, [f"of {shown(gold)!r} in {shown(asked[row])!r}"])
        for row, how in _subjects(items, release):
            section.find("leak_subject", [ids[row]], code, [f"{how}: {shown(asked[row])!r}"])
    for check in _CHECKS:
        unknown = check == "leak_alias" and release.aliases is None
        section.gate(
            check, None if unknown else section.count(check), "aliases are known to the build" if unknown else ""
        )
    section.grid(
        "Items in which a name gives something away",
        ("language", *_CHECKS),
        section.by_language(_CHECKS, release.items),
    )
    return section
