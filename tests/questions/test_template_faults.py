"""Why a fact gets no questions from templates."""

from __future__ import annotations

from typing import Any

import pytest

from polyfact_dataset.pipeline.reasons import is_reason
from polyfact_dataset.questions.templates import fault_of


def row(relation: str, kind: str | None, **changed: Any) -> dict[str, Any]:
    labels = {"subject:en": "A", "object:en": "B"}
    return {"property_id": relation, "subject_kind": kind, "fault": None, **labels, **changed}


@pytest.mark.parametrize(
    ("relation", "kind", "fault"),
    [
        ("P37", "organisation", "subject_of_another_kind"),
        ("P30", "period", "subject_of_another_kind"),
        ("P36", "character", "subject_of_another_kind"),
        ("P37", None, "subject_of_another_kind"),
        ("P30", None, "subject_of_another_kind"),
        ("P37", "island", None),
        ("P36", "country", None),
        ("P36", None, None),
        # A school is an organisation, and an architect builds it.
        ("P84", "university", None),
        ("P17", "organisation", None),
        ("P176", "software", None),
    ],
)
def test_a_relation_of_places_has_no_other_subjects(relation: str, kind: str | None, fault: str | None) -> None:
    assert fault_of(row(relation, kind), ["en"]) == fault and (fault is None or is_reason(fault))


def test_a_missing_label_and_an_ambiguous_name_come_first() -> None:
    assert fault_of(row("P37", "organisation", **{"object:en": None}), ["en"]) == "object_unlabelled:en"
    assert fault_of(row("P37", None, fault="namesake_no_description:en"), ["en"]) == "namesake_no_description:en"
