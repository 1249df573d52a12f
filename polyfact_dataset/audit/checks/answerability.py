"""Audit: whether each question has exactly one answer.

A question names its subject, no other fact has the same question with another gold, no other relation has its wording,
no fact is repeated, and no option is another true answer by the extracted statements. These are current (best rank,
not ended), past (ended, or a better-ranked one exists) or deprecated. Only current ones break the gate; the others are
reported.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from polyfact_dataset.audit.release import Items, Release
from polyfact_dataset.audit.result import Section, shown
from polyfact_dataset.audit.wording import bare
from polyfact_dataset.catalog.forms import forms
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.config.audit import AuditConfig

# The summary in the report.
SUMMARY = (
    "A question names its subject, no other fact has the same question with another gold, the wording asks for the "
    "fact's relation, no fact is listed twice, and no option is another true answer by the extracted statements. "
    "These are current (best rank, not ended), past (ended, or a better-ranked one exists) or deprecated; only "
    "current ones break the gate."
)

_Pair = tuple[str, str]


def _unnamed(items: Items, release: Release, section: Section) -> None:
    """Questions that contain neither the name of their subject nor a form of it."""
    if items.subjects is None:
        return
    questions, subjects, name_forms = items.asked, items.named, forms(items.code)
    ids, entities = (release.array(name)[items.rows] for name in ("fact_id", "subject_id"))
    pairs = zip(items.questions.codes.tolist(), items.subjects.codes.tolist())
    for row, (question, subject) in enumerate(pairs):
        if subjects[subject] and subjects[subject] in questions[question]:
            continue
        written = map(normalise, name_forms.written(entities[row], items.subjects.values[subject]))
        if not any(name and name in questions[question] for name in written):
            detail = f"{shown(items.subjects.values[subject])!r} is not in {shown(items.questions.values[question])!r}"
            section.find("subject_named", [ids[row]], items.code, [detail])


def _shared_questions(items: Items, release: Release, section: Section) -> None:
    """Questions that have more than one gold, ignoring case, width and spacing."""
    golds: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    normal = items.asked
    answers = release.column("object_id")
    for row, question in zip(items.rows.tolist(), items.questions.codes.tolist()):
        golds[normal[question]][answers[row]].append(row)
    ids = release.column("fact_id")
    for question, by_gold in golds.items():
        if len(by_gold) > 1:
            facts = sorted(ids[row] for rows in by_gold.values() for row in rows)
            section.find("one_gold", facts, items.code, [f"{shown(question)!r} has {len(by_gold)} golds"] * len(facts))


def _other_relations(items: Items, release: Release, section: Section) -> None:
    """Questions in a wording that most facts use for another relation, ignoring case and punctuation."""
    wordings = items.wordings
    forms = [bare(normalise(text)) for text in wordings.values]
    relations = release.array("property_id")[items.rows].tolist()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for number, relation in zip(wordings.codes.tolist(), relations):
        counts[forms[number]][relation] += 1
    shared = {form: relations.most_common() for form, relations in counts.items() if len(relations) > 1}
    ids = release.array("fact_id")[items.rows]
    for row, number in enumerate(wordings.codes.tolist() if shared else ()):
        (most, times), *others = shared.get(forms[number], [("", 0)])
        if others and (relations[row] != most or others[0][1] == times):
            relation_counts = ", ".join(f"{relation} {count} times" for relation, count in shared[forms[number]])
            detail = f"{shown(wordings.values[number])!r} asks for {relation_counts}"
            section.find("one_relation", [ids[row]], items.code, [detail])


def _duplicates(release: Release, section: Section) -> None:
    """Facts that occur in the release more than once."""
    splits: dict[str, list[str]] = defaultdict(list)
    for fact, split in zip(release.column("fact_id"), release.column("split")):
        splits[fact].append(split)
    for fact, where in splits.items():
        if len(where) > 1:
            section.find("duplicates", [fact], "", [f"in {', '.join(where)}"])


def status_of(rank: str, truthy: bool, ended: bool) -> str:
    """The status of a statement: `current`, `past` or `deprecated`."""
    if rank == "deprecated":
        return "deprecated"
    return "current" if truthy and not ended else "past"


def truths(release: Release) -> dict[_Pair, dict[str, str]]:
    """(subject, relation) -> object -> status; the facts of the release are current."""
    known: dict[_Pair, dict[str, str]] = defaultdict(dict)
    if release.statements is not None:
        order = {"current": 0, "past": 1, "deprecated": 2}
        names = ("subject", "property", "object", "rank", "truthy", "ended")
        for subject, relation, entity, rank, truthy, ended in zip(
            *(release.statements.column(name).to_pylist() for name in names)
        ):
            now = status_of(rank, truthy, ended)
            before = known[subject, relation].get(entity, now)
            known[subject, relation][entity] = min(now, before, key=order.__getitem__)
    facts = (release.column(name) for name in ("subject_id", "property_id", "object_id"))
    for subject, relation, entity in zip(*facts):
        known[subject, relation][entity] = "current"
    return known


def _second_answers(release: Release, section: Section) -> None:
    """Distractors that are true answers themselves."""
    known = truths(release)
    true_distractors: dict[_Pair, tuple[str, list[str]]] = {}
    for items in release.items.values():
        if items.entities is None:
            continue
        names = items.entities.values
        subjects, relations, objects, ids = (
            release.column(name) for name in ("subject_id", "property_id", "object_id", "fact_id")
        )
        for row, option_codes in zip(items.rows.tolist(), items.entities.codes.tolist()):
            true = known[subjects[row], relations[row]]
            for code in option_codes:
                entity = names[code]
                if entity in true and entity != objects[row]:
                    true_distractors.setdefault((ids[row], entity), (true[entity], []))[1].append(items.code)
    for (fact, entity), (now, languages) in true_distractors.items():
        check = "second_answer" if now == "current" else f"second_answer_{now}"
        section.find(check, [fact], "", [f"{entity} is a {now} answer too; offered in {', '.join(languages)}"])


def audit(release: Release, config: AuditConfig) -> Section:
    """Measures answerability; see the module."""
    section = Section("answerability", "Answerability", SUMMARY, config)
    for items in release.items.values():
        _unnamed(items, release, section)
        _shared_questions(items, release, section)
        _other_relations(items, release, section)
    _duplicates(release, section)
    _second_answers(release, section)
    named = any(items.subjects is not None for items in release.items.values())
    lacking = ", ".join(code for code, items in release.items.items() if items.subjects is None)
    section.gate(
        "subject_named",
        section.count("subject_named") if named else None,
        f"no subject_label in {lacking}" if lacking else "",
    )
    section.gate_count("one_gold")
    section.gate_count("duplicates")
    section.gate_count("one_relation")
    source = "all statements extracted" if release.statements is not None else "the release's own facts"
    ids = any(items.entities is not None for items in release.items.values())
    past, wrong = section.count("second_answer_past"), section.count("second_answer_deprecated")
    section.gate(
        "second_answer",
        section.count("second_answer") if ids else None,
        f"against {source}; reported apart: {past} past, {wrong} deprecated"
        if ids
        else "the release has no option_ids",
    )
    return section
