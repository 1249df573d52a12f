"""Pushing to a local Hub with the real clients: what is refused, what travels, and what is read back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from polyfact_dataset.common.errors import ConfigError, DataError, RetryableError
from polyfact_dataset.hub import push as pushing
from polyfact_dataset.hub.push import Options, push
from polyfact_dataset.release.query import fact
from polyfact_dataset.release.reader import config_files, locate, read_about, read_manifest
from polyfact_dataset.release.stats import read_statistics
from tests.support.command import polyfact
from tests.support.hub import TOKEN, Hub
from tests.support.pushed import REPO, files_of, on_hub
from tests.support.released import copy_of, parallel_rows_of
from tests.support.rendered import describe

CREATE = Options(create=True)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with nothing in it, in place of the cache of the Hub's client."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def test_the_command_creates_pushes_tags_and_reads_back(hub: Hub, small: Path) -> None:
    """A private release, which can be read back with the token alone."""
    result = polyfact("push", small, "--repo", REPO, "--tag", "v1.0.0", "--create", "--private")
    assert hub.repos[REPO].private
    assert "\r" not in result.stderr and "%|" not in result.stderr, "no progress bars in a pipe"
    assert "pushed as v1.0.0" in result.stdout and "verified by loading it by name and tag" in result.stdout
    assert on_hub(hub) == on_hub(hub, "v1.0.0") == files_of(small)
    assert TOKEN not in result.stdout + result.stderr
    tagged = [line for line in hub.requests if "resolve/" in line and "parquet" in line]
    assert tagged, "what was pushed was read from the Hub"
    # One commit holds everything: the first is the empty repository's.
    assert len(hub.repos[REPO].commits) == 2


def test_users_load_and_stream_by_name_and_tag(hub: Hub, small: Path, unread: None, empty_cache: Path) -> None:
    from datasets import load_dataset

    push(small, REPO, options=CREATE)
    assert not hub.repos[REPO].private
    cache = str(empty_cache / "datasets")
    by_name = load_dataset(REPO, "clean", revision="v1.0.0", cache_dir=cache)
    default = load_dataset(REPO, cache_dir=cache)
    streamed = list(load_dataset(REPO, "clean_sw", split="test", streaming=True, revision="v1.0.0"))
    rows = parallel_rows_of(small)
    for split in ("train", "validation", "test"):
        own = [row for row in rows if row["split"] == split]
        clean = [row for row in own if row["quality_tier"] != "bronze"]
        assert len(default[split]) == 2 * len(clean), "the default is an item per row, in both languages"
        assert list(by_name[split]["fact_id"]) == [row["fact_id"] for row in clean]
    wanted = [r for r in rows if r["split"] == "test" and r["quality_tier"] != "bronze"]
    assert [item["question"] for item in streamed] == [r["translations"]["sw"]["question"] for r in wanted]
    assert all(item["language"] == "sw" for item in streamed)


def test_what_is_unchanged_does_not_travel(hub: Hub, small: Path, following: Path, unread: None) -> None:
    push(small, REPO, options=CREATE)
    first, before = set(hub.uploaded), len(hub.requests)
    hub.repos[REPO].tags.clear()
    assert {change.action for change in push(small, REPO, options=CREATE).changes} == {"keep"}
    again = hub.requests[before:]
    assert not [line for line in again if line.startswith("PUT") or "/commit/" in line or "/preupload/" in line]
    assert len(hub.uploaded) == len(first), "the same release again uploads nothing"

    hub.uploaded.clear()
    changes = {change.path: change.action for change in push(following, REPO, options=CREATE).changes}
    changed = {path for path, action in changes.items() if action == "change"}
    kept = {path for path, action in changes.items() if action == "keep" and path.endswith(".parquet")}
    assert "README.md" in changed and kept, "a fact less changes some files and leaves others"
    assert not first & set(hub.uploaded) and len(hub.uploaded) < len(first)
    assert on_hub(hub, "v1.1.0") == files_of(following) and on_hub(hub, "v1.0.0") == files_of(small)


@pytest.mark.slow
def test_a_killed_push_continues(hub: Hub, small: Path) -> None:
    command = [sys.executable, "-m", "polyfact_dataset.cli", "push", str(small), "--repo", REPO, "--create"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))

    def kill(hub: Hub) -> None:
        if len(hub.uploaded) == 3:
            process.send_signal(signal.SIGKILL)

    hub.after_upload = kill
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert set(on_hub(hub)) == set(), "nothing of it can be seen"
    arrived, hub.after_upload = len(hub.uploaded), None
    assert arrived >= 3
    polyfact("push", small, "--repo", REPO, "--create")
    assert on_hub(hub, "v1.0.0") == files_of(small)
    assert len(hub.uploaded) == len(set(hub.uploaded)), "no blob travelled twice"


def test_a_tag_left_out_by_a_cut_is_set(hub: Hub, small: Path, unread: None) -> None:
    push(small, REPO, options=CREATE)
    commit = hub.repos[REPO].tags.pop("v1.0.0")
    assert push(small, REPO, options=CREATE).commit == commit and hub.repos[REPO].tags == {"v1.0.0": commit}


def test_a_commit_meanwhile_is_detected_and_not_overwritten(hub: Hub, small: Path) -> None:
    def interfere(hub: Hub) -> None:
        hub.before_commit = None
        repo = hub.repos[REPO]
        repo.commit("main", {**repo.commits[repo.branches["main"]], "README.md": (b"theirs", False)})

    hub.before_commit = interfere
    with pytest.raises(ConfigError, match="has changed since this push began"):
        push(small, REPO, options=CREATE)
    assert on_hub(hub) == {"README.md": b"theirs"} and not hub.repos[REPO].tags


@pytest.mark.parametrize("token", ["hf_wrong", None])
def test_a_wrong_or_missing_token_is_refused_and_not_shown(
    hub: Hub, small: Path, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ConfigError, match=r"rejects the token \(HTTP 401\)") as refused:
        push(small, REPO, options=CREATE)
    assert refused.value.exit_code == 2 and "hf_" not in str(refused.value)
    assert not hub.repos


def test_a_dry_run_lists_files_and_sizes_and_sends_nothing(hub: Hub, small: Path) -> None:
    result = polyfact("push", small, "--repo", REPO, "--dry-run")
    for path, content in files_of(small).items():
        size = f"{len(content) / 1e6:.1f} MB" if len(content) >= 1e5 else f"{len(content) / 1e3:.1f} kB"
        line = next(line for line in result.stdout.splitlines() if line.endswith(f"  {path}"))
        assert line.startswith("add") and size in line
    assert "dry run: nothing was sent" in result.stdout
    assert not hub.repos and all(line.startswith("GET") for line in hub.requests)


def test_a_pull_request_leaves_main_and_sets_no_tag(hub: Hub, small: Path) -> None:
    push_result = push(small, REPO, options=Options(create=True, create_pr=True))
    assert push_result.pull_request and push_result.pull_request.endswith("/discussions/1") and push_result.tag is None
    assert on_hub(hub) == {} and on_hub(hub, "refs/pr/1") == files_of(small) and not hub.repos[REPO].tags


def test_private_is_for_new_repositories(hub: Hub, small: Path, unread: None) -> None:
    push(small, REPO, options=Options(create=True, private=True))
    assert hub.repos[REPO].private
    hub.repos[REPO].tags.clear()
    push(small, REPO, options=Options(create=True, private=True))
    hub.repos[REPO].private = False
    hub.repos[REPO].tags.clear()
    with pytest.raises(ConfigError, match="is already public"):
        push(small, REPO, options=Options(create=True, private=True))


def test_a_release_that_was_not_built_on_what_is_there_is_refused(
    hub: Hub, small: Path, following: Path, tmp_path: Path, unread: None
) -> None:
    push(small, REPO, options=CREATE)
    push(following, REPO, options=CREATE)
    hub.repos[REPO].tags.pop("v1.0.0")
    with pytest.raises(ConfigError, match=r"contains version 1.1.0.*--previous jvonrad/PolyFact@v1.1.0"):
        push(small, REPO, options=CREATE)
    assert on_hub(hub) == files_of(following)


def spoil(kind: str, release: Path) -> None:
    """Makes a release one that must not be pushed."""
    report_file = release / "audit" / "report.json"
    report = json.loads(report_file.read_text())
    if kind == "no audit":
        for path in (release / "audit").iterdir():
            path.unlink()
    elif kind == "audit of other content":
        report_file.write_text(json.dumps({**report, "content": "0" * 64}))
    elif kind == "failed its audit":
        report_file.write_text(json.dumps({**report, "passed": False, "broken": ["leak_gold (leakage): 3"]}))
    elif kind == "report does not pass":
        report_file.write_text(json.dumps({**report, "passed": False}))
    elif kind == "changed data":
        path = next((release / "data" / "sw").glob("*.parquet"))
        path.write_bytes(path.read_bytes() + b"\0")
    elif kind == "edited manifest":
        path = release / "manifest.json"
        path.write_text(path.read_text().replace('"content": "', '"content": "0'))
    elif kind == "edited card":
        path = release / "README.md"
        path.write_text(path.read_text() + "\nBest dataset ever.\n")
    elif kind == "foreign file":
        (release / ".env").write_text("SECRET=1")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no audit", "has no audit"),
        ("audit of other content", "describes content 0000"),
        ("failed its audit", "leak_gold"),
        ("report does not pass", "failed its audit|does not match"),
        ("changed data", "is changed since the build"),
        ("edited manifest", "content digest does not match its files"),
        ("edited card", "README.md does not match the release"),
        ("foreign file", r"\.env is not part of the release"),
    ],
)
def test_a_release_that_fails_its_checks_is_refused(
    kind: str, message: str, hub: Hub, small: Path, tmp_path: Path
) -> None:
    copy = copy_of(small, tmp_path / "copy")
    spoil(kind, copy)
    if kind in ("failed its audit", "report does not pass"):
        # The card is rewritten too, so that only the audit refuses the push.
        describe(copy)
    with pytest.raises(DataError, match=message):
        push(copy, REPO, options=CREATE)
    assert not hub.requests, "nothing was asked of the Hub"


def test_tag_and_version_must_agree_and_the_dump_be_dated(hub: Hub, small: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its tag is v1.0.0, not v1.2.0"):
        push(small, REPO, "v1.2.0", CREATE)
    copy = copy_of(small, tmp_path / "copy")
    about = {**read_about(small), "dump_date": None}
    (copy / "release.json").write_text(json.dumps(about))
    describe(copy)
    with pytest.raises(ConfigError, match="dump_date"):
        push(copy, REPO, options=CREATE)


def test_a_push_that_cannot_be_loaded_or_differs_is_an_error(
    hub: Hub, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = pushing.read_back
    monkeypatch.setattr(pushing, "read_back", lambda *_: None)
    push(small, REPO, options=CREATE)
    manifest, repo = read_manifest(small), hub.repos[REPO]
    with pytest.raises(DataError, match="does not contain the content"):
        genuine(REPO, "v1.0.0", repo.tags["v1.0.0"], {**manifest, "content": "0" * 64})
    with pytest.raises(DataError, match=r"cannot be loaded: .*v9\.9\.9"):
        genuine(REPO, "v9.9.9", repo.tags["v1.0.0"], manifest)
    files = dict(repo.commits[repo.tags["v1.0.0"]])
    repo.tags["v1.0.0"] = repo.commit("main", {**files, "README.md": (b"---\nconfigs: 5\n---\n", False)})
    with pytest.raises(DataError, match="cannot be loaded: "):
        genuine(REPO, "v1.0.0", repo.tags["v1.0.0"], manifest)


def test_a_tag_that_somebody_moves_before_it_is_read_back_is_noticed(
    hub: Hub, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = pushing.read_back

    def moved(repo: str, tag: str, commit: str | None, manifest: dict[str, Any]) -> None:
        # The same files in another commit: the content alone would not show it.
        repository = hub.repos[repo]
        assert commit == repository.tags[tag]
        repository.tags[tag] = repository.commit("main", dict(repository.commits[commit]))
        genuine(repo, tag, commit, manifest)

    monkeypatch.setattr(pushing, "read_back", moved)
    with pytest.raises(DataError, match=f"{REPO}@v1.0.0 points to commit [0-9a-f]+, not to [0-9a-f]+ that was pushed"):
        push(small, REPO, options=CREATE)


@pytest.mark.parametrize("repo", ["PolyFact", "jvonrad/PolyFact@v1.0.0", "owner/two words", "a/b/c"])
def test_what_is_no_repository_is_refused(repo: str, hub: Hub, small: Path) -> None:
    with pytest.raises(ConfigError, match="give it as owner/name"):
        push(small, repo)
    assert not hub.requests


def test_an_unreachable_hub_can_be_tried_again(hub: Hub, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for command in (["push", small, "--repo", REPO], ["stats", f"{REPO}@v9.9.9"]):
        result = polyfact(*command, check=False)
        assert result.returncode == 1 and "cannot be reached" in result.stderr, result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert not hub.requests


def test_a_release_on_the_hub_is_read_like_a_folder(hub: Hub, small: Path, unread: None, empty_cache: Path) -> None:
    push(small, REPO, options=CREATE)
    folder = locate(f"{REPO}@v1.0.0")
    assert read_statistics(f"{REPO}@v1.0.0") == read_statistics(str(small))
    row = parallel_rows_of(small)[0]
    assert fact(folder, row["fact_id"], ["sw"])["translations"]["sw"] == row["translations"]["sw"]
    assert not list(folder.rglob("clean_sw*")) and not (folder / "data" / "sw").exists(), "only what is needed"
    assert config_files(folder, "parallel")
    assert polyfact("diff", f"{REPO}@v1.0.0", small).stdout.startswith("1.0.0 -> 1.0.0: no change")
    with pytest.raises(ConfigError, match="no such dataset or revision"):
        locate(f"{REPO}@v7.0.0")
    with pytest.raises(ConfigError, match="no such dataset or revision"):
        locate("jvonrad/Nothing")
    for name in ("no/such/folder", "owner/--name"):
        with pytest.raises(ConfigError, match="neither a folder nor"):
            locate(name)


def test_hub_errors_are_told_apart() -> None:
    from huggingface_hub.errors import HfHubHTTPError

    class Answer:
        def __init__(self, status: int) -> None:
            self.status_code, self.headers, self.request = status, {}, None

    def explained(status: int) -> Exception:
        error = HfHubHTTPError.__new__(HfHubHTTPError)
        error.response, error.server_message = Answer(status), "because"
        return pushing.explain(error, REPO)

    assert isinstance(explained(500), RetryableError) and isinstance(explained(429), RetryableError)
    for status, message in ((403, "token"), (409, "already"), (412, "has changed"), (422, "because")):
        assert isinstance(explained(status), ConfigError) and message in str(explained(status))
