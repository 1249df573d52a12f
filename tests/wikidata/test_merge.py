"""Extracting a dump in parts and merging them: the rows of the whole dump, and the same release."""

from __future__ import annotations

import bz2
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyfact_dataset.cli.build_commands import merge, run
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.pipeline.stages import EXPORT, EXTRACT, stage_folder
from tests.support.command import polyfact
from tests.support.dumps import KINDS, config, contents, extract, packed, settings, tables, text


def written(kind: str, folder: Path) -> Path:
    path = folder / "dump"
    path.write_bytes(packed(kind))
    return path


def toml(kind: str, folder: Path) -> Path:
    path = folder / "polyfact.toml"
    path.write_text("[extract]\n" + "\n".join(f"{key} = {value}" for key, value in settings(kind).items()))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a dump of each kind and its extraction as a whole, made when it is asked for."""

    def get(kind: str) -> Path:
        folder = tmp_path_factory.mktemp("whole")
        extract(written(kind, folder), folder / "build", config(kind))
        return folder

    return cache(get)


def rows(folder: Path) -> list[pa.Table]:
    """The tables of an extraction, in however many files they are."""
    return [pq.read_table(folder / f"{name}.parquet") for name in ("entities", "statements", "quarantine")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [2, 5])
def test_parts_merge_to_the_whole(kind: str, count: int, whole: Callable[[str], Path], tmp_path: Path) -> None:
    dump, build = whole(kind) / "dump", whole(kind) / "build"
    outs = [tmp_path / f"part{number}" for number in range(1, count + 1)]
    sizes = []
    for number, out in enumerate(outs, start=1):
        folder = extract(dump, out, config(kind), part=(number, count))
        sizes.append(sum(pq.read_metadata(path).num_rows for path in (folder / "entities.parquet").iterdir()))
    if kind in ("plain", "bz2", "bz2 streams"):
        assert min(sizes) > 0.3 * max(sizes), "each part holds its share"
    merge(outs[::-1], out=tmp_path / "merged", config_file=toml(kind, tmp_path), overwrite=False, quiet=True)
    merged, expected = (rows(stage_folder(out, EXTRACT)) for out in (tmp_path / "merged", build))
    assert merged == expected and all(table.num_rows for table in merged)
    counts = [
        json.loads((out / "manifest.json").read_text())["stages"]["extract"]["counts"]
        for out in (tmp_path / "merged", build)
    ]
    assert counts[0] == counts[1]


def test_a_part_inside_one_long_line(tmp_path: Path) -> None:
    """Borders in the middle of one line, which is longer than a part."""
    rows = [{"id": "Q1"}, {"id": "Q2", "labels": {"en": {"value": "x" * 5000}}}, {"id": "Q3"}]
    (tmp_path / "dump").write_bytes(b"\n".join(json.dumps(row).encode() for row in rows))
    outs = [tmp_path / f"part{number}" for number in range(1, 6)]
    for number, out in enumerate(outs, start=1):
        extract(tmp_path / "dump", out, config(), part=(number, 5))
    merge(outs, out=tmp_path / "merged", config_file=toml("", tmp_path), overwrite=False, quiet=True)
    entities, _, quarantine = tables(stage_folder(tmp_path / "merged", EXTRACT))
    assert [row["id"] for row in entities] == ["Q1", "Q2", "Q3"] and not quarantine


@pytest.mark.slow
def test_a_merged_extraction_gives_the_release_of_the_whole_dump(sample_build: Path, tmp_path: Path) -> None:
    common = {"config_file": None, "overwrite": False, "quiet": True, "facts": 2000}
    outs = [tmp_path / f"{number}" for number in (1, 2, 3)]
    for number, out in enumerate(outs, start=1):
        run(until=EXTRACT, dump=None, out=out, previous=None, part=f"{number}/3", **common)
    merge(outs, out=tmp_path / "build", **common)
    run(until=EXPORT, dump=None, out=tmp_path / "build", previous=None, **common)
    found = contents(tmp_path / "build" / "release")
    assert "manifest.json" in found and found.items() <= contents(sample_build / "release").items()


def test_dumps_split_beforehand(whole: Callable[[str], Path], tmp_path: Path) -> None:
    """One file per node, each with whole lines."""
    lines = text().splitlines(keepends=True)
    outs = []
    for number, (begin, end) in enumerate([(0, 50), (50, 51), (51, None)]):
        path = tmp_path / f"split{number}.json.bz2"
        path.write_bytes(bz2.compress(b"".join(lines[begin:end])))
        outs.append(tmp_path / f"out{number}")
        extract(path, outs[-1], config())
    merge(outs, out=tmp_path / "merged", config_file=toml("", tmp_path), overwrite=False, quiet=True)
    merged = stage_folder(tmp_path / "merged", EXTRACT)
    assert rows(merged) == rows(stage_folder(whole("plain") / "build", EXTRACT))


def test_what_cannot_be_merged(whole: Callable[[str], Path], tmp_path: Path) -> None:
    dump, build = whole("plain") / "dump", whole("plain") / "build"
    one, two, other = (tmp_path / name for name in ("1", "2", "other"))
    (tmp_path / "shorter").write_bytes(dump.read_bytes()[:500_000])
    extract(dump, one, config(), part=(1, 2))
    extract(dump, two, config(), part=(2, 2))
    extract(tmp_path / "shorter", other, config(), part=(2, 2))
    shutil.copytree(build, tmp_path / "copy")

    def refused(*outs: Path, message: str, file: Path | None = None) -> None:
        with pytest.raises(ConfigError, match=message):
            merge(outs, out=tmp_path / "merged", config_file=file, overwrite=False, quiet=True)
        assert not (stage_folder(tmp_path / "merged", EXTRACT)).exists()

    refused(one, message="each of the parts 1/2 to 2/2 once; the given parts are 1/2")
    refused(one, two, two, message="given parts are 1/2, 2/2, 2/2")
    refused(one, other, message="not of the same dump")
    refused(one, build, message="each of the parts")
    refused(build, tmp_path / "copy", message="same dump")
    refused(one, tmp_path, message="has no finished extraction")
    refused(one, two, message="other settings")
    extract(dump, tmp_path / "coarse", config(batch_bytes=1 << 20), part=(2, 2))
    refused(one, tmp_path / "coarse", message="different languages, relations or extract settings")


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0"])
def test_a_part_is_written_as_i_of_n(text: str, tmp_path: Path) -> None:
    result = polyfact("extract", "--part", text, "--out", tmp_path / "build", check=False)
    assert result.returncode == 2 and "such as 2/8" in result.stderr


def test_a_part_is_no_build(tmp_path: Path) -> None:
    polyfact("extract", "--part", "1/2", "--out", tmp_path / "build")
    result = polyfact("build", "--out", tmp_path / "build", check=False)
    assert result.returncode == 2 and "holds another build (different part)" in result.stderr
