"""The splits of an earlier release, whichever its layout."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import write_json
from polyfact_dataset.pipeline.inputs import previous_splits, require_passed


def write(path: Path, **columns: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_the_table_of_subjects_is_taken_where_there_is_one(tmp_path: Path) -> None:
    write(tmp_path / "splits.parquet", subject_id=["Q1", "Q2"], split=["test", "train"])
    write(tmp_path / "data" / "parallel" / "test-0.parquet", subject_id=["Q2"])
    assert previous_splits(tmp_path) == {"Q1": "test", "Q2": "train"}


def test_of_a_published_release_held_out_files_win(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "parallel"
    write(folder / "test-00000-of-00001.parquet", subject_id=["Q3", "Q1"])
    write(folder / "train-00000-of-00001.parquet", subject_id=["Q2", "Q1", "Q4"])
    write(folder / "validation-00000-of-00001.parquet", subject_id=["Q4"])
    expected = {"Q1": "test", "Q2": "train", "Q3": "test", "Q4": "validation"}
    assert previous_splits(tmp_path) == expected and list(previous_splits(tmp_path)) == sorted(expected)


def test_a_folder_that_is_no_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--previous .*: it contains neither splits\.parquet nor parallel rows"):
        previous_splits(tmp_path)


@pytest.mark.parametrize("passed", [True, False])
def test_a_release_that_its_audit_refused_is_no_base(passed: bool, tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    write_json(tmp_path / "audit" / "report.json", {"passed": passed})
    if passed:
        require_passed(tmp_path)
    else:
        with pytest.raises(ConfigError, match="it failed its audit .* or --force"):
            require_passed(tmp_path)
