"""`polyfact extract --executor`: parts as tasks of datatrove, and their merge."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from polyfact_dataset.cli.extract_on_cluster import extract_on_cluster
from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.pipeline.inputs import SAMPLE_DUMP
from polyfact_dataset.pipeline.stages import EXTRACT, stage_folder
from tests.support.command import polyfact
from tests.support.dumps import tables

OPTIONS = {"config_file": None, "workers": 1, "overwrite": False, "quiet": True}


def cluster_config(folder: Path, text: str) -> Path:
    path = folder / "cluster.toml"
    path.write_text(f"[executor]\n{text}\n")
    return path


def test_parts_are_tasks_and_a_failed_one_is_resumed(tmp_path: Path) -> None:
    pytest.importorskip("datatrove")
    out = tmp_path / "build"
    obstacle = tmp_path / "build.parts-2" / "00002"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file in the place of the second part")
    cluster = cluster_config(tmp_path, "workers = 1")
    with pytest.raises(RetryableError, match="1 of 2 tasks did not finish .*choose another --out"):
        extract_on_cluster("local", 2, cluster, SAMPLE_DUMP, out, **OPTIONS)
    assert not (out / "manifest.json").exists()
    obstacle.unlink()
    extract_on_cluster("local", 2, cluster, SAMPLE_DUMP, out, **OPTIONS)
    polyfact("extract", "--out", tmp_path / "whole", "--dump", SAMPLE_DUMP, "--quiet")
    assert tables(stage_folder(out, EXTRACT)) == tables(stage_folder(tmp_path / "whole", EXTRACT))


def test_slurm_merges_after_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datatrove")
    (tmp_path / "bin").mkdir()
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text(
        f'#!/bin/sh\nn=$(($(ls {tmp_path} | grep -c [.]sh) + 1))\nfor last; do :; done\ncp "$last" {tmp_path}/$n.sh\n'
        f'echo "$@" > {tmp_path}/$n.arguments\necho Submitted batch job 10$n\n'
    )
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    cluster = cluster_config(tmp_path, 'time = "02:00:00"\npartition = "cpu"\nmail_type = "NONE"')
    extract_on_cluster("slurm", 3, cluster, SAMPLE_DUMP, tmp_path / "build", **OPTIONS)
    parts, merge = ((tmp_path / f"{number}.sh").read_text() for number in (1, 2))
    assert "#SBATCH --array=0-2" in parts and "#SBATCH --array=0-0" in merge
    whole = merge + (tmp_path / "2.arguments").read_text()
    assert "afterok:101" in whole and "dependency" in whole


def test_a_dump_that_not_all_machines_can_read_is_refused(tmp_path: Path) -> None:
    for dump in (None, Path("-")):
        with pytest.raises(ConfigError, match="--dump with a file"):
            extract_on_cluster("local", 2, None, dump, tmp_path / "build", **OPTIONS)
    result = polyfact("extract", "--executor", "abacus", "--out", tmp_path / "build", check=False)
    assert result.returncode == 2 and "local, slurm, ray" in result.stderr.replace("\n", " ")
