"""Audit: whether the release is complete and consistent.

Every fact is complete in every language, the marked option is its object, the four options are distinguishable, the
files match the manifest, the languages' configs and config `open` agree with `parallel`, and no split is empty.
"""

from __future__ import annotations

import numpy as np

from polyfact_dataset.audit.release import Items, Release
from polyfact_dataset.audit.result import Section, shown
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.schema import SPLITS

# The summary in the report.
SUMMARY = (
    "Every fact is complete in every language, the marked option is the fact's object, the four options differ, the "
    "files are those of the manifest, all configs agree with `parallel`, and no split is empty."
)


def _marked(items: Items, release: Release, section: Section) -> None:
    """Checks that the answer's text is the marked option, and its entity the fact's object, also in the id."""
    rows, ids = np.arange(len(items)), release.array("fact_id")[items.rows]
    answers = np.array(items.table.column("answer_text").to_pylist(), dtype=object)
    options = np.array(items.options.values, dtype=object)[items.options.codes[rows, items.gold]]
    for row in np.flatnonzero(answers != options):
        detail = f"marked is {shown(options[row])!r}, the answer's text {shown(answers[row])!r}"
        section.find("marked", [ids[row]], items.code, [detail])
    if items.entities is None:
        return
    golds = np.array(items.entities.values, dtype=object)[items.entities.codes[rows, items.gold]]
    objects = release.array("object_id")[items.rows]
    for row in np.flatnonzero(golds != objects):
        section.find("marked", [ids[row]], items.code, [f"marked is {golds[row]}, the fact's object {objects[row]}"])


def _distinct(items: Items, release: Release, section: Section) -> None:
    """Checks that the four options are neither empty nor equal after normalisation."""
    forms = items.offered
    code_of = {form: number for number, form in enumerate(dict.fromkeys(forms))}
    codes = np.sort(np.array([code_of[form] for form in forms], dtype=np.int64)[items.options.codes], axis=1)
    same = (codes[:, 1:] == codes[:, :-1]).any(axis=1)
    empty = np.isin(codes, [code_of[""]]).any(axis=1) if "" in code_of else np.zeros(len(items), dtype=bool)
    ids = release.array("fact_id")[items.rows]
    for row in np.flatnonzero(same | empty):
        texts = " · ".join(shown(items.options.values[code], 40) or "(empty)" for code in items.options.codes[row])
        section.find("distinct", [ids[row]], items.code, [texts])


def _named(release: Release, section: Section) -> None:
    """Checks that `fact_id` consists of the ids in its row."""
    names = ("fact_id", "subject_id", "property_id", "object_id")
    for fact, *parts in zip(*(release.column(name) for name in names)):
        if fact != "|".join(parts):
            section.find("marked", [fact], "", [f"fact_id is not {'|'.join(parts)}"])


def audit(release: Release, config: AuditConfig) -> Section:
    """Measures integrity; see the module."""
    section = Section("integrity", "Integrity", SUMMARY, config)
    section.find("files", release.files, "", ["not as the manifest says"] * len(release.files))
    for check, faults in (("complete", release.malformed), ("same_in_configs", release.contradictions)):
        for fact, code, detail in faults:
            section.find(check, [fact], code, [detail])
    for fact, code, detail in release.opened.faults if release.opened is not None else ():
        section.find("open_items", [fact], code, [detail])
    _named(release, section)
    for items in release.items.values():
        _marked(items, release, section)
        _distinct(items, release, section)
    for gate in ("files", "complete", "marked", "distinct", "same_in_configs"):
        section.gate_count(gate)
    unopened = release.opened is None
    section.gate(
        "open_items",
        None if unopened else section.count("open_items"),
        "the release has no config open" if unopened else "",
    )
    absent = [split for split in SPLITS if split not in release.splits]
    section.gate("splits_present", len(absent), f"no fact in {', '.join(absent)}" if absent else "")
    section.grid(
        "Facts",
        ("language", *release.splits, "all"),
        [
            (code, *(int((release.array("split")[items.rows] == split).sum()) for split in release.splits), len(items))
            for code, items in release.items.items()
        ],
    )
    return section
