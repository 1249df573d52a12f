"""Builds that were killed, damaged, refused or moved: the same command continues them, or says in one line why not."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from baselines.data import load
from polyfact_dataset.common.errors import RetryableError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import load_config
from polyfact_dataset.pipeline import build_dir as build_folder
from polyfact_dataset.pipeline import runner as pipeline
from polyfact_dataset.pipeline.context import Inputs
from polyfact_dataset.pipeline.stages import CANDIDATES, EXTRACT, table_path
from polyfact_dataset.wikidata.dump import identify
from tests.support.builds import contents, failing
from tests.support.command import done, polyfact
from tests.support.released import parallel_rows_of


def test_folders_of_any_name_and_a_damaged_table_that_is_made_again(
    small: Path, small_options: tuple[object, ...], extracted: Path, few: tuple[object, ...], tmp_path: Path
) -> None:
    """`seed=42` names no column, and `*`, `?` and `[` are no patterns, for whatever reads Parquet files."""
    out = tmp_path / "seed=42" / "split=x" / "a[1]*?" / "b"
    polyfact("extract", "--out", out.parent / "few", *few)
    assert contents(out.parent / "few") == contents(extracted)
    shutil.copytree(small.parent, out)
    table = table_path(out, "candidates")
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 0xFF
    table.write_bytes(data)
    (out / "release" / "README.md").unlink()
    # All stages but the first run again.
    polyfact("build", "--out", out, *small_options)
    assert contents(out) == contents(small.parent)
    release = out / "release"
    fact = parallel_rows_of(out / "release")[0]["fact_id"]
    for command in (
        ("show", fact, "--release", release),
        ("search", "a", "--release", release),
        ("stats", release),
        ("diff", small, release),
        ("verify", "sample", release, "--folder", out.parent / "v", "--items", 5),
        ("audit", release, "--output", tmp_path / "seed=1" / "report"),
    ):
        done(*command)
    assert [fact.fact_id for fact in load(str(release), "parallel", "test", ("en",))]


@pytest.mark.slow
def test_killed_at_any_moment_and_started_again_it_gives_the_same_files(
    small: Path, small_options: tuple[object, ...], tmp_path: Path
) -> None:
    out, rng, kills = tmp_path / "build", random.Random(5), 0
    command = [sys.executable, "-m", "polyfact_dataset.cli", "build", "--out", str(out), *map(str, small_options)]
    for _ in range(8):
        process = subprocess.Popen(command, start_new_session=True)
        time.sleep(rng.uniform(0.4, 3.0))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    polyfact("build", "--out", out, *small_options)
    assert kills >= 3
    assert contents(out) == contents(small.parent)


@pytest.mark.parametrize("name", [".manifest.json.0123abcd.part", ".timings.json.89abcdef.part"])
def test_killed_while_the_first_manifest_is_written_it_goes_on(
    name: str, few: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "build" / "stages").mkdir(parents=True)
    (tmp_path / "build" / name).write_text("{")
    polyfact("extract", "--out", tmp_path / "build", *few)
    assert not list((tmp_path / "build").glob(".*.part"))


def test_a_damaged_manifest_is_named_and_built_anew(continued: tuple[Path, tuple[object, ...]]) -> None:
    out, command = continued
    before, path = contents(out), out / "manifest.json"
    entities = read_json(path)["stages"]["extract"]["counts"]["entities"]
    for damaged in ("", "[]", "[" * 10_000, path.read_text().replace(f": {entities}", f": {entities + 1}")):
        path.write_text(damaged)
        status, message = failing(*command)
        assert status == 1 and "manifest.json" in message and "--overwrite" in message
    polyfact(*command, "--overwrite")
    assert contents(out) == before


@pytest.mark.parametrize("content", ["", '["extract"]', '{"extract": "long"}', '{"extract": 1.5}'])
def test_lost_durations_lose_nothing_else(content: str, continued: tuple[Path, tuple[object, ...]]) -> None:
    out, command = continued
    before = contents(out)
    (out / "timings.json").write_text(content)
    errors = polyfact(*command).stderr
    assert ("durations of earlier stages are lost" in errors) == (content != '{"extract": 1.5}')
    assert "extract: already complete" in errors and contents(out) == before


def test_folders_that_cannot_be_written_are_named(
    few: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = Path(str(few[-1]))
    inputs = Inputs(load_config(facts=300, extract__workers=1), dump, identify(dump))
    pipeline.run(inputs, tmp_path / "build", Log(quiet=True), until=EXTRACT)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    # Root, who may run the tests, may write anywhere.
    monkeypatch.setattr(build_folder, "remove", refuse)
    with pytest.raises(RetryableError, match="cannot write .*Permission denied"):
        pipeline.run(inputs, tmp_path / "build", Log(quiet=True), until=CANDIDATES)


def test_folders_that_hold_something_else_are_left_alone(
    continued: tuple[Path, tuple[object, ...]], few: tuple[object, ...], tmp_path: Path
) -> None:
    out, _ = continued
    before = contents(out)
    status, message = failing("build", "--out", out, *few, "--facts", 301, "--seed", 7)
    assert status == 2 and "holds another build (different facts, seed)" in message and contents(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    status, message = failing("build", "--out", tmp_path / "mine")
    assert status == 2 and "thesis.tex" in message
    (tmp_path / "file").touch()
    status, message = failing("build", "--out", tmp_path / "file")
    assert status == 2 and "cannot create" in message
    polyfact("candidates", "--out", out, *few, "--facts", 301, "--overwrite")


def test_two_builds_at_once_in_one_folder(tmp_path: Path) -> None:
    import fcntl

    out = tmp_path / "build"
    out.mkdir()
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, message = failing("build", "--out", out)
    assert status == 2 and "another build is running" in message
