"""Audit: whether every question is in its language.

Every distinct wording (the question without its subject's name, which may be in another language) is identified
by lingua, offline, among the release's languages and a few similar ones. An identification counts as confident from the
configured confidence. A single wording that is without doubt in another language breaks the gate. In short wordings
closely related languages can win narrowly; such cases are listed and do not break a gate.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from polyfact_dataset.audit.release import Coded, Items, Release
from polyfact_dataset.audit.result import Chart, Section, Series, shown
from polyfact_dataset.common.text.language_id import Identifier, identifier_of, long_enough
from polyfact_dataset.config.audit import AuditConfig

# The summary in the report.
SUMMARY = (
    "Every distinct wording (the question without its subject's name, which may be in another language) is identified "
    "by lingua among the release's languages and a few similar ones. An identification is sure from the configured "
    "confidence. Close relatives can win narrowly in short wordings; such cases are listed and break no gate."
)

# A wording that this many facts share is a template.
_TEMPLATE_FACTS = 10


def other_languages(asked: Coded, code: str, identifier: Identifier) -> dict[int, tuple[str, float]]:
    """Number of a wording -> another language that it is identified as, with the confidence."""
    numbers = [number for number, text in enumerate(asked.values) if long_enough(text)]
    identified = identifier.identify([asked.values[number] for number in numbers])
    return {
        number: (other, identifier.confidence(asked.values[number], other))
        for number, other in zip(numbers, identified)
        if other is not None and other != code
    }


def _language(items: Items, release: Release, section: Section, identifier: Identifier) -> tuple[Any, ...]:
    """Findings of one language; returns its row of the table."""
    asked, sure = items.wordings, section.config.identify_confidence
    others = other_languages(asked, items.code, identifier)
    facts: dict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(asked.codes.tolist()):
        if number in others:
            facts[number].append(row)
    ids = release.array("fact_id")[items.rows]
    certain = 0
    for number, rows in facts.items():
        other, confidence = others[number]
        detail = f"{shown(asked.values[number])!r} is taken for {other} ({confidence:.2f}); {len(rows)} facts"
        check = "language" if confidence >= sure else "language_unsure"
        section.find(check, ids[rows].tolist(), items.code, [detail] * len(rows))
        if check == "language":
            certain += len(rows)
            alone = other in release.items and items.verbatim[rows].all()
            expected_confidence = identifier.confidence(asked.values[number], items.code) if alone else 1.0
            if len(rows) >= _TEMPLATE_FACTS or expected_confidence <= section.config.identify_own:
                section.find("language_wording", [ids[rows[0]]], items.code, [detail])
    taken = sum(len(rows) for rows in facts.values())
    share = certain / len(items) if len(items) else 0.0
    return items.code, len(asked.values), len(others), len(items), taken, certain, share


def audit(release: Release, config: AuditConfig) -> Section:
    """Identifies all questions; see the module."""
    section = Section("language_id", "Language identification", SUMMARY, config)
    identifier = identifier_of((*release.items, *config.identify_also))
    able = [items for items in release.items.values() if items.code in identifier.codes]
    rows = [_language(items, release, section, identifier) for items in able]
    unknown = [code for code in release.items if code not in identifier.codes]
    worst = max(rows, key=lambda row: row[-1], default=None)
    worst_language = f"worst is {worst[0]}: {worst[5]} of {worst[3]} questions" if worst else ""
    left_out = f"; lingua does not know {', '.join(unknown)}" if unknown else ""
    section.gate("language", worst[-1] if worst else None, worst_language + left_out)
    section.gate("language_wording", section.count("language_wording") if worst else None, left_out.removeprefix("; "))
    section.grid(
        "Questions by identified language",
        ("language", "wordings", "taken for another", "questions", "of those wordings", "surely in another", "share"),
        rows,
        percents=("share",),
        note=f"Candidates: {', '.join(identifier.codes)}. Sure: confidence {config.identify_confidence:g} or more.",
    )
    shares = [(row[0], 100 * row[4] / row[3] if row[3] else 0.0, 100 * row[-1]) for row in rows]
    if any(share for _, share, _ in shares):
        section.charts.append(
            Chart(
                "Questions taken for another language",
                "bars",
                tuple(code for code, _, _ in shares),
                (
                    Series("taken for another", tuple(share for _, share, _ in shares)),
                    Series("surely", tuple(share for _, _, share in shares)),
                ),
                "% of questions",
                span=(0, max(1.0, *(1.05 * share for _, share, _ in shares))),
            )
        )
    return section
