"""A build that differs by one fact gives the expected diff, change log and version."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.config.release import ReleaseConfig
from polyfact_dataset.release import versions
from polyfact_dataset.release.diff import compare
from polyfact_dataset.release.reader import read_about
from polyfact_dataset.release.versions import version_and_changes
from tests.support.command import polyfact
from tests.support.released import Rows, edited, parallel_rows_of

_compared = cache(compare)


@pytest.fixture(autouse=True)
def compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions follow from a comparison; most tests compare the same two releases."""
    monkeypatch.setattr(versions, "compare", _compared)


def test_a_fact_that_is_no_longer_stated(small: Path, following: Path, dropped_fact: str) -> None:
    diff = _compared(small, following)
    assert diff.removed[dropped_fact] == "not stated in the dump"
    # A block that lacks a fact is replaced by another of facts that were left, with or without a block of their own.
    assert set(diff.added.values()) <= {"not_sampled", "no_distractors"} and len(diff.added) == len(diff.removed)
    assert diff.level == "minor" and not diff.leaked and not diff.splits and not diff.questions
    about = read_about(following)
    assert (about["version"], about["change"]) == ("1.1.0", "minor")
    assert about["previous"] == {"version": "1.0.0", "content": read_about(small)["content"]}
    changes = (following / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\S+)", changes, re.M) == ["1.1.0", "1.0.0"]
    removed = re.search(r"^- Facts removed: (\d+) \(in the new build: (.*)\)", changes, re.M)
    assert removed and int(removed[1]) == len(diff.removed) and "not stated in the dump 1" in removed[2].split(", ")
    assert f"- Content `{about['content'][:16]}`." in changes
    assert "### 1.1.0" in (following / "README.md").read_text()


def test_the_dump_date_is_read_from_the_name_where_it_is_not_configured(
    next_dump: Path, small: Path, following: Path
) -> None:
    from polyfact_dataset.config.build import load_config
    from polyfact_dataset.pipeline.inputs import SAMPLE_DUMP, dump_date, resolve_inputs

    assert read_about(following)["dump_date"] == "2026-02-02"
    configured = load_config(release={"dump_date": "2026-01-01"})
    assert str(resolve_inputs(configured, next_dump, Path("none")).config.release.dump_date) == "2026-01-01"
    sample = resolve_inputs(configured, SAMPLE_DUMP, Path("none"))
    assert sample.source == "sample" and sample.config.release.dump_date is None, "the sample is of no day"
    assert dump_date(Path("latest-all.json.bz2")) is None
    assert dump_date(Path("dump-20261399-12345678901.json")) is None


def test_the_command_says_what_follows_and_writes_the_entry(small: Path, following: Path, tmp_path: Path) -> None:
    result = polyfact("diff", small, following, "--changelog", tmp_path / "entry.md")
    assert "1.0.0 -> 1.1.0: a minor change; the version after 1.0.0 is 1.1.0" in result.stdout
    assert "not stated in the dump" in result.stdout
    entry = (tmp_path / "entry.md").read_text()
    assert entry.startswith("## 1.1.0\n") and entry.strip() in (following / "CHANGELOG.md").read_text()
    found = json.loads(polyfact("diff", small, following, "--json").stdout)
    assert found["level"] == "minor" and found["removed"] == _compared(small, following).removed


def test_a_first_release_takes_the_configured_version_and_day(small: Path) -> None:
    settings = ReleaseConfig(version="0.3.0", published="2026-03-01")
    about, changes = version_and_changes(small, None, settings)
    assert about == {"version": "0.3.0", "change": "first", "previous": None}
    assert changes.startswith("# Changes\n\n## 0.3.0 (2026-03-01)\n\n- First release: ")


@pytest.mark.parametrize(("wanted", "taken"), [(None, "1.1.0"), ("1.1.0", "1.1.0"), ("2.0.0", "2.0.0")])
def test_a_version_may_be_higher_than_the_changes_ask(
    small: Path, following: Path, wanted: str | None, taken: str
) -> None:
    about, _ = version_and_changes(following, small, ReleaseConfig(version=wanted))
    assert about["version"] == taken


@pytest.mark.parametrize("wanted", ["1.0.0", "1.0.1", "0.9.0"])
def test_a_version_too_low_for_the_changes_is_refused(small: Path, following: Path, wanted: str) -> None:
    with pytest.raises(ConfigError, match=r"minor change of 1.0.0 requires at least 1.1.0"):
        version_and_changes(following, small, ReleaseConfig(version=wanted))


def test_the_same_content_keeps_version_and_changes(small: Path) -> None:
    settings = ReleaseConfig(contact="maintainer@example.org")
    about, changes = version_and_changes(small, small, settings)
    assert about == {"version": "1.0.0", "change": "first", "previous": None}
    assert changes == (small / "CHANGELOG.md").read_text()
    with pytest.raises(ConfigError, match="nothing has changed since 1.0.0"):
        version_and_changes(small, small, settings.model_copy(update={"version": "0.9.0"}))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"contact": "https://example.org"}, "contact"),
        ({"contact": "maintainer@example.org", "questions_licence": "cc-by-4.0"}, "licence"),
        ({"contact": "maintainer@example.org", "version": "1.0.1"}, "card and other texts"),
    ],
)
def test_other_documents_for_the_same_content_are_a_patch(settings: dict, named: str, small: Path) -> None:
    about, changes = version_and_changes(small, small, ReleaseConfig(**settings))
    assert about["version"] == "1.0.1" and about["change"] == "patch"
    assert about["previous"] == {"version": "1.0.0", "content": read_about(small)["content"]}
    assert f"- Documents only: {named}." in changes and changes.count("- First release") == 1


def test_a_leak_stops_the_card(small: Path, tmp_path: Path) -> None:
    def release_held_out(rows: Rows) -> None:
        next(row for row in rows if row["split"] == "test")["split"] = "train"

    leaking = edited(small, tmp_path / "leaking", release_held_out)
    subject = next(row["subject_id"] for row in parallel_rows_of(small) if row["split"] == "test")
    with pytest.raises(DataError, match=rf"\({subject}\|"):
        version_and_changes(leaking, small, ReleaseConfig())


def test_a_build_on_an_unfinished_release_is_refused_at_once(small: Path, small_config: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "unfinished", ignore=shutil.ignore_patterns("release.json"))
    arguments = ("--out", tmp_path / "build", "--config", small_config, "--previous", tmp_path / "unfinished")
    result = polyfact("build", *arguments, check=False)
    assert result.returncode == 2 and "release.json" in result.stderr and not (tmp_path / "build").exists()
