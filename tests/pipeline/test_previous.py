"""The splits of an earlier release, whichever its layout."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import read_json, write_json
from polyfact_dataset.pipeline.context import Previous
from polyfact_dataset.pipeline.inputs import read_previous, require_passed
from tests.support.released import copy_of, parallel_rows_of


def write(path: Path, **columns: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_the_table_of_subjects_is_taken_where_there_is_one(tmp_path: Path) -> None:
    write(tmp_path / "splits.parquet", subject_id=["Q1", "Q2"], split=["test", "train"])
    write(tmp_path / "data" / "parallel" / "test-0.parquet", subject_id=["Q2"])
    assert read_previous(tmp_path) == Previous({"Q1": "test", "Q2": "train"})


def test_of_a_published_release_held_out_files_win(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "parallel"
    write(folder / "test-00000-of-00001.parquet", subject_id=["Q3", "Q1"])
    write(folder / "train-00000-of-00001.parquet", subject_id=["Q2", "Q1", "Q4"])
    write(folder / "validation-00000-of-00001.parquet", subject_id=["Q4"])
    expected = {"Q1": "test", "Q2": "train", "Q3": "test", "Q4": "validation"}
    found = read_previous(tmp_path)
    assert found.splits == expected and list(found.splits) == sorted(expected) and not found.blocks


def test_blocks_are_fours_with_each_others_golds(small: Path) -> None:
    rows = {row["fact_id"]: row for row in parallel_rows_of(small)}
    found = read_previous(small)
    assert sorted(name for block in found.blocks for name in block) == sorted(rows)
    for block in found.blocks:
        golds = {rows[name]["object_id"] for name in block}
        assert len(golds) == 4 and len({(rows[name]["property_id"], rows[name]["split"]) for name in block}) == 1
        assert all(set(rows[name]["translations"]["en"]["option_ids"]) == golds for name in block)


def test_a_folder_that_is_no_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--previous .*: it contains neither splits\.parquet nor parallel rows"):
        read_previous(tmp_path)


@pytest.mark.parametrize("passed", [True, False])
def test_a_release_that_its_audit_refused_is_no_base(small: Path, passed: bool, tmp_path: Path) -> None:
    release = copy_of(small, tmp_path / "release")
    report = release / "audit" / "report.json"
    write_json(report, {**read_json(report), "passed": passed})
    if passed:
        require_passed(release)
    else:
        with pytest.raises(ConfigError, match="it failed its audit .* or --force"):
            require_passed(release)
