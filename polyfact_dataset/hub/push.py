"""Pushing a release to the Hugging Face Hub: one commit on the expected parent, then the tag, then reading it back.

Nothing is pushed that does not prove itself: the files must be those of the manifest, the audit must have passed for
this very content, every document must match the data, and the tag must be new. Only files that changed travel; the
client skips blobs that the Hub holds already, so an interrupted push goes on. The token comes from where
`huggingface_hub` looks for it, and is never shown.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyfact_dataset.audit.report import require_passing
from polyfact_dataset.common.errors import ConfigError, DataError, PolyFactError, RetryableError
from polyfact_dataset.common.files import digest
from polyfact_dataset.release.documents import check
from polyfact_dataset.release.reader import check_content, is_repository, read_about

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


@dataclass(frozen=True)
class Pushed:
    """What a push did, or would do: `commit` is None for a dry run, `tag` where none was set."""

    changes: list[Change]
    commit: str | None = None
    tag: str | None = None
    pull_request: str | None = None


def require_publishable(folder: Path, tag: str | None) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Manifest, `release.json` and tag of a release that may be pushed.

    Raises `DataError` when files, documents or audit do not agree or one is a link, `ConfigError` for a tag of another
    version or a dump without a date.
    """
    # A link could lead to any file of the user's, which would be published.
    if link := next((path for path in folder.rglob("*") if path.is_symlink()), None):
        raise DataError(f"{link} is a link; only files that stand in the release itself are pushed")
    manifest = check(folder)
    require_passing(folder)
    about = read_about(folder)
    expected = f"v{about['version']}"
    if tag not in (None, expected):
        raise ConfigError(f"{folder} is version {about['version']}: its tag is {expected}, not {tag}")
    if about["dump_date"] is None:
        raise ConfigError(f"{folder} does not say of which day its dump is; set [release] dump_date and build again")
    return manifest, about, expected


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


def explain(error: HfHubHTTPError, repo: str) -> PolyFactError:
    """The Hub's answer as one of our errors, without the request and its headers."""
    status = error.response.status_code if error.response is not None else 0
    if status in (401, 403):
        return ConfigError(
            f"{repo}: the Hub refuses the token (HTTP {status}); log in with `hf auth login`, or check its rights"
        )
    if status == 409:
        return ConfigError(f"{repo}: the Hub holds this tag or commit already (HTTP 409); nothing was overwritten")
    if status == 412:
        return ConfigError(f"{repo} has changed since this push began; look at `polyfact diff`, then push again")
    if 400 <= status < 500 and status not in (408, 429):
        return ConfigError(
            f"{repo}: the Hub refuses the request (HTTP {status}): {error.server_message or 'no reason'}"
        )
    return RetryableError(f"{repo}: the Hub answers HTTP {status}; run the command again, it goes on where it stopped")


@contextmanager
def errors_of_the_hub(repo: str, then: str) -> Iterator[None]:
    """Turns what the Hub's client raises into one of our errors; `then` says what running again does.

    Raises `ConfigError` where the Hub refuses, `RetryableError` where it fails or cannot be reached.
    """
    from huggingface_hub.errors import HfHubHTTPError

    # The HTTP client's own errors: httpx before huggingface_hub 2, httpx2 since.
    transport: Any = HfHubHTTPError.__bases__
    try:
        yield
    except HfHubHTTPError as error:
        raise explain(error, repo) from None
    except transport as error:
        raise RetryableError(f"{repo}: the Hub cannot be reached ({type(error).__name__}); {then}") from None


def _expected_parent(api: HfApi, repo: str, tag: str) -> str | None:
    """The commit that `main` is at, None for a repository that is not there. Raises when the tag exists."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        refs = api.list_repo_refs(repo, repo_type="dataset")
    except RepositoryNotFoundError as error:
        # A wrong token gets the same answer as a missing repository, with another status.
        if error.response is not None and error.response.status_code == 401:
            raise
        return None
    if tag in {ref.name for ref in refs.tags}:
        raise ConfigError(f"{repo} has a tag {tag} already; a released version never changes, choose the next one")
    return next((ref.target_commit for ref in refs.branches if ref.name == "main"), None)


def _require_successor(api: HfApi, repo: str, parent: str, about: dict[str, Any]) -> None:
    """Raises `ConfigError` unless the release was built on the one that the repository holds."""
    from huggingface_hub.errors import EntryNotFoundError

    try:
        path = api.hf_hub_download(repo, "release.json", repo_type="dataset", revision=parent)
    except EntryNotFoundError:
        return
    there = json.loads(Path(path).read_text(encoding="utf-8"))
    before = about["previous"]
    if there["content"] in (about["content"], before and before["content"]):
        return
    said = f"version {before['version']}" if before else "no earlier release"
    raise ConfigError(
        f"{repo} holds version {there['version']}, and this release was built on {said}: held-out facts could enter "
        f"train; build with --previous {repo}@v{there['version']}"
    )


def push(
    folder: Path,
    repo: str,
    tag: str | None = None,
    *,
    dry_run: bool = False,
    create_pr: bool = False,
    private: bool = False,
) -> Pushed:
    """Pushes a release folder, tags it, and reads it back; a pull request is left to be merged and tagged later.

    Raises `DataError` for a release that does not prove itself, `ConfigError` for a refused token, an existing tag or a
    repository that changed meanwhile, `RetryableError` when the Hub fails.
    """
    from huggingface_hub import HfApi

    if not is_repository(repo):
        raise ConfigError(f"--repo {repo}: give it as owner/name")
    manifest, about, tag = require_publishable(folder, tag)
    with errors_of_the_hub(repo, "run the command again, it goes on"):
        done = _push(HfApi(), folder, repo, tag, about, dry_run, create_pr, private)
    if done.tag is not None:
        read_back(repo, done.tag, manifest)
    return done


def _push(
    api: HfApi,
    folder: Path,
    repo: str,
    tag: str,
    about: dict[str, Any],
    dry_run: bool,
    create_pr: bool,
    private: bool,
) -> Pushed:
    parent = _expected_parent(api, repo, tag)
    if parent is not None:
        _require_successor(api, repo, parent, about)
        if private and not api.dataset_info(repo).private:
            raise ConfigError(f"{repo} is public already; change that in its settings, or leave --private out")
    changes = plan(api, folder, repo, parent)
    if dry_run:
        return Pushed(changes)
    if parent is None:
        api.create_repo(repo, repo_type="dataset", private=private)
        parent = _expected_parent(api, repo, tag)
    commit, pull_request = parent, None
    if operations := _operations(folder, changes):
        made = api.create_commit(
            repo,
            operations,
            commit_message=f"PolyFact {tag}",
            repo_type="dataset",
            parent_commit=parent,
            create_pr=create_pr,
        )
        commit, pull_request = made.oid, made.pr_url
    if pull_request:
        return Pushed(changes, commit, pull_request=pull_request)
    api.create_tag(repo, tag=tag, revision=commit, repo_type="dataset")
    return Pushed(changes, commit, tag)


def _operations(folder: Path, changes: Sequence[Change]) -> list[Any]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    return [
        CommitOperationDelete(change.path)
        if change.action == "delete"
        else CommitOperationAdd(change.path, str(folder / change.path))
        for change in changes
        if change.action != "keep"
    ]


_READ_BACK = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
from huggingface_hub import snapshot_download
repo, tag = sys.argv[1:]
names = get_dataset_config_names(repo, revision=tag)
sizes = {}
for name in ("parallel", "clean"):
    if name in names:
        sizes[name] = {split: len(rows) for split, rows in load_dataset(repo, name, revision=tag).items()}
folder = snapshot_download(repo, repo_type="dataset", revision=tag)
print(json.dumps({"names": names, "sizes": sizes, "folder": folder}))
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
        if check_content(Path(loaded["folder"]))["content"] != manifest["content"]:
            raise DataError(f"{repo}@{tag} holds other content than was pushed")
    if loaded["names"] != list(manifest["configs"]):
        raise DataError(f"{repo}@{tag} offers the configs {', '.join(loaded['names'])}, not those of its manifest")
    for name, sizes in loaded["sizes"].items():
        if sizes != manifest["sizes"][name]:
            raise DataError(f"{repo}@{tag} loads {name} as {sizes} instead of {manifest['sizes'][name]}")
