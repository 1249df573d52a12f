"""Lines of the dump to rows, against a plain second reading with `json` on real entities, and on awkward ones."""

from __future__ import annotations

import codecs
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfact_dataset.config.build import Config
from polyfact_dataset.sample.make import awkward, claim, encode
from polyfact_dataset.wikidata.columns import Rows
from polyfact_dataset.wikidata.entities import Reader
from polyfact_dataset.wikidata.extract import extracted_fields

FIELDS = extracted_fields(Config())


def parse(*entities: object, max_line_bytes: int = 1 << 20) -> Rows:
    rows = Rows()
    lines = [entity if isinstance(entity, bytes) else json.dumps(entity).encode() for entity in entities]
    Reader(FIELDS, max_line_bytes).read(b",\n".join(lines) + b"\n", 1, rows)
    return rows


def entities_of(rows: Rows) -> list[dict]:
    return rows.tables()[0].to_pylist()


def statements_of(rows: Rows) -> list[tuple]:
    return [tuple(row.values()) for row in rows.tables()[1].to_pylist()]


def quarantine_of(rows: Rows) -> list[dict]:
    return rows.tables()[2].to_pylist()


def test_awkward_entities() -> None:
    rows = parse(*awkward())
    assert [row["id"] for row in entities_of(rows)] == ["Q4115189", "Q13406268", "Q15397819", "Q112795079"]
    assert rows.lexemes == 1 and not rows.broken
    assert entities_of(rows)[3]["redirected_from"] == "Q112795080"
    statements = statements_of(rows)
    assert ("Q4115189", "P17", "Q183", "normal", True, False) in statements  # numeric-id only
    assert ("Q4115189", "P27", "Q142", "preferred", True, False) in statements
    assert ("Q4115189", "P27", "Q183", "deprecated", False, False) in statements
    assert ("Q4115189", "P27", "Q145", "normal", False, True) in statements
    assert not [row for row in statements if row[1] in ("P19", "P20")]  # somevalue, novalue


def test_a_preferred_unknown_value_leaves_no_truthy_value() -> None:
    unknown = claim("Q1", 1, "P19", "Q64", "preferred")
    unknown["mainsnak"] = {"snaktype": "somevalue", "property": "P19"}
    rows = parse({"id": "Q1", "type": "item", "claims": {"P19": [unknown, claim("Q1", 2, "P19", "Q90")]}})
    assert statements_of(rows) == [("Q1", "P19", "Q90", "normal", False, False)]


def test_no_end_time_is_not_an_end() -> None:
    statement = claim("Q1", 1, "P27", "Q142", end="1999")
    statement["qualifiers"]["P582"][0]["snaktype"] = "novalue"
    rows = parse({"id": "Q1", "type": "item", "claims": {"P27": [statement]}})
    assert [row[5] for row in statements_of(rows)] == [False]


def dated(relation: str, time: object, precision: object = 11, rank: str = "normal") -> dict:
    value = {"value": {"time": time, "precision": precision, "timezone": 0}, "type": "time"}
    return {"mainsnak": {"snaktype": "value", "property": relation, "datavalue": value}, "rank": rank}


def unknown(relation: str, snaktype: str, rank: str = "normal") -> dict:
    return {"mainsnak": {"snaktype": snaktype, "property": relation}, "rank": rank}


def features_of(claims: dict) -> dict:
    rows = parse({"id": "Q1", "type": "item", "claims": claims})
    assert not rows.broken
    return entities_of(rows)[0]


@pytest.mark.parametrize(
    ("time", "precision", "year"),
    [
        ("+1952-03-11T00:00:00Z", 11, 1952),
        ("+1952-00-00T00:00:00Z", 9, 1952),
        ("-0044-03-15T00:00:00Z", 11, -44),
        ("+00000001952-03-11T00:00:00Z", 11, 1952),  # old dumps
        ("1952-03-11T00:00:00Z", 11, 1952),
        ("+1950-00-00T00:00:00Z", 8, None),  # the 1950s
        ("-13798000000-00-00T00:00:00Z", 3, None),
        ("-13798000000-00-00T00:00:00Z", 9, None),  # no 32-bit number
        ("+0000-01-01T00:00:00Z", 9, None),
        ("1952", 11, None),
        ("", 11, None),
        ("+١٩٥٢-03-11T00:00:00Z", 11, None),
        (1952, 11, None),
        (None, 11, None),
        ("+1952-03-11T00:00:00Z", None, None),
        ("+1952-03-11T00:00:00Z", "11", None),
        ({}, [], None),
    ],
)
def test_years(time: object, precision: object, year: int | None) -> None:
    found = features_of({relation: [dated(relation, time, precision)] for relation in ("P569", "P570", "P571", "P577")})
    assert [found[name] for name in ("birth_year", "death_year", "inception_year", "publication_year")] == [year] * 4
    assert found["is_dead"]


def test_the_earliest_year_of_best_rank_counts() -> None:
    several = [dated("P577", "+1999-01-01T00:00:00Z"), dated("P577", "+1987-01-01T00:00:00Z")]
    assert features_of({"P577": several})["publication_year"] == 1987
    ranked = [*several, dated("P577", "+2001-01-01T00:00:00Z", rank="preferred")]
    assert features_of({"P577": ranked})["publication_year"] == 2001
    deprecated = dated("P577", "+1900-01-01T00:00:00Z", rank="deprecated")
    assert features_of({"P577": [deprecated]})["publication_year"] is None
    assert features_of({"P577": [deprecated, *several]})["publication_year"] == 1987


@pytest.mark.parametrize(
    ("statements", "dead"),
    [
        ([], False),
        ([unknown("P570", "somevalue")], True),
        ([unknown("P570", "novalue")], False),
        ([unknown("P570", "somevalue", "deprecated")], False),
        ([unknown("P570", "novalue", "preferred"), dated("P570", "+1999-01-01T00:00:00Z")], False),
        ([dated("P570", "+1900-00-00T00:00:00Z", 7)], True),
    ],
)
def test_who_is_dead(statements: list[dict], dead: bool) -> None:
    found = features_of({"P570": statements})
    assert found["is_dead"] is dead and found["death_year"] is None


def test_lists_hold_current_values_of_best_rank() -> None:
    claims = {
        "P21": [claim("Q1", 1, "P21", "Q6581072")],
        "P106": [claim("Q1", 2, "P106", "Q36180"), claim("Q1", 3, "P106", "Q33999"), unknown("P106", "somevalue")],
        "P131": [claim("Q1", 4, "P131", "Q64", end="1990"), claim("Q1", 5, "P131", "Q90")],
        "P279": [claim("Q1", 6, "P279", "Q515", "deprecated")],
        "P361": [claim("Q1", 7, "P361", "Q2"), claim("Q1", 8, "P361", "Q2")],
        "P17": [claim("Q1", 9, "P17", "Q142", "preferred"), claim("Q1", 10, "P17", "Q183")],
        "P30": [claim("Q1", 11, "P30", "Q46")],
        "P27": [{"mainsnak": {"snaktype": "value", "datavalue": {"value": {"numeric-id": 183}}}, "rank": "normal"}],
    }
    found = features_of(claims)
    expected = {
        "sexes": ["Q6581072"],
        "occupations": ["Q36180", "Q33999"],
        "located_in": ["Q90"],
        "subclass_of": [],
        "part_of": ["Q2"],
        "countries": ["Q142"],
        "continents": ["Q46"],
        "citizenships": ["Q183"],
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("value", [None, "text", 7, [], {"value": None}, {"value": "text"}, {"value": []}])
def test_a_value_of_another_type_is_no_feature(value: object) -> None:
    snak = {"snaktype": "value", "datavalue": value if value is None or isinstance(value, dict) else {"value": value}}
    found = features_of({relation: [{"mainsnak": snak}] for relation in ("P21", "P569", "P106")})
    assert (found["sexes"], found["birth_year"], found["occupations"]) == ([], None, [])


def test_features_belong_to_their_entity() -> None:
    some = {"P21": [claim("Q2", 1, "P21", "Q6581097")], "P569": [dated("P569", "+1901-01-01T00:00:00Z")]}
    rows = entities_of(parse({"id": "Q1"}, {"id": "Q2", "claims": some}, {"id": "Q3", "claims": []}, {"id": "Q4"}))
    assert [(row["id"], row["sexes"], row["birth_year"]) for row in rows] == [
        ("Q1", [], None),
        ("Q2", ["Q6581097"], 1901),
        ("Q3", [], None),
        ("Q4", [], None),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "Q1", "type": "item"', "broken JSON"),
        (b'{"type": "item", "labels": {}}', "entity without id"),
        (b'{"id": "M7"}', "not an item"),
        (b'{"id": "Q1", "labels": {"en": {"value": 7}}}', "unexpected layout"),
        (b'{"id": "Q1", "labels": "x"}', "unexpected layout"),
        (b'{"id": "Q0"}', "not an item"),
        (b'["Q1"]', "unexpected layout"),
        (b"\xff\xfe", "broken JSON"),
        (b'{"id": "Q1", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "broken JSON"),
    ],
)
def test_broken_lines_are_quarantined_with_their_number(line: bytes, reason: str) -> None:
    rows = parse(b'{"id":"Q5","type":"item"}', line, b'{"id":"Q6","type":"item"}')
    assert [row["id"] for row in entities_of(rows)] == ["Q5", "Q6"]
    (found,) = quarantine_of(rows)
    assert found["line"] == 2 and found["reason"].startswith(reason) and len(found["excerpt"]) <= 200


@pytest.mark.parametrize(
    "damage",
    [
        b'"descriptions": {"xx": {"language": "xx", "value": "\\ud800"}}',
        b'"descriptions": {"en": {"language": "en", "value": "half \\udc00 a pair"}}',
        b'"descriptions": {"en": {"language": "en", "value": null}}',
        b'"descriptions": {"en": null}',
        b'"descriptions": {"xx": {"language": "xx", "value": "\xed\xa0\x80"}}',
        b'"aliases": {"en": [null, {"language": "en", "value": "\\ud83d"}]}',
        b'"sitelinks": {"xxwiki": {"site": "xxwiki", "title": null}}',
        b'"claims": {"P31": null}',
        b'"\\udfff": 1',
    ],
)
def test_one_bad_value_does_not_cost_the_line(damage: bytes) -> None:
    label = b'"labels": {"en": {"language": "en", "value": "Universe"}}'
    rows = parse(b'{"id": "Q1", "type": "item", ' + label + b", " + damage + b"}")
    assert rows.lines == 1 and not rows.broken
    (entity,) = entities_of(rows)
    assert entity["id"] == "Q1" and entity["labels"] == [{"code": "en", "text": "Universe"}]
    assert entity["descriptions"] == [] and entity["aliases"] == []


def test_a_bad_label_is_left_out_and_the_others_are_kept() -> None:
    labels = b'{"en": {"language": "en", "value": "\\ud800"}, "ja": {"language": "ja", "value": "\xe5\xae\x87"}}'
    rows = parse(b'{"id": "Q1", "type": "item", "labels": ' + labels + b"}")
    assert entities_of(rows)[0]["labels"] == [{"code": "ja", "text": "宇"}]


@pytest.mark.parametrize("line", [b'{"id": "Q1", "x": NaN}', b'{"id": "Q1", "x": "\x01"}', b'{"id": "Q1", "x": \xff}'])
def test_what_is_not_json_is_not_repaired(line: bytes) -> None:
    assert parse(line).broken == 1


@pytest.mark.parametrize("first", [b"[\n", b"[\r\n", b""])
def test_a_byte_order_mark_costs_no_line(first: bytes) -> None:
    rows = Rows()
    Reader(FIELDS).read(codecs.BOM_UTF8 + first + b'{"id":"Q1"}\n', 1, rows)
    assert (rows.ids, rows.broken, rows.opened) == (["Q1"], 0, 1 if first else 0)


@given(st.binary(max_size=200))
def test_no_line_crashes_the_reader(line: bytes) -> None:
    rows = parse(line.replace(b"\n", b" "))
    assert len(rows.ids) + rows.lexemes + rows.broken == rows.lines <= 1


def test_escapes_as_php_writes_them() -> None:
    line = encode({"id": "Q1", "type": "item", "labels": {"ja": {"language": "ja", "value": "東京/𠮷"}}})
    assert line.isascii() and "\\/" in line
    assert entities_of(parse(line.encode()))[0]["labels"] == [{"code": "ja", "text": "東京/𠮷"}]


def test_a_line_above_the_limit_is_quarantined() -> None:
    rows = parse({"id": "Q1"}, {"id": "Q2", "x": "y" * 200}, {"id": "Q3"}, max_line_bytes=100)
    assert [row["id"] for row in entities_of(rows)] == ["Q1", "Q3"] and rows.lines == 3
    (found,) = quarantine_of(rows)
    assert (found["line"], found["reason"]) == (2, "line longer than max_line_bytes")


@pytest.mark.parametrize("end", [b",\n", b"\n", b", \r\n", b" ,\n", b"\r\n"])
def test_however_a_line_ends(end: bytes) -> None:
    rows = Rows()
    Reader(FIELDS).read(b"[" + end[-1:] + b'{"id":"Q1"}' + end + b"\n" + b'  {"id":"Q2"}' + end + b"]", 1, rows)
    assert rows.ids == ["Q1", "Q2"] and rows.lines == 2 and not rows.broken
