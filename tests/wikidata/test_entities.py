"""Lines of the dump to rows, against a plain second reading with `json` on real entities, and on awkward ones."""

from __future__ import annotations

import bz2
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfact_dataset.config import Config
from polyfact_dataset.records import ENTITIES, QUARANTINE, STATEMENTS
from polyfact_dataset.sample.make import awkward, claim, encode
from polyfact_dataset.wikidata.entities import Reader, Rows
from polyfact_dataset.wikidata.extract import wanted

WANTED = wanted(Config())


def parse(*entities: object) -> Rows:
    rows = Rows()
    lines = [entity if isinstance(entity, bytes) else json.dumps(entity).encode() for entity in entities]
    Reader(WANTED).read(b",\n".join(lines) + b"\n", 1, rows)
    return rows


def as_dicts(columns: list, table) -> list[dict]:
    return [dict(zip((column.name for column in table.columns), row)) for row in zip(*columns)]


def plain_statements(entity: dict) -> list[tuple]:
    """Definition of a truthy statement, written down again with dictionaries."""
    found = []
    claims = entity.get("claims") or {}
    for relation in WANTED.relations:
        statements = claims.get(relation, [])
        ranks = {statement["rank"] for statement in statements}
        best = "preferred" if "preferred" in ranks else "normal"
        for statement in statements:
            snak = statement["mainsnak"]
            if snak["snaktype"] != "value":
                continue
            value = snak["datavalue"]["value"]
            qid = value.get("id") or f"Q{value['numeric-id']}"
            ends = (statement.get("qualifiers") or {}).get("P582", [])
            ended = any(end["snaktype"] != "novalue" for end in ends)
            found.append((entity["id"], relation, qid, statement["rank"], statement["rank"] == best, ended))
    return found


def test_real_entities_agree_with_a_plain_reading(real_dump: Path) -> None:
    content = bz2.decompress(real_dump.read_bytes())
    lines = [line.rstrip().rstrip(b",") for line in content.splitlines() if line.strip() not in (b"[", b"]")]
    rows = parse(*lines)
    entities = [json.loads(line) for line in lines]
    items = [entity for entity in entities if entity["type"] != "lexeme"]
    assert rows.lines == len(entities) == 2255 and rows.lexemes == 23 and not rows.quarantine[0]
    assert rows.entities[0] == [entity["id"] for entity in items]
    expected = [row for entity in items if entity["type"] == "item" for row in plain_statements(entity)]
    assert list(zip(*rows.statements)) == expected and len(expected) == 4192
    for entity, got in zip(items, as_dicts(rows.entities, ENTITIES)):
        labels = entity.get("labels") or {}
        assert got["labels"] == [
            {"code": code, "text": labels[code]["value"]} for code in WANTED.codes if code in labels
        ], entity["id"]
        sitelinks = entity.get("sitelinks") or {}
        assert got["sitelinks"] == len(sitelinks)
        assert got["titles"] == [
            {"code": wiki, "text": sitelinks[wiki]["title"]} for wiki in WANTED.wikis if wiki in sitelinks
        ]


def test_awkward_entities() -> None:
    rows = parse(*awkward())
    assert rows.entities[0] == ["Q4115189", "Q13406268", "Q15397819", "Q112795079"]
    assert rows.lexemes == 1 and not rows.quarantine[0]
    assert as_dicts(rows.entities, ENTITIES)[3]["redirected_from"] == "Q112795080"
    statements = [tuple(row.values()) for row in as_dicts(rows.statements, STATEMENTS)]
    assert ("Q4115189", "P17", "Q183", "normal", True, False) in statements  # numeric-id only
    assert ("Q4115189", "P27", "Q142", "preferred", True, False) in statements
    assert ("Q4115189", "P27", "Q183", "deprecated", False, False) in statements
    assert ("Q4115189", "P27", "Q145", "normal", False, True) in statements
    assert not [row for row in statements if row[1] in ("P19", "P20")]  # somevalue, novalue


def test_a_preferred_unknown_value_leaves_no_truthy_value() -> None:
    unknown = claim("Q1", 1, "P19", "Q64", "preferred")
    unknown["mainsnak"] = {"snaktype": "somevalue", "property": "P19"}
    rows = parse({"id": "Q1", "type": "item", "claims": {"P19": [unknown, claim("Q1", 2, "P19", "Q90")]}})
    assert list(zip(*rows.statements)) == [("Q1", "P19", "Q90", "normal", False, False)]


def test_no_end_time_is_not_an_end() -> None:
    statement = claim("Q1", 1, "P27", "Q142", end="1999")
    statement["qualifiers"]["P582"][0]["snaktype"] = "novalue"
    rows = parse({"id": "Q1", "type": "item", "claims": {"P27": [statement]}})
    assert rows.statements[5] == [False]


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
    assert rows.entities[0] == ["Q5", "Q6"]
    (found,) = as_dicts(rows.quarantine, QUARANTINE)
    assert found["line"] == 2 and found["reason"].startswith(reason) and len(found["excerpt"]) <= 200


@given(st.binary(max_size=200))
def test_no_line_crashes_the_reader(line: bytes) -> None:
    rows = parse(line.replace(b"\n", b" "))
    assert len(rows.entities[0]) + rows.lexemes + len(rows.quarantine[0]) == rows.lines <= 1


def test_escapes_as_php_writes_them() -> None:
    line = encode({"id": "Q1", "type": "item", "labels": {"ja": {"language": "ja", "value": "東京/𠮷"}}})
    assert line.isascii() and "\\/" in line
    assert as_dicts(parse(line.encode()).entities, ENTITIES)[0]["labels"] == [{"code": "ja", "text": "東京/𠮷"}]
