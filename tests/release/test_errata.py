"""Errata: added to a release, shown by its documents, named by the diff, and left out of the next build."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.release import documents
from polyfact_dataset.release.diff import changelog, compare
from polyfact_dataset.release.errata import add_erratum, report_url
from polyfact_dataset.release.reader import read_about, read_errata
from tests.support.command import polyfact
from tests.support.released import copy_of, parallel_rows_of

pytestmark = pytest.mark.usefixtures("rendered_once")


@pytest.fixture
def release(small: Path, tmp_path: Path) -> Path:
    return copy_of(small, tmp_path / "release")


@pytest.fixture
def fact_id(small: Path) -> str:
    return min(row["fact_id"] for row in parallel_rows_of(small) if row["split"] == "test")


def test_an_erratum_is_added_replaced_and_shown(release: Path, fact_id: str) -> None:
    before = read_about(release)["content"]
    arguments = (release, fact_id, "--reason", "Moved  in 2025.", "--lang", "sw")
    polyfact("errata", "add", *arguments, "--link", "https://example.org/d/1")
    polyfact("errata", "add", release, fact_id, "--reason", "Of another | country.")
    rows = read_errata(release)
    assert [(row["fact_id"], row["language"], row["reason"]) for row in rows] == [
        (fact_id, None, "Of another | country."),
        (fact_id, "sw", "Moved in 2025."),
    ]
    assert {row["version"] for row in rows} == {"1.0.0"} and rows[1]["link"] == "https://example.org/d/1"
    assert documents.check(release)["content"] == before, "the data are the same"
    page = (release / "ERRATA.md").read_text()
    assert r"Of another \| country." in page and "[report](<https://example.org/d/1>)" in page
    assert "1 facts are known to be wrong in this version" in (release / "README.md").read_text()
    polyfact("errata", "add", *arguments[:3], "Moved in 2024.", "--lang", "sw")
    assert [row["reason"] for row in read_errata(release)] == ["Of another | country.", "Moved in 2024."]
    assert fact_id in polyfact("errata", "list", release).stdout


def test_what_is_no_erratum_is_refused(release: Path, fact_id: str) -> None:
    with pytest.raises(DataError, match="contains no fact 'Q1'"):
        add_erratum(release, "Q1", "Wrong.", None, "")
    with pytest.raises(ConfigError, match="no language xx"):
        add_erratum(release, fact_id, "Wrong.", "xx", "")
    with pytest.raises(ConfigError, match="must not be empty"):
        add_erratum(release, fact_id, "  ", None, "")
    with pytest.raises(ConfigError, match="web address"):
        add_erratum(release, fact_id, "Wrong.", None, "javascript:alert(1)")
    assert read_errata(release) == []


def test_the_next_build_leaves_them_out_and_keeps_the_table(
    small: Path, release: Path, fact_id: str, small_options: tuple[object, ...], tmp_path: Path
) -> None:
    add_erratum(release, fact_id, "Wrong.", None, "")
    documents.render_again(release)
    # The stages that depend on neither errata nor an earlier release are complete.
    shutil.copytree(small.parent, tmp_path / "next")
    polyfact("build", "--out", tmp_path / "next", *small_options, "--previous", release, "--overwrite")
    after = tmp_path / "next" / "release"
    assert fact_id not in {row["fact_id"] for row in parallel_rows_of(after)}
    assert read_errata(after) == read_errata(release)
    assert "left out" in (after / "ERRATA.md").read_text()
    assert "No item of this version is known to be wrong." in (after / "README.md").read_text()
    diff = compare(release, after)
    assert diff.removed[fact_id] == "erratum: Wrong." and diff.level == "minor"
    assert any("erratum 1" in line for line in changelog(diff))
    documents.check(after)


def test_documents_alone_become_the_next_patch(release: Path, fact_id: str) -> None:
    add_erratum(release, fact_id, "Wrong.", None, "")
    polyfact("card", release, "--patch", "errata")
    about = read_about(release)
    assert about["version"] == "1.0.1" and about["previous"]["version"] == "1.0.0"
    changes = (release / "CHANGELOG.md").read_text()
    assert "- Documents only: errata." in changes and "- First release" in changes
    documents.check(release)
    result = polyfact("card", release, "--patch", " ", check=False)
    assert result.returncode == 2 and "must describe the change" in result.stderr


def test_the_report_link_names_the_fact() -> None:
    url = report_url("jvonrad/PolyFact", "Q1|P2|Q3")
    assert url.startswith("https://huggingface.co/datasets/jvonrad/PolyFact/discussions/new?title=Error%20in%20Q1%7CP2")
