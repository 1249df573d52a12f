"""Whatever contradicts the parallel config in another config, `open` included, is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyfact_dataset.audit import load
from polyfact_dataset.audit.checks import integrity
from polyfact_dataset.audit.result import Section
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.config.build import Config, load_config
from tests.support.audited import OPTIONS, broken, unchecked

# A row of the test split whose answer is that of several facts.
COMMON = 0
Change = Callable[[list[dict[str, Any]], list[dict[str, Any]]], None]


def spoil(folder: Path, config: str, change: Change) -> list[str]:
    """Changes rows of a config's test split, given the parallel rows; returns its facts."""
    path, parallel = (folder / name / "test-00000-of-00001.parquet" for name in (config, "parallel"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows, pq.read_table(parallel).to_pylist())
    loose = pa.schema([field.with_nullable(True) for field in table.schema])
    pq.write_table(pa.Table.from_pylist(rows, schema=loose), path)
    return [row["fact_id"] for row in rows]


def measured(folder: Path) -> Section:
    config = load_config()
    return integrity.audit(load.read(folder, config), config.audit)


def _question(rows: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
    rows[2]["translations"]["sw"]["question"] += "?"


def _answer(rows: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
    rows[2]["translations"]["ja"]["answer"] = "答え"


def _without_the_answer(rows: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
    rows[2]["translations"]["de"]["accepted_answers"] = ["Etwas"]


def _nothing(rows: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
    rows[2]["translations"]["de"]["accepted_answers"] = []


def _null(rows: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
    rows[2]["translations"]["de"]["accepted_answers"] = None


def _blank(rows: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
    rows[2]["translations"]["en"]["accepted_answers"].append(" ")


def _twice(rows: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
    names = rows[2]["translations"]["en"]["accepted_answers"]
    names.append(names[0].upper())


def _option(rows: list[dict[str, Any]], parallel: list[dict[str, Any]]) -> None:
    item = parallel[2]["translations"]["fr"]
    wrong = item[OPTIONS[(item["answer_index"] + 1) % 4]]
    for row in rows:
        if row["object_id"] == rows[2]["object_id"]:
            row["translations"]["fr"]["accepted_answers"].append(wrong.upper())


def _another_entity(rows: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
    rows[COMMON]["translations"]["bn"]["accepted_answers"].append("অন্য কিছু")


def _shared(rows: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
    rows[2]["popularity"] += 1


def _gone(rows: list[dict[str, Any]], _: list[dict[str, Any]]) -> None:
    del rows[2]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (_question, "sw", "question"),
        (_answer, "ja", "answer '答え'"),
        (_without_the_answer, "de", "lacks the answer"),
        (_nothing, "de", "is empty"),
        (_null, "de", "is empty"),
        (_blank, "en", "an empty text"),
        (_twice, "en", "a name twice"),
        (_option, "fr", "another option"),
        (_another_entity, "bn", "differs from that of most facts"),
        (_shared, "", "popularity differs"),
        (_gone, "", "not in config open"),
    ],
)
def test_a_defect_of_config_open_is_found(published: Path, change: Change, code: str, message: str) -> None:
    wanted = spoil(published, "open", lambda *_: None)[COMMON if change is _another_entity else 2]
    spoil(published, "open", change)
    section = measured(published)
    assert broken(section) == {"open_items"}
    found = section.examples("open_items")
    assert (wanted, code) in {(entry["fact_id"], entry["language"]) for entry in found}
    assert all(message in entry["detail"] for entry in found)


def test_an_intact_config_open_holds_and_its_names_are_known(published: Path) -> None:
    release = load.read(published, Config())
    assert broken(measured(published)) == set()
    assert release.opened is not None and release.opened.faults == ()
    assert set(release.opened.names["sw"]) == set(release.column("object_id"))


def test_without_config_open_it_is_not_checked(published: Path) -> None:
    shutil.rmtree(published / "open")
    assert unchecked(measured(published)) == {"open_items"}


def test_a_language_that_config_open_lacks_is_found(published: Path) -> None:
    for path in (published / "open").iterdir():
        table = pq.read_table(path)
        struct = table.column("translations").combine_chunks()
        kept = [field for field in struct.type if field.name != "sw"]
        less = pa.StructArray.from_arrays([struct.field(field.name) for field in kept], fields=kept)
        pq.write_table(table.set_column(table.schema.get_field_index("translations"), "translations", less), path)
    section = measured(published)
    assert broken(section) == {"open_items"} and section.count("open_items") == 160
    assert {entry["language"] for entry in section.examples("open_items")} == {"sw"}


def test_config_open_without_facts_is_no_release(published: Path) -> None:
    for path in (published / "open").iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["fact_id"]), path)
    with pytest.raises(DataError, match="config open: there is no column fact_id"):
        load.read(published, Config())


@pytest.mark.parametrize(
    ("column", "value"),
    [("subject_id", "Q7"), ("relation", "employer"), ("n_langs_attested", 3), ("language", "en"), ("domain", "works")],
)
def test_shared_columns_of_a_language_are_those_of_the_parallel_rows(
    published: Path, column: str, value: object
) -> None:
    facts = spoil(published, "sw", lambda rows, _: rows[4].update({column: value}))
    section = measured(published)
    assert broken(section) == {"same_in_configs"}
    (found,) = section.examples("same_in_configs")
    assert (found["fact_id"], found["language"]) == (facts[4], "sw") and column in found["detail"]


def test_rows_of_a_language_without_ids_are_refused(published: Path) -> None:
    for path in (published / "sw").iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["fact_id"]), path)
    with pytest.raises(DataError, match="lack column fact_id"):
        load.read(published, Config())
