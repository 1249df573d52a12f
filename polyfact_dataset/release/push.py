"""Pushing a release to the Hugging Face Hub: one commit on the expected parent, then the tag, then reading it back.

Nothing is pushed that does not prove itself: the manifest must match the files, the audit must have passed for this very
content, the card must match the data, and the tag must be new. Only files that changed travel; the client skips
blobs that the Hub holds already, so an interrupted push goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyfact_dataset.errors import ConfigError, DataError, PolyFactError, RetryableError
from polyfact_dataset.storage import digest, digest_json, read_json

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

_KEPT_REMOTELY = (".gitattributes",)


@dataclass(frozen=True)
class Change:
    """One file of a push: `add`, `change`, `keep` or `delete`."""

    action: str
    path: str
    size_bytes: int


def check_content(folder: Path) -> dict[str, Any]:
    """The manifest of a release whose files are exactly those it lists. Raises `DataError` naming what differs."""
    manifest: dict[str, Any] = read_json(folder / "manifest.json")
    found = {path.relative_to(folder).as_posix(): digest(path) for path in sorted((folder / "data").rglob("*.parquet"))}
    for name in sorted(found.keys() | manifest["files"].keys()):
        if found.get(name) != manifest["files"].get(name):
            state = "missing" if name not in found else "not listed" if name not in manifest["files"] else "changed"
            raise DataError(f"{folder / name} is {state} since the build; build the release again before pushing")
    if digest_json(found) != manifest["content"]:
        raise DataError(f"{folder / 'manifest.json'}: its content digest is not that of its files; build again")
    return manifest


def check_audit(folder: Path, content: str) -> None:
    """Raises `DataError` unless the release's audit passed for this content."""
    path = folder / "audit" / "report.json"
    if not path.exists():
        raise DataError(f"{folder} has no audit/report.json; run: polyfact audit {folder}")
    report = read_json(path)
    if report.get("content") != content:
        raise DataError(f"{path} is about other content; run: polyfact audit {folder}")
    if not report.get("passed"):
        broken = ", ".join(str(gate) for gate in report.get("broken", []))
        raise DataError(f"{path}: the audit refuses this release ({broken}); mend it and build again")


def plan(api: HfApi, folder: Path, repo: str, parent: str | None) -> list[Change]:
    """What a push would do, file by file, against the repository at `parent`."""
    from huggingface_hub.hf_api import RepoFile

    remote: dict[str, Any] = {}
    if parent is not None:
        entries = api.list_repo_tree(repo, repo_type="dataset", revision=parent, recursive=True)
        remote = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
    changes = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        there = remote.pop(name, None)
        if there is None:
            action = "add"
        else:
            same = there.lfs.sha256 == digest(path) if there.lfs else there.blob_id == _blob_id(path)
            action = "keep" if same else "change"
        changes.append(Change(action, name, path.stat().st_size))
    changes += [Change("delete", name, entry.size) for name, entry in remote.items() if name not in _KEPT_REMOTELY]
    return changes


def _blob_id(path: Path) -> str:
    from huggingface_hub.utils.sha import git_hash

    return str(git_hash(path.read_bytes()))


def _explain(error: HfHubHTTPError, repo: str) -> PolyFactError:
    """The Hub's answer as one of our errors, without the request and its headers."""
    status = error.response.status_code if error.response is not None else 0
    if status in (401, 403):
        return ConfigError(f"{repo}: the Hub refuses the token (HTTP {status}); log in with `hf auth login`, or check its rights")
    if status == 412:
        return ConfigError(f"{repo} has changed since this push began; look at `polyfact diff`, then push again")
    return RetryableError(f"{repo}: the Hub answers HTTP {status}; run the same command again, it goes on where it stopped")


def _expected_parent(api: HfApi, repo: str, tag: str) -> str | None:
    """The commit that `main` is at, None for a repository that is not there. Raises when the tag exists."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        refs = api.list_repo_refs(repo, repo_type="dataset")
    except RepositoryNotFoundError:
        return None
    if tag in {ref.name for ref in refs.tags}:
        raise ConfigError(f"{repo} has a tag {tag} already; a released version never changes, choose the next one")
    return next((ref.target_commit for ref in refs.branches if ref.name == "main"), None)


def push(
    folder: Path,
    repo: str,
    tag: str,
    *,
    dry_run: bool = False,
    create_pr: bool = False,
    private: bool = False,
) -> tuple[list[Change], str | None]:
    """Pushes a release folder and tags it; returns the changes and the new commit (None for a dry run).

    Raises `DataError` for a release that does not prove itself, `ConfigError` for a refused token, an existing tag or a
    repository that changed meanwhile, `RetryableError` when the Hub fails.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    manifest = check_content(folder)
    check_audit(folder, manifest["content"])
    api = HfApi()
    try:
        parent = _expected_parent(api, repo, tag)
        changes = plan(api, folder, repo, parent)
        if dry_run:
            return changes, None
        if parent is None:
            api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
            parent = _expected_parent(api, repo, tag)
        operations: Sequence[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationDelete(change.path)
            if change.action == "delete"
            else CommitOperationAdd(change.path, str(folder / change.path))
            for change in changes
            if change.action != "keep"
        ]
        commit = parent
        if operations:
            commit = api.create_commit(
                repo,
                operations,
                commit_message=f"PolyFact {tag}",
                repo_type="dataset",
                parent_commit=parent,
                create_pr=create_pr,
            ).oid
        if not create_pr:
            api.create_tag(repo, tag=tag, revision=commit, repo_type="dataset")
    except HfHubHTTPError as error:
        raise _explain(error, repo) from None
    except OSError as error:
        raise RetryableError(f"{repo}: the Hub cannot be reached ({type(error).__name__}); run the same command again") from None
    if not create_pr:
        read_back(repo, tag, manifest)
    return changes, commit


_READ_BACK = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
from huggingface_hub import snapshot_download
repo, tag = sys.argv[1:]
sizes = {}
for name in get_dataset_config_names(repo, revision=tag):
    if name in ("parallel", "clean"):
        sizes[name] = {split: len(rows) for split, rows in load_dataset(repo, name, revision=tag).items()}
print(json.dumps({"sizes": sizes, "folder": snapshot_download(repo, repo_type="dataset", revision=tag)}))
"""


def read_back(repo: str, tag: str, manifest: dict[str, Any]) -> None:
    """Loads what was pushed, by name and tag, from an empty cache, and compares digests and counts.

    Raises `DataError` when anything differs from the release that was pushed.
    """
    from huggingface_hub import get_token

    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "HF_HOME": cache}
        # The token may be in a file of the usual home, which the empty cache replaces.
        if token := get_token():
            environment["HF_TOKEN"] = token
        for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
            environment.pop(name, None)
        result = subprocess.run(
            [sys.executable, "-c", _READ_BACK, repo, tag], env=environment, capture_output=True, text=True
        )
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise DataError(f"{repo}@{tag} was pushed but cannot be loaded: {reason}")
        loaded = json.loads(result.stdout.splitlines()[-1])
        pushed = check_content(Path(loaded["folder"]))
        if pushed["content"] != manifest["content"]:
            raise DataError(f"{repo}@{tag} holds other content than was pushed")
        for name, sizes in loaded["sizes"].items():
            if sizes != manifest["sizes"][name]:
                raise DataError(f"{repo}@{tag} loads {name} as {sizes} instead of {manifest['sizes'][name]}")
