"""A push destroys nothing that it did not write: repositories of others, their changes, and pushes that were cut."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.hub import push as pushing
from polyfact_dataset.hub.push import Options, push
from polyfact_dataset.release.reader import read_about, read_manifest
from tests.support.command import polyfact
from tests.support.hub import Hub, Repo
from tests.support.pushed import REPO, files_of, on_hub
from tests.support.released import copy_of
from tests.support.rendered import describe

CREATE, REPLACE = Options(create=True), Options(replace=True)


def commit(hub: Hub, files: dict[str, bytes | None], branch: str = "main") -> None:
    """A commit of somebody else: None deletes a file."""
    repo = hub.repos[REPO]
    now = {**repo.commits[repo.branches[branch]], **{name: (data or b"", False) for name, data in files.items()}}
    repo.commit(branch, {name: held for name, held in now.items() if files.get(name, b"") is not None})


def foreign(hub: Hub) -> None:
    """A repository of the same name that this project did not push."""
    hub.repos[REPO] = Repo()
    hub.repos[REPO].commit("main", {"README.md": (b"their card", False), "data/train.csv": (b"a,b", False)})


def test_a_repository_is_created_only_on_request(hub: Hub, small: Path, unread: None) -> None:
    result = polyfact("push", small, "--repo", "jvonrad/PolyFatc", check=False)
    assert result.returncode == 2 and "does not exist on the Hub; check the name, or give --create" in result.stderr
    assert not hub.repos
    push(small, REPO, options=CREATE)
    assert on_hub(hub, "v1.0.0") == files_of(small)


def test_an_empty_repository_needs_no_flag(hub: Hub, small: Path, unread: None) -> None:
    hub.repos[REPO] = Repo()
    hub.repos[REPO].commit("main", {".gitattributes": (b"*.parquet filter=lfs\n", False)})
    push(small, REPO)
    assert on_hub(hub) == files_of(small)


def test_files_of_others_are_not_deleted(hub: Hub, small: Path, unread: None) -> None:
    foreign(hub)
    before = on_hub(hub)
    for options in (None, CREATE):
        with pytest.raises(ConfigError, match=r"contains 2 files .*\(README.md, data/train.csv\).*--replace"):
            push(small, REPO, options=options)
    assert on_hub(hub) == before and not hub.repos[REPO].tags and not hub.uploaded
    result = polyfact("push", small, "--repo", REPO, "--dry-run")
    assert "the push would be rejected" in result.stdout and on_hub(hub) == before
    push(small, REPO, options=REPLACE)
    assert on_hub(hub) == files_of(small)


def test_what_others_added_stays_and_what_we_no_longer_have_goes(
    hub: Hub, small: Path, following: Path, unread: None
) -> None:
    push(small, REPO, options=CREATE)
    repo = hub.repos[REPO]
    # A file of the last version that the next one does not have.
    old = {**repo.commits[repo.tags["v1.0.0"]], "data/old.parquet": (b"old", True)}
    repo.tags["v1.0.0"] = repo.commit("main", old)
    commit(hub, {"NOTES.md": b"their notes"})
    done = push(following, REPO)
    assert [change.path for change in done.changes if change.action == "delete"] == ["data/old.parquet"]
    assert [change.path for change in done.changes if change.action == "foreign"] == ["NOTES.md"]
    assert on_hub(hub) == {**files_of(following), "NOTES.md": b"their notes"}
    assert ".gitattributes" in repo.commits[repo.branches["main"]]
    assert on_hub(hub, "v1.1.0") == on_hub(hub)


def test_data_that_others_added_is_not_loaded_with_the_release(
    hub: Hub, small: Path, following: Path, unread: None
) -> None:
    push(small, REPO, options=CREATE)
    # The pattern of config `clean` would match it.
    commit(hub, {"data/en/train-general.parquet": b"theirs"})
    before = on_hub(hub)
    with pytest.raises(ConfigError, match=r"1 data files of others are there \(data/en/train-general.parquet\)"):
        push(following, REPO)
    assert on_hub(hub) == before
    push(following, REPO, options=REPLACE)
    assert on_hub(hub) == files_of(following)


@pytest.mark.parametrize("theirs", [b"a better card", None])
def test_changes_of_others_to_our_files_are_shown_and_refused(
    theirs: bytes | None, hub: Hub, small: Path, following: Path, unread: None
) -> None:
    push(small, REPO, options=CREATE)
    commit(hub, {"README.md": theirs})
    before = on_hub(hub)
    with pytest.raises(ConfigError, match=r"1 files of the release were changed there .*\(README.md\)"):
        push(following, REPO)
    assert on_hub(hub) == before
    result = polyfact("push", following, "--repo", REPO, "--dry-run")
    assert any(line.startswith("conflict") and line.endswith("README.md") for line in result.stdout.splitlines())
    push(following, REPO, options=REPLACE)
    assert on_hub(hub) == files_of(following)


def test_a_file_of_the_release_that_others_added_is_a_conflict(
    hub: Hub, small: Path, following: Path, unread: None
) -> None:
    push(small, REPO, options=CREATE)
    new = "DATASHEET.md"
    repo = hub.repos[REPO]
    without = {name: held for name, held in repo.commits[repo.tags["v1.0.0"]].items() if name != new}
    repo.tags["v1.0.0"] = repo.commit("main", without)
    commit(hub, {new: b"theirs"})
    with pytest.raises(ConfigError, match="were changed there since the last version"):
        push(following, REPO)


def test_the_same_push_twice_is_there_already(hub: Hub, small: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pushing, "read_back", lambda *_: None)
        polyfact("push", small, "--repo", REPO, "--create")
    commits, requests = len(hub.repos[REPO].commits), len(hub.requests)
    commit(hub, {"NOTES.md": b"their notes"})
    result = polyfact("push", small, "--repo", REPO)
    assert "is there already as v1.0.0" in result.stdout and "verified by loading it by name and tag" in result.stdout
    assert len(hub.repos[REPO].commits) == commits + 1, "only theirs"
    again = hub.requests[requests:]
    assert not [line for line in again if line.startswith("PUT") or "/commit/" in line or "/preupload/" in line]


def test_a_tag_of_other_content_is_refused(hub: Hub, small: Path, unread: None) -> None:
    push(small, REPO, options=CREATE)
    repo = hub.repos[REPO]
    repo.tags["v1.0.0"] = repo.commit("main", {"README.md": (b"another", False)})
    with pytest.raises(ConfigError, match="has a tag v1.0.0 with other files"):
        push(small, REPO, options=REPLACE)


@pytest.mark.parametrize("step", ["repository", "commit", "tag"])
def test_a_push_that_was_cut_continues_at_each_step(step: str, hub: Hub, small: Path, unread: None) -> None:
    """What a kill leaves behind: the repository alone, the commit without its tag, the tag without the loading back."""
    push(small, REPO, options=CREATE)
    repo = hub.repos[REPO]
    if step == "repository":
        repo.tags.clear()
        repo.commit("main", {".gitattributes": (b"", False)})
    elif step == "commit":
        repo.tags.clear()
    before = len(repo.commits)
    push(small, REPO, options=CREATE)
    assert on_hub(hub, "v1.0.0") == on_hub(hub) == files_of(small)
    assert len(repo.commits) == before + (step == "repository")


def test_a_push_killed_after_its_commit_continues(hub: Hub, small: Path, unread: None) -> None:
    command = [sys.executable, "-m", "polyfact_dataset.cli", "push", str(small), "--repo", REPO, "--create"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))
    hub.before_tag = lambda hub: process.send_signal(signal.SIGKILL)
    process.communicate()
    hub.before_tag = None
    assert process.returncode == -signal.SIGKILL
    hub.repos[REPO].tags.clear()
    assert on_hub(hub) == files_of(small)
    assert "pushed as v1.0.0" in polyfact("push", small, "--repo", REPO).stdout
    assert on_hub(hub, "v1.0.0") == files_of(small)


def test_a_second_pull_request_finds_the_first(hub: Hub, small: Path, following: Path, unread: None) -> None:
    push(small, REPO, options=CREATE)
    before = on_hub(hub)
    first = push(following, REPO, options=Options(create_pr=True))
    second = push(following, REPO, options=Options(create_pr=True))
    assert first.pull_request == second.pull_request and second.present and not first.present
    assert on_hub(hub) == before and on_hub(hub, "refs/pr/1") == files_of(following)
    assert list(hub.repos[REPO].requests.values()) == ["PolyFact v1.1.0"]
    # One that lost a file is brought up to date.
    repo = hub.repos[REPO]
    proposed = dict(repo.commits[repo.branches["refs/pr/1"]])
    del proposed["README.md"]
    repo.commit("refs/pr/1", proposed)
    third = push(following, REPO, options=Options(create_pr=True))
    assert third.pull_request == first.pull_request and on_hub(hub, "refs/pr/1") == files_of(following)
    assert list(repo.requests) == [1]


def test_a_release_of_the_sample_is_refused(hub: Hub, small: Path, tmp_path: Path, unread: None) -> None:
    release = copy_of(small, tmp_path / "copy")
    manifest = read_manifest(small)
    manifest["build"]["source"] = "sample"
    (release / "manifest.json").write_text(json.dumps(manifest))
    (release / "release.json").write_text(json.dumps({**read_about(small), "source": "sample", "dump_date": None}))
    describe(release)
    for repo in (REPO, "sample-user/PolyFact", "u/resampled"):
        with pytest.raises(ConfigError, match="made from the bundled sample, not a Wikidata dump"):
            push(release, repo, options=CREATE)
    assert not hub.requests
    push(release, "jvonrad/PolyFact-sample", options=CREATE)
    push(release, REPO, options=Options(create=True, sample=True))
    assert set(hub.repos) == {"jvonrad/PolyFact-sample", REPO}


def test_documents_alone_are_a_patch(
    hub: Hub, small: Path, small_config: Path, small_dump: Path, tmp_path: Path, unread: None
) -> None:
    config = tmp_path / "polyfact.toml"
    config.write_text(small_config.read_text() + 'questions_licence = "cc-by-4.0"\n')
    push(small, REPO, options=CREATE)
    arguments = ("--out", tmp_path / "build", "--config", config, "--dump", small_dump, "--quiet")
    # The stages that do not depend on an earlier release are complete.
    shutil.copytree(small.parent, tmp_path / "build")
    polyfact("build", *arguments, "--previous", f"{REPO}@v1.0.0", "--overwrite")
    release = tmp_path / "build" / "release"
    about = read_about(release)
    assert (about["version"], about["change"], about["content"]) == ("1.0.1", "patch", read_about(small)["content"])
    changes = (release / "CHANGELOG.md").read_text()
    assert "- Documents only: licence." in changes
    assert changes.endswith((small / "CHANGELOG.md").read_text().removeprefix("# Changes\n\n"))
    push(release, REPO)
    assert on_hub(hub, "v1.0.1") == files_of(release) and on_hub(hub, "v1.0.0") == files_of(small)


def test_an_edited_release_with_an_undated_dump_is_refused(hub: Hub, small: Path, tmp_path: Path) -> None:
    copy = copy_of(small, tmp_path / "copy")
    (copy / "release.json").write_text(json.dumps({**read_about(small), "dump_date": None}))
    describe(copy)
    with pytest.raises(ConfigError, match="lacks the date of its dump"):
        push(copy, REPO, options=CREATE)
