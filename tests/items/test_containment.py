"""Options that contain one another are not offered together, nor is what the subject lies in."""

from __future__ import annotations

import pyarrow as pa
import pytest

from polyfact_dataset.items.containment import Containment, short_names
from polyfact_dataset.schema import FEATURES, labels


def features(**containers: list[str]) -> pa.Table:
    """Features of entities that lie in others; all else unknown."""
    rows = []
    for entity, held in containers.items():
        row = dict.fromkeys(FEATURES.schema.names)
        row |= {"entity_id": entity, "containers": held, "types": [], "occupations": [], "sitelinks": 0}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=FEATURES.schema)


UK, ENGLAND, LONDON, FRANCE = "Q145", "Q21", "Q84", "Q142"
PLACES = features(Q21=[UK, "Q46"], Q84=[ENGLAND, UK, "Q46"], Q142=["Q46"], Q145=["Q46"])


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("Q48", "Q5401", True),  # Asia, Eurasia
        ("Q18", "Q828", True),  # South America, the Americas
        ("Q538", "Q55643", True),  # Insular Oceania, Oceania
        ("Q46", "Q27527", True),  # Europe, Afro-Eurasia
        ("Q48", "Q46", False),
        ("Q18", "Q49", False),
        (UK, ENGLAND, True),
        (LONDON, UK, True),
        (LONDON, FRANCE, False),
        (UK, FRANCE, False),
        # What lies in Europe lies in Eurasia.
        (FRANCE, "Q5401", True),
    ],
)
def test_one_contains_the_other(one: str, other: str, overlap: bool) -> None:
    places = Containment(PLACES)
    assert places.overlap(one, other) is overlap is places.overlap(other, one)


def test_lying_in_has_a_direction() -> None:
    places = Containment(PLACES)
    assert places.lies_in(LONDON, UK) and not places.lies_in(UK, LONDON)


def test_continents_are_known_without_features() -> None:
    assert Containment().overlap("Q48", "Q5401") and not Containment().overlap(UK, ENGLAND)


def test_names_that_are_too_short_for_a_text() -> None:
    def label(text: str) -> dict:
        return {"text": text, "provenance": "label", "attested": True}

    rows = [
        {"entity_id": "Q1", "types": [], "sitelinks": 0, "articles": [], "en": label("Ur"), "de": label("Urstadt")},
        {"entity_id": "Q2", "types": [], "sitelinks": 0, "articles": [], "en": label("Uruk"), "de": None},
        {"entity_id": "Q3", "types": [], "sitelinks": 0, "articles": [], "en": label("Y"), "de": label("Y")},
    ]
    table = pa.Table.from_pylist(rows, schema=labels(("en", "de")).schema)
    assert short_names(table, pa.array(["Q1", "Q2"]), ("en", "de")) == {"Q1": frozenset({(0, "ur")})}
