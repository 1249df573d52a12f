"""Audit: whether a question reveals an option.

A name counts where its word ends, by the rule of `common.text.mentions` with which the build validates. Affixes and
case endings are those of the language file, and a person is also found by the family name. Names below three
characters (two in Han, kana or Hangul) are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from polyfact_dataset.audit.release import Items, Release
from polyfact_dataset.audit.result import Section, shown
from polyfact_dataset.catalog.language import known, language, mention_rule
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.text.mentions import Mention, MentionRule, mention
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.facts.labels import usable

# The summary in the report.
SUMMARY = (
    "A name counts as mentioned where its word ends, by the rule with which the build validates: affixes and case "
    "endings are those of the language file, and a person is also found by the family name. Names below three "
    "characters (two in Han, kana or Hangul) are skipped."
)
_GOLD_CHECKS: dict[Mention, str] = {"name": "leak_gold", "inflected": "leak_inflected", "surname": "leak_surname"}
_CHECKS = ("leak_gold", "leak_alias", "leak_inflected", "leak_surname", "leak_distractor", "leak_subject")


def leaks(items: Items, rule: MentionRule, people: Sequence[bool]) -> Iterable[tuple[int, int, Mention]]:
    """(item, option, how) of every option that its question mentions; `people` marks the answers that are persons."""
    questions, options = items.questions.codes.tolist(), items.options.codes.tolist()
    for row, (question, offered) in enumerate(zip(questions, options)):
        asked = items.asked[question]
        for slot, option in enumerate(offered):
            name = items.offered[option]
            how = mention(asked, name, rule, person=people[row] and slot == items.gold[row]) if name else None
            if how is not None:
                yield row, slot, how


def other_names(release: Release, code: str) -> dict[str, tuple[str, ...]]:
    """Entity -> its other names in a language that could be shown there, normalised.

    `mul` counts where the language uses it. Names in other scripts than the language's do not count.
    """
    if release.aliases is None or code not in known():
        return {}
    entry = language(code)
    codes = {*entry.labels, *(("mul",) if entry.mul else ())}
    names: dict[str, set[str]] = {}
    columns = (release.aliases.column(name).to_pylist() for name in ("entity", "code", "text"))
    for entity, alias_code, alias in zip(*columns):
        if alias_code in codes and (text := usable(alias, entry)) is not None:
            names.setdefault(entity, set()).add(normalise(text))
    return {entity: tuple(sorted(forms)) for entity, forms in names.items()}


def _aliases(
    items: Items, names: Mapping[str, Sequence[str]], objects: Sequence[str], rule: MentionRule
) -> Iterable[tuple[int, str]]:
    """(item, alias) of every item whose question mentions another name of its answer."""
    for row, question in enumerate(items.questions.codes.tolist()):
        asked = items.asked[question]
        alias = next((name for name in names.get(objects[row], ()) if mention(asked, name, rule)), None)
        if alias is not None:
            yield row, alias


def _subjects(items: Items, release: Release) -> list[tuple[int, str]]:
    """(item, how) of every item whose subject is an option, as an entity or as a text."""
    leaks = []
    if items.entities is not None:
        number = {name: code for code, name in enumerate(items.entities.values)}
        subject_codes = np.array([number.get(name, -1) for name in release.column("subject_id")], dtype=np.int64)[
            items.rows
        ]
        leaks += [
            (int(row), "the entity is the subject")
            for row in np.flatnonzero((items.entities.codes == subject_codes[:, None]).any(axis=1))
        ]
    if items.subjects is not None:
        forms = {text: code for code, text in enumerate(items.offered)}
        named = np.array([forms.get(text, -1) for text in items.named], dtype=np.int64)
        normal = np.array([forms[text] for text in items.offered], dtype=np.int64)
        same = (normal[items.options.codes] == named[items.subjects.codes][:, None]).any(axis=1)
        seen = {row for row, _ in leaks}
        leaks += [(int(row), "an option is the subject's name") for row in np.flatnonzero(same) if row not in seen]
    return leaks


def audit(release: Release, config: AuditConfig) -> Section:
    """Measures leaks; see the module."""
    section = Section("leakage", "Leakage", SUMMARY, config)
    people = {relation.id for relation in all_relations().values() if relation.people == "answers"}
    for code, items in release.items.items():
        ids = release.array("fact_id")[items.rows]
        rule = mention_rule(code)
        asked, options = items.questions.texts(), items.options.values
        of_people = [relation in people for relation in release.array("property_id")[items.rows]]
        for row, slot, how in leaks(items, rule, of_people):
            check = _GOLD_CHECKS[how] if slot == items.gold[row] else "leak_distractor"
            detail = f"{shown(options[items.options.codes[row, slot]])!r} in {shown(asked[row])!r}"
            section.find(check, [ids[row]], code, [detail])
        objects = release.array("object_id")[items.rows].tolist()
        for row, alias in _aliases(items, other_names(release, code), objects, rule):
            section.find("leak_alias", [ids[row]], code, [f"{shown(alias)!r} in {shown(asked[row])!r}"])
        for row, fault in _subjects(items, release):
            section.find("leak_subject", [ids[row]], code, [f"{fault}: {shown(asked[row])!r}"])
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
