"""Pushes a release to the Hugging Face Hub: one commit on the expected parent, then the tag, then a verification.

A release is validated before anything is sent: its files must match the manifest, the audit must have passed for this
content, and every document must match the data. A push never overwrites commits of others (see `plan`). It can
be repeated: an interrupted push continues at the commit, the tag or the verification, and a finished one is verified
again. The token is found by `huggingface_hub` and never shown.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

from polyfact_dataset.audit.report import require_passing
from polyfact_dataset.common.errors import ConfigError, DataError, PolyFactError, RetryableError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.common.secrets import hub_token, redacted
from polyfact_dataset.common.untrusted import shown
from polyfact_dataset.hub.plan import Change, RemoteFile, changes, conflict, local_files, same, tree
from polyfact_dataset.release.documents import check
from polyfact_dataset.release.reader import check_content, default_config, is_repository, read_about, source_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError


@dataclass(frozen=True)
class Options:
    """The options of a push.

    `create` allows a new repository, `replace` allows overwriting files that others committed, `sample` allows a
    release of the bundled sample in a repository without `sample` in its name.
    """

    dry_run: bool = False
    create: bool = False
    replace: bool = False
    create_pr: bool = False
    private: bool = False
    sample: bool = False


@dataclass(frozen=True)
class Pushed:
    """The result of a push, or the plan of one: `commit` is None for a dry run, `tag` where none was set.

    `present`: the tag or the pull request already contains this release, so nothing was sent. `refusal` is the reason
    why the push of a dry run would be refused.
    """

    changes: list[Change]
    commit: str | None = None
    tag: str | None = None
    pull_request: str | None = None
    present: bool = False
    refusal: str = ""


@dataclass(frozen=True)
class _Refs:
    """The branch `main` and the tags of a repository: their commits."""

    main: str | None
    tags: dict[str, str]

    def base(self) -> str | None:
        """The commit of the highest version that was pushed; None without any."""
        versions: dict[Version, str] = {}
        for name, commit in self.tags.items():
            try:
                versions[Version(name.removeprefix("v"))] = commit
            except InvalidVersion:
                continue
        return versions[max(versions)] if versions else None


def require_publishable(folder: Path, tag: str | None, repo: str, sample: bool) -> tuple[dict[str, Any], str]:
    """Manifest and tag of a release that may be pushed to `repo`.

    Raises `DataError` when files, documents or audit do not agree or one is a link, `ConfigError` for a tag of another
    version, a dump without a date, or the bundled sample unless `sample` is set or in the repository's name.
    """
    # A link could point to any file of the user, which would be published.
    if link := next((path for path in folder.rglob("*") if path.is_symlink()), None):
        raise DataError(f"{link} is a link; only regular files of the release are pushed")
    manifest = check(folder)
    require_passing(folder)
    about = read_about(folder)
    expected = f"v{about['version']}"
    if tag not in (None, expected):
        raise ConfigError(f"{folder} is version {about['version']}: its tag is {expected}, not {tag}")
    if source_of(manifest) == "sample":
        if not sample and "sample" not in re.split(r"[-_.]", repo.rpartition("/")[2].lower()):
            raise ConfigError(
                f"{folder} was made from the bundled sample, not a Wikidata dump; build from a dump, choose a "
                "repository with the word `sample` in its name, or give --sample"
            )
    elif about["dump_date"] is None:
        raise ConfigError(f"{folder} lacks the date of its dump; set [release] dump_date and rebuild")
    return manifest, expected


def explain(error: HfHubHTTPError, repo: str) -> PolyFactError:
    """The Hub's answer as a `PolyFactError`, without the request and its headers, which contain the token."""
    status = error.response.status_code if error.response is not None else 0
    if status in (401, 403):
        return ConfigError(
            f"{repo}: the Hub rejects the token (HTTP {status}); log in with `hf auth login`, or check its rights"
        )
    if status == 409:
        return ConfigError(f"{repo}: the Hub already has this tag or commit (HTTP 409); nothing was overwritten")
    if status == 412:
        return ConfigError(
            f"{repo} has changed since this push began; compare it with `polyfact diff`, then push again"
        )
    if 400 <= status < 500 and status not in (408, 429):
        return ConfigError(
            f"{repo}: the Hub rejects the request (HTTP {status}): {error.server_message or 'no reason'}"
        )
    return RetryableError(f"{repo}: the Hub answers HTTP {status}; rerun the same command to continue")


@contextmanager
def errors_of_the_hub(repo: str, then: str) -> Iterator[None]:
    """Converts errors of the Hub's client to `PolyFactError`; `then` is the advice to the user.

    Raises `ConfigError` where the Hub rejects the request, `RetryableError` where it fails or cannot be reached.
    """
    from huggingface_hub import __version__
    from huggingface_hub.errors import HfHubHTTPError

    http = import_module("httpx" if __version__.startswith("1.") else "httpx2")
    hub_token()
    try:
        yield
    except HfHubHTTPError as error:
        raise explain(error, repo) from None
    except (http.HTTPError, ConnectionError) as error:
        raise RetryableError(f"{repo}: the Hub cannot be reached ({type(error).__name__}); {then}") from None


def _refs(api: HfApi, repo: str) -> _Refs | None:
    """The refs of a repository; None if it does not exist."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        refs = api.list_repo_refs(repo, repo_type="dataset")
    except RepositoryNotFoundError as error:
        # A wrong token gets the same answer as a missing repository, with another status.
        if error.response is not None and error.response.status_code == 401:
            raise
        return None
    main = next((ref.target_commit for ref in refs.branches if ref.name == "main"), None)
    return _Refs(main, {ref.name: ref.target_commit for ref in refs.tags})


def _require_successor(api: HfApi, repo: str, parent: str, about: Mapping[str, Any]) -> None:
    """Raises `ConfigError` unless the release was built on the one in the repository."""
    from huggingface_hub.errors import EntryNotFoundError

    try:
        path = api.hf_hub_download(repo, "release.json", repo_type="dataset", revision=parent)
    except EntryNotFoundError:
        return
    remote = read_json(Path(path))
    remote = remote if isinstance(remote, dict) else {}
    before = about["previous"]
    if remote.get("content") in (about["content"], before and before["content"]):
        return
    built_on = f"version {before['version']}" if before else "no earlier release"
    version = shown(remote.get("version", "of unknown number"))
    raise ConfigError(
        f"{repo} contains version {version}, and this release was built on {built_on}: held-out facts could enter "
        f"train; build with --previous {repo}@v{version}"
    )


def _holds(folder: Path, remote: Mapping[str, RemoteFile]) -> bool:
    """Whether a repository has every file of the release with its content."""
    return all(name in remote and same(path, remote[name]) for name, path in local_files(folder).items())


def push(folder: Path, repo: str, tag: str | None = None, options: Options | None = None) -> Pushed:
    """Pushes a release folder, tags it, and verifies it by loading it; a pull request is merged and tagged later.

    Raises `DataError` for a release that does not pass its checks, `ConfigError` for a rejected token, a tag of other
    content, a repository that does not exist without `create`, or one with changes of others without `replace`;
    `RetryableError` when the Hub fails.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    options = options or Options()
    if not is_repository(repo):
        raise ConfigError(f"--repo {repo}: give it as owner/name")
    if not sys.stderr.isatty():
        disable_progress_bars()
    manifest, tag = require_publishable(folder, tag, repo, options.sample)
    with errors_of_the_hub(repo, "rerun the same command to continue"):
        done = _push(HfApi(), folder, repo, tag, options)
    if done.tag is not None and not options.dry_run:
        read_back(repo, done.tag, done.commit, manifest)
    return done


def _push(api: HfApi, folder: Path, repo: str, tag: str, options: Options) -> Pushed:
    refs = _refs(api, repo)
    if refs is None:
        if options.dry_run:
            return Pushed(changes(folder, {}, None, options.replace))
        if not options.create:
            raise ConfigError(f"{repo} does not exist on the Hub; check the name, or give --create to create it")
        api.create_repo(repo, repo_type="dataset", private=options.private)
        refs = _refs(api, repo) or _Refs(None, {})
    elif options.private and not api.dataset_info(repo).private:
        raise ConfigError(f"{repo} is already public; change that in its settings, or leave --private out")
    if tag in refs.tags:
        if not _holds(folder, tree(api, repo, refs.tags[tag])):
            raise ConfigError(
                f"{repo} already has a tag {tag} with other files; a version never changes, choose the next one"
            )
        kept = [Change("keep", name, path.stat().st_size) for name, path in local_files(folder).items()]
        return Pushed(kept, refs.tags[tag], tag, present=True)
    main = tree(api, repo, refs.main) if refs.main else {}
    if refs.main and not options.replace:
        _require_successor(api, repo, refs.main, read_about(folder))
    base = refs.base()
    listed = changes(folder, main, tree(api, repo, base) if base else None, options.replace)
    refusal = "" if options.replace else conflict(repo, listed, base is not None, main)
    if options.dry_run:
        return Pushed(listed, refusal=refusal)
    if refusal:
        raise ConfigError(refusal)
    if options.create_pr:
        return _pull_request(api, folder, repo, tag, listed, refs.main)
    commit = refs.main
    if operations := _operations(folder, listed):
        title = _title(tag)
        commit = api.create_commit(
            repo, operations, commit_message=title, repo_type="dataset", parent_commit=commit
        ).oid
    api.create_tag(repo, tag=tag, revision=commit, repo_type="dataset")
    return Pushed(listed, commit, tag)


def _pull_request(api: HfApi, folder: Path, repo: str, tag: str, listed: list[Change], parent: str | None) -> Pushed:
    """Opens a pull request with the release, or updates the one that an earlier push opened."""
    title = _title(tag)
    open_requests = api.get_repo_discussions(
        repo, repo_type="dataset", discussion_type="pull_request", discussion_status="open"
    )
    request = next((entry for entry in open_requests if entry.title == title), None)
    if request is None:
        operations = _operations(folder, listed)
        if not operations:
            return Pushed(listed, parent)
        commit = api.create_commit(
            repo, operations, commit_message=title, repo_type="dataset", parent_commit=parent, create_pr=True
        )
        return Pushed(listed, commit.oid, pull_request=commit.pr_url)
    reference = f"refs/pr/{request.num}"
    proposed = tree(api, repo, reference)
    if _holds(folder, proposed):
        return Pushed(listed, pull_request=request.url, present=True)
    update = changes(folder, proposed, proposed, replace=False)
    operations = [o for o in _operations(folder, update) if not _deletes_foreign(o, listed)]
    commit = api.create_commit(repo, operations, commit_message=title, repo_type="dataset", revision=reference)
    return Pushed(update, commit.oid, pull_request=request.url)


def _deletes_foreign(operation: Any, listed: Sequence[Change]) -> bool:
    """Whether an operation would delete a file of others."""
    from huggingface_hub import CommitOperationDelete

    foreign = {change.path for change in listed if change.action == "foreign"}
    return isinstance(operation, CommitOperationDelete) and operation.path_in_repo in foreign


def _title(tag: str) -> str:
    """The title of the commit and of the pull request of a version."""
    return f"PolyFact {tag}"


def _operations(folder: Path, listed: Sequence[Change]) -> list[Any]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[Any] = []
    for change in listed:
        if change.action in ("add", "change"):
            operations.append(CommitOperationAdd(change.path, str(folder / change.path)))
        elif change.action == "delete":
            operations.append(CommitOperationDelete(change.path))
    return operations


_LOAD = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
repo, tag, default = sys.argv[1:]
names = get_dataset_config_names(repo, revision=tag)
sizes = {}
for name in dict.fromkeys((default, "parallel", "clean")):
    if name in names:
        sizes[name] = {split: len(rows) for split, rows in load_dataset(repo, name, revision=tag).items()}
print(json.dumps({"names": names, "sizes": sizes}))
"""


def read_back(repo: str, tag: str, commit: str | None, manifest: dict[str, Any]) -> None:
    """Loads the pushed release by name and tag with an empty cache, and compares digests and numbers of rows.

    Raises `DataError` when anything differs from the release that was pushed, or the tag is moved from its commit.
    """
    from huggingface_hub import snapshot_download

    _require_commit(repo, tag, commit)
    with tempfile.TemporaryDirectory() as cache:
        with _reading(repo, tag):
            folder = snapshot_download(repo, repo_type="dataset", revision=tag, cache_dir=Path(cache) / "hub")
        if check_content(Path(folder))["content"] != manifest["content"]:
            raise DataError(f"{repo}@{tag} does not contain the content that was pushed")
        loaded = _loaded(repo, tag, default_config(manifest), cache)
    _require_commit(repo, tag, commit)
    if loaded["names"] != list(manifest["configs"]):
        raise DataError(f"{repo}@{tag} offers the configs {', '.join(loaded['names'])}, not those of its manifest")
    for name, sizes in loaded["sizes"].items():
        if sizes != manifest["sizes"][name]:
            raise DataError(f"{repo}@{tag} loads {name} as {sizes} instead of {manifest['sizes'][name]}")


@contextmanager
def _reading(repo: str, tag: str) -> Iterator[None]:
    """Raises `DataError` where the Hub refuses what was pushed, `RetryableError` where it cannot be reached."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    with errors_of_the_hub(repo, "rerun the same command to verify what was pushed"):
        try:
            yield
        except (HfHubHTTPError, LocalEntryNotFoundError) as error:
            raise _not_loaded(repo, tag, str(error)) from None


def _require_commit(repo: str, tag: str, commit: str | None) -> None:
    """Raises `DataError` unless the tag points to the commit that was pushed."""
    from huggingface_hub import HfApi

    with _reading(repo, tag):
        found = HfApi().dataset_info(repo, revision=tag).sha
    if found != commit:
        raise DataError(f"{repo}@{tag} points to commit {str(found)[:12]}, not to {str(commit)[:12]} that was pushed")


def _loaded(repo: str, tag: str, default: str, cache: str) -> dict[str, Any]:
    """The configs of a tag, and the numbers of rows of some, as a process with this cache loads them."""
    environment = {**os.environ, "HF_HOME": cache}
    # The token may be in a file of the usual home, which the other cache replaces.
    if token := hub_token():
        environment["HF_TOKEN"] = token
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        environment.pop(name, None)
    command = [sys.executable, "-c", _LOAD, repo, tag, default]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise _not_loaded(repo, tag, result.stderr)
    return dict(json.loads(result.stdout.splitlines()[-1]))


def _not_loaded(repo: str, tag: str, message: str) -> DataError:
    reason = (message.strip().splitlines() or ["no message"])[-1]
    return DataError(f"{repo}@{tag} was pushed but cannot be loaded: {redacted(reason)}")
