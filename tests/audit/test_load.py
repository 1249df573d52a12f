"""Releases on disk: both layouts, what is wrong with them, and what cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyfact_dataset.audit import load
from polyfact_dataset.audit.build_tables import BuildTables
from polyfact_dataset.audit.checks import integrity
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.config.build import Config, load_config
from tests.support.audited import broken


def edit(path: Path, change) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def first(folder: Path, config: str, split: str = "train") -> Path:
    return folder / config / f"{split}-00000-of-00001.parquet"


def gates(folder: Path) -> set[str]:
    config = load_config()
    return broken(integrity.audit(load.read(folder, config), config.audit))


def test_published_layout_is_read(published: Path) -> None:
    release = load.read(published, Config())
    assert len(release) == 160 and len(release.items) == 12 and release.splits == ["train", "validation", "test"]
    assert release.statements is None and release.contradictions == () and release.malformed == ()
    assert gates(published) == set()


def test_languages_alone_are_joined_by_fact(published: Path, original: Path) -> None:
    shutil.rmtree(published / "parallel")
    joined, whole = load.read(published, Config()), load.read(original, Config())
    assert joined.column("fact_id") == whole.column("fact_id") and joined.column("split") == whole.column("split")
    assert joined.items["ja"].table.equals(whole.items["ja"].table)
    assert gates(published) == set()


def test_data_folder_and_files_beside_each_other_are_read(published: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    (flat / "data").mkdir(parents=True)
    for path in (published / "parallel").iterdir():
        shutil.copy(path, flat / "data" / path.name)
    assert len(load.read(flat, Config())) == 160


@pytest.mark.parametrize("form", ["clean", "data", "items"])
def test_published_forms_of_the_clean_part_are_read(published: Path, tmp_path: Path, form: str) -> None:
    """Parallel rows in a folder `clean`, or items of all languages in one file with a column `language`."""
    folder = tmp_path / "form"
    whole = load.read(published, Config())
    if form == "clean":
        shutil.copytree(published / "parallel", folder / "clean")
    else:
        codes = [path.name for path in published.iterdir() if path.is_dir() and path.name not in ("parallel", "open")]
        target = folder / ("data" if form == "data" else "clean")
        target.mkdir(parents=True)
        for split in ("train", "validation", "test"):
            parts = [pq.read_table(first(published, code, split)) for code in sorted(codes)]
            pq.write_table(pa.concat_tables(parts), target / f"{split}-00000-of-00001.parquet")
    release = load.read(folder, Config())
    assert len(release) == 160 and set(release.items) == set(whole.items) and release.malformed == ()
    rows = dict(zip(whole.column("fact_id"), whole.items["sw"].table.column("question").to_pylist()))
    facts = release.column("fact_id")
    questions = release.items["sw"].table.column("question").to_pylist()
    assert {facts[row]: text for row, text in zip(release.items["sw"].rows, questions)} == rows


def test_the_content_is_named_by_the_data_alone(published: Path) -> None:
    before = load.read(published, Config()).content
    (published / "audit").mkdir()
    pq.write_table(pa.table({"a": [1]}), published / "audit" / "findings.parquet")
    (published / "README.md").write_text("a card")
    assert load.read(published, Config()).content == before
    edit(first(published, "en"), lambda table: table.slice(1))
    assert load.read(published, Config()).content != before


def test_a_language_that_contradicts_the_parallel_rows_is_found(published: Path) -> None:
    def other(table: pa.Table) -> pa.Table:
        questions = table.column("question").to_pylist()
        questions[3] += "?"
        return table.set_column(table.schema.get_field_index("question"), "question", pa.array(questions))

    edit(first(published, "sw", "test"), other)
    release = load.read(published, Config())
    ((fact, code, what),) = release.contradictions
    assert (fact, code) == (pq.read_table(first(published, "sw", "test")).column("fact_id")[3].as_py(), "sw")
    assert what == "question differs between the configs"
    assert gates(published) == {"same_in_configs"}
    edit(first(published, "sw", "test"), lambda table: table.slice(4))
    assert gates(published) == {"same_in_configs"}
    assert {entry[2] for entry in load.read(published, Config()).contradictions} == {"only in the parallel config"}


def test_a_missing_language_makes_every_fact_incomplete(published: Path) -> None:
    shutil.rmtree(published / "parallel")
    shutil.rmtree(published / "bn")
    release = load.read(published, Config())
    assert {entry[1:] for entry in release.malformed} == {("bn", "not in this language")}
    assert len(release.malformed) == 160 and gates(published) == {"complete"}
    assert gates(published) == {"complete"}
    assert load.read(published, load_config(languages=("en", "de"))).malformed == ()


def test_broken_items_are_findings_and_the_rest_is_read(published: Path) -> None:
    shutil.rmtree(published / "parallel")

    def spoil(table: pa.Table) -> pa.Table:
        index = table.column("answer_index").to_pylist()
        index[0] = 7
        questions = table.column("question").to_pylist()
        questions[1] = None
        ids = table.column("option_ids").to_pylist()
        ids[2] = ids[2][:3]
        for name, values in (("answer_index", index), ("question", questions), ("option_ids", ids)):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, pa.array(values, table.schema.field(name).type))
        return table

    edit(first(published, "de"), spoil)
    release = load.read(published, Config())
    assert [entry[2] for entry in release.malformed] == [
        "question is null",
        "answer_index is not 0 to 3",
        "option_ids has not four values",
    ]
    assert len(release.items["de"]) == 157 and len(release.items["en"]) == 160
    assert gates(published) == {"complete"}


@pytest.mark.parametrize(
    "spoil", ["nothing", "no parquet", "garbage", "split", "no fact_id", "ids", "columns", "config"]
)
def test_what_is_no_release_is_said_so(published: Path, tmp_path: Path, spoil: str) -> None:
    folder, error, words = published, DataError, ""
    if spoil == "nothing":
        folder, error, words = tmp_path / "nowhere", ConfigError, "is not a folder"
    elif spoil == "no parquet":
        folder, error, words = tmp_path / "empty", ConfigError, "contains no Parquet file"
        folder.mkdir()
    elif spoil == "garbage":
        first(published, "parallel").write_bytes(b"no parquet at all")
        words = "parallel"
    elif spoil == "split":
        first(published, "parallel").rename(published / "parallel" / "dev-00000-of-00001.parquet")
        words = "begins with its split"
    elif spoil == "no fact_id":
        for split in ("train", "validation", "test"):
            edit(first(published, "parallel", split), lambda table: table.drop_columns(["fact_id"]))
        words = "no column fact_id"
    elif spoil == "ids":
        shutil.rmtree(published / "parallel")
        for split in ("train", "validation", "test"):
            edit(
                first(published, "en", split),
                lambda t: t.drop_columns(["subject_id", "fact_id"]).append_column("fact_id", pa.array(["x"] * len(t))),
            )
        words = "is not subject|property|object"
    elif spoil == "columns":
        shutil.rmtree(published / "parallel")
        for split in ("train", "validation", "test"):
            edit(first(published, "en", split), lambda table: table.drop_columns(["option_c"]))
        words = "lack option_c"
    else:
        for path in list(published.iterdir()):
            shutil.rmtree(path) if path.name != "parallel" else path.rename(published / "other")
        words = "no config `parallel`"
    with pytest.raises(error, match=words):
        load.read(folder, Config())


def test_ids_are_taken_from_the_fact_where_they_do_not_stand_apart(published: Path) -> None:
    for split in ("train", "validation", "test"):
        edit(first(published, "parallel", split), lambda t: t.drop_columns(["subject_id", "property_id", "object_id"]))
    assert gates(published) == set()


def test_a_build_knows_statements_aliases_and_strata(small: Path) -> None:
    folder = small
    build_tables = BuildTables.of(folder)
    assert build_tables.build == small.parent.resolve()
    release = load.read(folder, Config(), build_tables)
    assert release.statements is not None and release.aliases is not None
    pairs = set(zip(release.column("subject_id"), release.column("property_id")))
    stated = set(zip(*(release.statements.column(name).to_pylist() for name in ("subject", "property"))))
    assert stated == pairs
    assert set(release.aliases.column("entity").to_pylist()) <= set(release.column("object_id"))
    assert all(stratum.count("/") == 2 for stratum in release.strata.to_pylist())
    assert release.files == () and release.content == read_json(folder / "manifest.json")["content"]


def test_a_release_apart_from_its_build_is_read_without_it(small: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(small, tmp_path / "copy"))
    assert BuildTables.of(copy).build is None
    release = load.read(copy, Config(), BuildTables.of(copy))
    assert release.statements is None and release.strata[0].as_py().count("/") == 1
    victim = next(copy.glob("data/sw/train-*.parquet"))
    edit(victim, lambda table: table.slice(1))
    assert load.read(copy, Config()).files == (victim.relative_to(copy).as_posix(),)
