"""Distractors from another time, and persons of other occupations, are counted."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from polyfact_dataset.audit.checks import plausibility
from tests.support.audited import Rows, audited, clean_rows


def _counted(rows: Rows, features: pa.Table | None) -> dict[str, tuple[Any, ...]]:
    """Relation -> dated distractors, anachronistic ones, persons, those of other occupations."""
    section = audited(plausibility, rows, features=features)
    return {row[0]: (row[1], row[2], row[4], row[5]) for grid in section.grids for row in grid.rows}


def _features(rows: Rows, **given: dict[str, Any]) -> pa.Table:
    """Everybody is born 30 years before what they wrote in 1900, as a writer."""
    subjects = {row["subject_id"] for row in rows}
    answers = {name for row in rows for name in row["translations"]["en"]["option_ids"]}
    table = {name: {"publication_year": 1900} for name in subjects}
    table |= {name: {"birth_year": 1870, "occupations": ["writer"], **given.get(name, {})} for name in answers}
    columns = ("birth_year", "publication_year", "occupations")
    return pa.Table.from_pylist([{"entity_id": name, **dict.fromkeys(columns), **own} for name, own in table.items()])


def test_whoever_lives_in_another_time_is_counted_as_a_distractor_only() -> None:
    rows = [row for row in clean_rows(400) if row["property_id"] == "P50"]
    plain = _counted(rows, _features(rows))
    assert plain == {"P50": (3 * len(rows), 0, 3 * len(rows), 0)}
    stranger = next(name for name in rows[0]["translations"]["en"]["option_ids"] if name != rows[0]["object_id"])
    own = sum(row["object_id"] == stranger for row in rows)
    times = sum(stranger in row["translations"]["en"]["option_ids"] for row in rows)
    late = _counted(rows, _features(rows, **{stranger: {"birth_year": 1990}}))
    # Below one in a hundred answers it would be outside; here its own facts are more than that.
    assert late["P50"][1] == 0 and own / len(rows) > 0.01
    painter = _counted(rows, _features(rows, **{stranger: {"occupations": ["painter"]}}))
    assert painter["P50"][3] == times - own + 3 * own


def test_a_distractor_that_is_never_the_answer_in_that_time_is_anachronistic() -> None:
    rows = [row for row in clean_rows(400) if row["property_id"] == "P50"]
    stranger = next(name for name in rows[0]["translations"]["en"]["option_ids"] if name != rows[0]["object_id"])
    others = [row for row in rows if row["object_id"] != stranger]
    times = sum(stranger in row["translations"]["en"]["option_ids"] for row in others)
    found = _counted(others, _features(rows, **{stranger: {"birth_year": 1990}}))
    assert found["P50"][1] == times > 0


def test_nothing_is_counted_without_a_build() -> None:
    assert _counted(clean_rows(), None) == {}
