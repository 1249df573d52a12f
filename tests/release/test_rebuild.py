"""A release is built again from its manifest, byte for byte, or the reason for the difference is reported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.pipeline.rebuild import _compare, configuration
from polyfact_dataset.release.reader import read_manifest
from tests.support.builds import contents
from tests.support.command import polyfact


def test_a_release_is_rebuilt_to_the_byte_from_what_it_was_built_on(
    small: Path, following: Path, next_dump: Path, tmp_path: Path
) -> None:
    arguments = ("rebuild", following / "manifest.json", "--out", tmp_path / "again", "--quiet", "--dump", next_dump)
    result = polyfact(*arguments, check=False)
    assert result.returncode == 2 and "was built on version 1.0.0" in result.stderr
    assert "--previous" in result.stderr and not (tmp_path / "again").exists()
    result = polyfact(*arguments, "--previous", small)
    assert "identical in 24 files" in result.stdout
    # The documents too, since release.json is next to the manifest.
    assert contents(tmp_path / "again" / "release") == contents(following)


def test_another_dump_is_refused_before_anything_is_built(small: Path, next_dump: Path, tmp_path: Path) -> None:
    result = polyfact("rebuild", small, "--out", tmp_path / "again", "--dump", next_dump, check=False)
    assert result.returncode == 2 and "the release was built from" in result.stderr
    assert not (tmp_path / "again").exists()


def test_differing_files_are_named_with_the_likely_cause(small: Path) -> None:
    manifest = read_manifest(small)
    name = next(iter(manifest["files"]))
    other = {**manifest, "content": "0", "files": {**manifest["files"], name: "0"}}
    with pytest.raises(DataError, match=f"differs in 1 of 24 files \\({name}\\); the code is the same"):
        _compare(manifest, other)
    with pytest.raises(DataError, match="the code differs"):
        _compare(manifest, {**other, "code": "0"})


def test_what_is_no_manifest_is_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a release that"):
        configuration(tmp_path)
    with pytest.raises(ConfigError, match="manifest.json of a release"):
        configuration(small / "README.md")
    shutil.copy(small / "manifest.json", tmp_path / "manifest.json")
    manifest = json.loads((small / "manifest.json").read_text())
    manifest["build"]["config"]["colour"] = "red"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match="colour"):
        configuration(tmp_path)
