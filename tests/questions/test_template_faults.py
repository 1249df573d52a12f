"""Why a fact gets no questions from templates."""

from __future__ import annotations

import pyarrow as pa
import pytest

from polyfact_dataset.pipeline.reasons import is_reason
from polyfact_dataset.questions.templates import reasons_of


def faults(*rows: dict[str, str | None]) -> list[str | None]:
    """The reasons of rows, which differ from a sound one in what is given."""
    sound = {"property_id": "P36", "subject_kind": None, "fault": None, "subject:en": "A", "object:en": "B"}
    columns = {name: pa.array([{**sound, **row}[name] for row in rows], pa.string()) for name in sound}
    return reasons_of(pa.RecordBatch.from_pydict(columns), ["en"])


@pytest.mark.parametrize(
    ("relation", "kind", "fault"),
    [
        ("P37", "organisation", "subject_of_another_kind"),
        ("P30", "period", "subject_of_another_kind"),
        ("P36", "character", "subject_of_another_kind"),
        ("P37", None, "subject_of_another_kind"),
        ("P30", None, "subject_of_another_kind"),
        ("P136", None, "subject_of_another_kind"),
        ("P176", None, "subject_of_another_kind"),
        ("P407", None, "subject_of_another_kind"),
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
    assert faults({"property_id": relation, "subject_kind": kind}) == [fault] and (fault is None or is_reason(fault))


def test_a_missing_label_and_an_ambiguous_name_come_first() -> None:
    other = {"property_id": "P37", "subject_kind": "organisation"}
    assert faults(
        {**other, "object:en": None, "fault": "namesake_no_description:en"},
        {**other, "subject:en": None, "object:en": None},
        {"property_id": "P37", "fault": "namesake_no_description:en"},
        {**other, "fault": "namesake_no_description:en"},
        {},
    ) == [
        "object_unlabelled:en",
        "subject_unlabelled:en",
        "namesake_no_description:en",
        "namesake_no_description:en",
        None,
    ]
