"""The bundled sample dump: made from its tables, true to their form, and large enough."""

from __future__ import annotations

import bz2
import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from polyfact_dataset.catalog.language import known
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.facts.written_labels import read_written_labels
from polyfact_dataset.sample import check, make, tables, template
from polyfact_dataset.sample.check import (
    Report,
    check_form,
    check_further,
    check_people,
    check_reference,
    english_names,
)
from tests.conftest import SHARED


def test_the_tables_have_no_error() -> None:
    report = Report()
    check_form(tables.load_entities(), tables.load_statements(), report, tables.load_labels())
    assert report.errors == []
    assert not [line for line in report.differences if "already" in line or "repeated" in line]


@pytest.mark.parametrize("code", [code for code in tables.further_languages() if code in known()])
def test_the_tables_of_further_languages_have_no_error(code: str) -> None:
    report, labels = Report(), tables.load_further_labels(code)
    check_further(code, labels, english_names(tables.load_entities(), tables.load_labels()), report)
    assert report.errors == [] and report.counts[f"{code} written"] >= 400
    stated = {end for row in tables.load_statements() for end in (row.subject, row.object)}
    assert labels.keys() == stated, "every entity of a statement has a line, which may be empty"


def test_planted_errors_in_the_table_of_a_further_language_are_found(tmp_path: Path) -> None:
    names = {"Q142": "France", "Q90": "Paris"}
    planted = [
        ("Q142", "France", "Ufaransa", 0),
        ("Q142", "France", "", 0),
        ("Q143", "France", "Ufaransa", 1),
        ("Q142", "Paris", "Ufaransa", 1),
        ("Q142", "France", "Франция", 1),
        ("Q142", "France", "Ufa  ransa", 1),
    ]
    for qid, english, text, count in planted:
        report = Report()
        check_further("sw", {qid: tables.WrittenLabel(text, english, "sw.tsv:2")}, names, report)
        assert len(report.errors) == count, text
    report = Report()
    check_further("xx", {"Q142": tables.WrittenLabel("x", "France", "xx.tsv:2")}, names, report)
    assert report.errors == ["labels/xx.tsv: there is no languages/xx.toml"]
    (tmp_path / "sw.tsv").write_text("qid\ten\tsw\nQ142\tFrance\tUfaransa\nQ142\tFrance\tFaransa\n")
    assert tables.further_languages(tmp_path) == ("sw",)
    with pytest.raises(DataError, match="sw.tsv:3: Q142 is already in sw.tsv:2"):
        tables.load_further_labels("sw", tmp_path)


def test_the_dump_is_made_from_the_tables(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(make, "PATH", tmp_path / "dump.json.bz2")
    make.main([])
    ours = Path(make.__file__).parent / "dump.json.bz2"
    assert ours.read_bytes() == (tmp_path / "dump.json.bz2").read_bytes(), "run: make sample"
    assert ours.stat().st_size <= 3_000_000


def test_the_dump_has_the_official_layout() -> None:
    lines = bz2.decompress((Path(make.__file__).parent / "dump.json.bz2").read_bytes()).decode("ascii").splitlines()
    assert (lines[0], lines[-1]) == ("[", "]")
    assert all(line.endswith(",") for line in lines[1:-2]) and not lines[-2].endswith(",")
    entities = [json.loads(line.rstrip(",")) for line in lines[1:-1]]
    assert len([e for e in entities if e["type"] == "item"]) >= 1500
    assert {e["type"] for e in entities} == {"item", "property", "lexeme"}
    assert any(e["aliases"] == [] for e in entities)


def _entity(**changes: object) -> tables.Entity:
    good = next(entity for entity in tables.load_entities() if entity.qid == "Q142")
    return tables.Entity(**{**good.__dict__, **changes})


def test_planted_errors_are_found() -> None:
    labels = dict(_entity().labels)
    planted = [
        _entity(qid="142"),
        _entity(types=("human",)),
        _entity(labels={**labels, "bn": ""}),
        _entity(labels={**labels, "ru": "Фpанция"}),
        _entity(labels={**labels, "de": "法国"}),
        _entity(labels={**labels, "fr": "France  "}),
    ]
    for entity in planted:
        report = Report()
        check_form([entity], [], report)
        assert len(report.errors) == 1, entity
    known = [_entity(), _entity(qid="Q90", labels={**labels, "en": "Paris"})]
    for statement, count in [
        (tables.Statement("Q142", "P36", "Q90", "", "", "France | Paris", "x:1"), 0),
        (tables.Statement("Q142", "P36", "Q90", "", "", "France | Lyon", "x:1"), 1),
        (tables.Statement("Q142", "P36", "Q91", "", "", "France | Paris", "x:1"), 1),
        (tables.Statement("Q142", "P1", "Q90", "", "", "France | Paris", "x:1"), 1),
        (tables.Statement("Q142", "P36", "Q90", "best", "", "France | Paris", "x:1"), 1),
        (tables.Statement("Q142", "P36", "Q90", "", "long ago", "France | Paris", "x:1"), 1),
    ]:
        report = Report()
        check_form(known, [statement], report)
        assert len(report.errors) == count, statement


def test_planted_errors_about_people_are_found() -> None:
    good = tables.Person("Q937", "male", "1879", "1955", "Albert Einstein", "people.tsv:2")
    planted = [
        (good, 0),
        (replace(good, note="Niels Bohr"), 1),
        (replace(good, sex="m"), 1),
        (replace(good, born="long ago"), 1),
        (replace(good, died="1789"), 1),
        (replace(good, born="-70", died="-19"), 0),
    ]
    for person, count in planted:
        report = Report()
        check_people([person], {"Q937": "Albert Einstein"}, report)
        assert len(report.errors) == count, person


@pytest.fixture(scope="module")
def reference(real_dump: Path) -> dict[str, check.Reference]:
    """The reference data about every entity of the sample."""
    return check.load_reference(real_dump.parent, {entity.qid for entity in tables.load_entities()})


@pytest.fixture
def read_once(reference: dict[str, check.Reference], monkeypatch: pytest.MonkeyPatch) -> None:
    """The check takes its reference from what was read."""

    def read(folder: Path, ids: Collection[str]) -> dict[str, check.Reference]:
        assert folder == SHARED
        return {qid: reference[qid] for qid in ids if qid in reference}

    monkeypatch.setattr(check, "load_reference", read)


@pytest.mark.usefixtures("read_once")
def test_labels_and_statements_that_the_reference_lacks_are_found() -> None:
    report = Report()
    wrong = _entity(labels={**_entity().labels, "de": "Gallien"})
    false = tables.Statement("Q142", "P36", "Q64", "", "", "France | Berlin", "x:1")
    check_reference([wrong, _entity()], {}, [false], SHARED, report)
    assert report.errors == [f"{wrong.where}: Q142 de 'Gallien' is in no reference"]
    assert report.counts["statements with another value"] == 1 and report.counts["ids in the reference"] == 2
    assert report.counts["values that the sample lacks"] == 0
    paris, lacking = _entity(qid="Q90", labels={**_entity().labels, "en": "Paris"}), Report()
    check_reference([_entity(), paris], {}, [false], SHARED, lacking)
    assert "Q142 P36 has no ['Q90'] of the reference" in lacking.differences


@pytest.mark.usefixtures("read_once")
def test_no_label_of_the_dump_lacks_a_source(capsys) -> None:
    assert check.main(["--reference", str(SHARED)]) == 0
    out = capsys.readouterr().out
    assert f"{check.UNATTESTED}: 0\n" in out and "values that the sample lacks" not in out


def test_the_template_lists_each_entity_of_a_statement_once(capsys, tmp_path: Path) -> None:
    template.main(["ko"])
    header, *rows = capsys.readouterr().out.splitlines()
    ids = [row.split("\t")[0] for row in rows]
    assert header == "qid\ten\tko" and rows[0] == "Q30\tUnited States of America\t"
    assert sorted(ids) == sorted({end for row in tables.load_statements() for end in (row.subject, row.object)})
    (tmp_path / "ko.tsv").write_text("\n".join([header, rows[0] + "미국", *rows[1:]]), encoding="utf-8")
    table = read_written_labels([tmp_path / "ko.tsv"])
    assert table is not None
    first = next(row for row in table.to_pylist() if row["entity_id"] == "Q30")
    assert {"code": "ko", "text": "미국"} in first["labels"]
    for arguments in ([], ["en"], ["Korean"], ["ko", "hi"], ["--cldr"]):
        with pytest.raises(SystemExit, match="2"):
            template.main(arguments)
        assert "usage" in capsys.readouterr().err


def test_the_template_holds_names_of_cldr_on_request(capsys) -> None:
    pytest.importorskip("babel", reason="needs polyfact[dev]")
    template.main(["ta", "--cldr"])
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()[1:]]
    names = {english: text for _, english, text in rows if text}
    assert len(names) > 300 and (names["France"], names["Tamil"], names["Indian rupee"]) == (
        "பிரான்ஸ்",
        "தமிழ்",
        "இந்திய ரூபாய்",
    )
    # Two cities of the sample are Victoria, and CLDR has no Louvre.
    assert names["Georgia"] == "ஜார்ஜியா" and "Victoria" not in names and "Louvre" not in names
    with pytest.raises(SystemExit, match="2"):
        template.main(["xx", "--cldr"])
    assert "CLDR has no language 'xx'" in capsys.readouterr().err


def test_help_writes_nothing(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(make, "PATH", tmp_path / "dump.json.bz2")
    for module in (make, template, check):
        with pytest.raises(SystemExit, match="0"):
            module.main(["--help"])
        assert "usage:" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_the_check_says_whether_labels_were_compared(capsys, tmp_path: Path) -> None:
    assert check.main([]) == 0
    title = "labels counted as attested that no reference has"
    assert f"{title}: not checked: give --reference" in capsys.readouterr().out
    assert check.main(["--reference", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
