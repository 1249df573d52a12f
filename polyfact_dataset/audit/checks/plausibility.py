"""Audit: are distractors possible answers, by time and by kind of person?

An author who was born after the book appeared is no plausible answer. What is possible is estimated from the
answers: between the 1st and the 99th percentile of the years from subject to answer, by relation. A person whose
occupations (P106) are none of the answer's is counted as well. Matching keeps both rare and cannot exclude them, so
there is no gate.
"""

from __future__ import annotations

import numpy as np

from polyfact_dataset.audit.release import Bools, Floats, Release, relation_order
from polyfact_dataset.audit.result import Cell, Section
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.items.matching import Traits, traits_of

# What the report tells its reader.
SUMMARY = (
    "Distractors that cannot be the answer: from a time in which no answer of the relation is (outside the 1st to the "
    "99th percentile of the years between subject and answer), or persons of other occupations. There is no gate, and "
    "no table where the build knows neither years nor occupations."
)
_PERCENTILES = (1, 99)
# Fewer answers do not show what is possible.
_LEAST = 20


def _years(traits: list[Traits]) -> Floats:
    years: Floats = np.array([np.nan if entity.year is None else entity.year for entity in traits], dtype=np.float64)
    return years


def audit(release: Release, config: AuditConfig) -> Section:
    """Counts distractors that cannot be the answer; see the module."""
    section = Section("plausibility", "Plausible distractors", SUMMARY, config)
    items = next((items for items in release.items.values() if items.entities is not None), None)
    if release.features is None or items is None or items.entities is None:
        return section
    subjects = release.array("subject_id")[items.rows].tolist()
    known = traits_of(release.features, {*subjects, *items.entities.values})
    options = [known.get(entity, Traits()) for entity in items.entities.values]
    gaps = _years(options)[items.entities.codes] - _years([known.get(name, Traits()) for name in subjects])[:, None]
    gold: Bools = np.zeros(gaps.shape, dtype=np.bool_)
    gold[np.arange(len(gold)), items.gold] = True
    relations = release.array("property_id")[items.rows]
    rows: list[tuple[Cell, ...]] = []
    for relation in sorted(set(relations.tolist()), key=relation_order):
        of = relations == relation
        dated, unlike, compared = _dated(gaps[of], gold[of]), 0, 0
        for codes, gold_slot in zip(items.entities.codes[of].tolist(), items.gold[of].tolist()):
            asked = options[codes[gold_slot]].occupations
            others = [options[code].occupations for slot, code in enumerate(codes) if slot != gold_slot]
            compared += sum(bool(asked and other) for other in others)
            unlike += sum(bool(asked and other) and asked.isdisjoint(other) for other in others)
        if dated or compared:
            anachronistic, distractors = dated or (0, 0)
            shares = (anachronistic / max(distractors, 1), unlike / max(compared, 1))
            rows.append((relation, distractors, anachronistic, shares[0], compared, unlike, shares[1]))
    if rows:
        section.grid(
            "Distractors that cannot be the answer, by relation",
            ("relation", "dated", "anachronistic", "share", "persons", "of other occupations", "share of these"),
            rows,
            percents=("share", "share of these"),
        )
    return section


def _dated(gaps: Floats, gold: Bools) -> tuple[int, int] | None:
    """Distractors outside the years of the answers, and distractors with a date; None with too few answers."""
    known = gaps[gold & ~np.isnan(gaps)]
    if len(known) < _LEAST:
        return None
    low, high = np.percentile(known, _PERCENTILES)
    others = gaps[~gold & ~np.isnan(gaps)]
    return int(((others < low) | (others > high)).sum()), len(others)
