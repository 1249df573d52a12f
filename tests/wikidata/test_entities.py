"""Lines of the dump to rows, against a plain second reading with `json` on real entities, and on awkward ones."""

from __future__ import annotations

import bz2
import json
from pathlib import Path

import pytest
import usual
from hypothesis import given
from hypothesis import strategies as st

from polyfact_dataset.config.build import Config
from polyfact_dataset.sample.make import awkward, claim, encode
from polyfact_dataset.wikidata.entities import Reader, Rows
from polyfact_dataset.wikidata.extract import wanted

WANTED = wanted(Config())


def parse(*entities: object, max_line_bytes: int = 1 << 20) -> Rows:
    rows = Rows()
    lines = [entity if isinstance(entity, bytes) else json.dumps(entity).encode() for entity in entities]
    Reader(WANTED, max_line_bytes).read(b",\n".join(lines) + b"\n", 1, rows)
    return rows


def entities_of(rows: Rows) -> list[dict]:
    return rows.tables()[0].to_pylist()


def statements_of(rows: Rows) -> list[tuple]:
    return [tuple(row.values()) for row in rows.tables()[1].to_pylist()]


def quarantine_of(rows: Rows) -> list[dict]:
    return rows.tables()[2].to_pylist()


def test_real_entities_agree_with_the_usual_script(real_dump: Path) -> None:
    rows = Rows()
    Reader(WANTED).read(bz2.decompress(real_dump.read_bytes()), 1, rows)
    found = list(usual.entities(real_dump))
    assert rows.lines == len(found) == 2255 and rows.lexemes == 23 and not rows.broken
    kept = [entity for entity in found if entity["type"] != "lexeme"]
    assert entities_of(rows) == [usual.entity_row(entity) for entity in kept]
    items = [entity for entity in kept if entity["type"] == "item"]
    expected = [row for entity in items for row in usual.statement_rows(entity)]
    assert rows.tables()[1].to_pylist() == expected and len(expected) == 4192


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
    Reader(WANTED).read(b"[" + end[-1:] + b'{"id":"Q1"}' + end + b"\n" + b'  {"id":"Q2"}' + end + b"]", 1, rows)
    assert rows.ids == ["Q1", "Q2"] and rows.lines == 2 and not rows.broken
