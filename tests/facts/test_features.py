"""Features of subjects and objects, in a small world where each is known."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polyfact_dataset.config.build import Config, load_config
from polyfact_dataset.facts.features import is_living, sex_of
from polyfact_dataset.pipeline.build_dir import read_manifest
from polyfact_dataset.pipeline.stages import table_path
from polyfact_dataset.schema import FEATURES
from tests.support.planted import build, item, labels, state

WOMAN, MAN, TRANS_WOMAN, TRANS_MAN, NON_BINARY = "Q6581072", "Q6581097", "Q1052281", "Q2449503", "Q48270"


def time(entity: dict, relation: str, year: int) -> dict:
    value = {"value": {"time": f"{year:+05}-00-00T00:00:00Z", "precision": 9}, "type": "time"}
    entity["claims"][relation] = [{"mainsnak": {"snaktype": "value", "datavalue": value}, "rank": "normal"}]
    return entity


def world() -> list[dict]:
    """Ada (Q101) was born in Lyon; Lyon is in Rhône, which is in France; the continent of all but Mars is known."""
    ada = time(time(item("Q101", labels("Ada"), ("Q5",)), "P569", 1815), "P570", 1852)
    state(state(state(ada, "P19", "Q202"), "P21", WOMAN), "P27", "Q204")
    state(ada, "P106", "Q901", "Q902")
    bob = time(item("Q102", labels("Bob"), ("Q5",)), "P569", 1990)
    state(state(bob, "P19", "Q202"), "P21", TRANS_MAN)
    # Of this person it is known only where she died.
    cleo = state(state(item("Q103", labels("Cleo"), ("Q5",)), "P19", "Q202"), "P20", "Q202")
    lyon = state(item("Q202", labels("Lyon")), "P131", "Q203")
    rhone = state(item("Q203", labels("Rhone")), "P131", "Q204", "Q999999")
    france = time(state(item("Q204", labels("France"), ("Q6256",)), "P17", "Q204"), "P571", 1958)
    state(state(france, "P30", "Q205", "Q206"), "P361", "Q207")
    others = [item(f"Q{number}", labels(f"Land{number}"), ("Q5107",)) for number in (205, 206)]
    # The union contains France and, wrongly, is part of it: ancestors are found once.
    union = state(item("Q207", labels("Union"), ("Q1",)), "P361", "Q204")
    film = state(state(time(item("Q301", labels("Film"), ("Q11424",)), "P577", 1999), "P495", "Q204"), "P57", "Q101")
    rover = state(item("Q302", labels("Rover"), ("Q42889",)), "P176", "Q303")
    maker = item("Q303", labels("Maker"), ("Q4830453",))
    return [ada, bob, cleo, lyon, rhone, france, *others, union, film, rover, maker]


def features(tmp_path: Path, config: Config | None = None) -> dict[str, dict]:
    out = build(tmp_path, world(), "features", config)
    path = table_path(out, "features")
    assert pq.read_schema(path).equals(FEATURES.schema)
    rows = pq.read_table(path).to_pylist()
    assert [row["entity_id"] for row in rows] == sorted(row["entity_id"] for row in rows)
    return {row["entity_id"]: row for row in rows}


def test_features_of_a_small_world(tmp_path: Path) -> None:
    found = features(tmp_path)
    # Every subject and object of a candidate, and nothing else: Rhone and the union are neither.
    assert set(found) == {"Q101", "Q102", "Q103", "Q202", "Q204", "Q301", "Q302", "Q303"}
    assert found["Q101"] == {
        "entity_id": "Q101",
        "kind": "person",
        "types": ["Q5"],
        "sex": "female",
        "birth_year": 1815,
        "death_year": 1852,
        "is_living": False,
        "inception_year": None,
        "publication_year": None,
        "occupations": ["Q901", "Q902"],
        "country": "Q204",
        "continent": "Q205",
        "containers": [],
        "sitelinks": 0,
    }
    assert (found["Q102"]["sex"], found["Q102"]["is_living"], found["Q102"]["country"]) == ("male", True, None)
    assert (found["Q103"]["death_year"], found["Q103"]["is_living"]) == (None, False)
    lyon = found["Q202"]
    assert (lyon["country"], lyon["continent"], lyon["is_living"], lyon["kind"]) == ("Q204", "Q205", None, "settlement")
    assert lyon["containers"] == ["Q203", "Q204", "Q205", "Q206", "Q207", "Q999999"]
    assert found["Q204"]["containers"] == ["Q205", "Q206", "Q207"] and found["Q204"]["inception_year"] == 1958
    film = found["Q301"]
    assert (film["kind"], film["publication_year"], film["country"], film["continent"]) == (
        "film",
        1999,
        "Q204",
        "Q205",
    )
    assert (found["Q302"]["country"], found["Q302"]["continent"], found["Q302"]["containers"]) == (None, None, [])


def test_the_reference_year_follows_from_the_dump_unless_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "derived").mkdir()
    (tmp_path / "given").mkdir()
    assert features(tmp_path / "derived")["Q102"]["is_living"] is True
    counts = read_manifest(tmp_path / "derived" / "build", False)["stages"]["features"]["counts"]
    assert counts["reference_year"] == 1999 and counts["known"]["sex"] == 2
    given = features(tmp_path / "given", load_config(features__reference_year=2101))
    assert given["Q102"]["is_living"] is False


@pytest.mark.parametrize(
    ("values", "sex"),
    [
        ([], None),
        ([MAN], "male"),
        ([WOMAN], "female"),
        ([TRANS_WOMAN], "female"),
        ([TRANS_MAN], "male"),
        ([WOMAN, TRANS_WOMAN], "female"),
        ([WOMAN, MAN], None),
        ([WOMAN, NON_BINARY], None),
        ([NON_BINARY], None),
        (["Q44148"], None),
    ],
)
def test_sex(values: list[str], sex: str | None) -> None:
    assert sex_of(values) == sex


@pytest.mark.parametrize(
    ("types", "birth", "dead", "living"),
    [
        (["Q5"], 1990, False, True),
        (["Q5"], 1990, True, False),
        (["Q5"], None, True, False),
        (["Q5"], None, False, None),
        (["Q5"], 1890, False, True),
        (["Q5"], 1889, False, False),
        (["Q5"], -44, False, False),
        (["Q95074"], 1990, False, None),
        ([], None, False, None),
    ],
)
def test_who_lives(types: list[str], birth: int | None, dead: bool, living: bool | None) -> None:
    assert is_living({"types": types, "birth_year": birth, "is_dead": dead}, 2000) is living
    if not dead and birth is not None and birth < 1900:
        assert is_living({"types": types, "birth_year": birth, "is_dead": dead}, None) is True
