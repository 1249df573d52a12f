"""The plan of a push: a three-way comparison of the release, the repository, and the last pushed version.

The base is the latest tag of a version that this project pushed. A file that changed on `main` since then was changed
by others: it is kept when it is not part of the release, and the push is refused when it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from polyfact_dataset.common.files import digest, is_temporary
from polyfact_dataset.release.layout import is_data_file
from polyfact_dataset.release.reader import require_plain

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Action = Literal["add", "change", "keep", "delete", "foreign", "conflict"]
# Made by the Hub itself; never part of a release.
_OF_THE_HUB = (".gitattributes",)
_SHOWN = 10


@dataclass(frozen=True)
class Change:
    """One file of a push.

    `add`, `change` and `delete` are sent; `keep` is already equal; `foreign` is a file of others that is kept;
    `conflict` is a file of the release that others changed since the last version.
    """

    action: Action
    path: str
    size_bytes: int


@dataclass(frozen=True)
class RemoteFile:
    """A file in the repository: its identity on the Hub (SHA-256 of LFS content, or the id of the git blob)."""

    identity: str
    size_bytes: int
    lfs: bool


def tree(api: HfApi, repo: str, revision: str) -> dict[str, RemoteFile]:
    """Path -> file, of every file of a repository at a revision."""
    from huggingface_hub.hf_api import RepoFile

    entries = list(api.list_repo_tree(repo, repo_type="dataset", revision=revision, recursive=True))
    for entry in entries:
        require_plain(entry.path, repo)
    return {
        entry.path: RemoteFile(entry.lfs.sha256 if entry.lfs else entry.blob_id, entry.size, entry.lfs is not None)
        for entry in entries
        if isinstance(entry, RepoFile) and entry.path not in _OF_THE_HUB
    }


def local_files(folder: Path) -> dict[str, Path]:
    """Path in the release -> file."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not is_temporary(path)
    }


def same(path: Path, remote: RemoteFile) -> bool:
    """Whether a local file has the content of a remote one."""
    from huggingface_hub.utils.sha import git_hash

    return remote.identity == (digest(path) if remote.lfs else str(git_hash(path.read_bytes())))


def changes(
    folder: Path, main: Mapping[str, RemoteFile], base: Mapping[str, RemoteFile] | None, replace: bool
) -> list[Change]:
    """The change of every file in a push of `folder`, by path.

    `main` is the repository now, `base` as it was at the last version; None if there is none: then every file there
    counts as a file of others. With `replace`, files of others are deleted or overwritten.
    """
    before = base or {}
    listed: list[Change] = []
    local = local_files(folder)
    for name, path in local.items():
        remote, size = main.get(name), path.stat().st_size
        if remote is not None and same(path, remote):
            listed.append(Change("keep", name, size))
        elif replace or remote == before.get(name):
            listed.append(Change("add" if remote is None else "change", name, size))
        else:
            # Changed, added or deleted by others since the last version.
            listed.append(Change("conflict", name, size))
    for name, remote in main.items():
        if name not in local:
            is_pushed = before.get(name) == remote
            listed.append(Change("delete" if is_pushed or replace else "foreign", name, remote.size_bytes))
    return sorted(listed, key=lambda change: change.path)


def _names(changes: list[Change]) -> str:
    names = [change.path for change in changes]
    rest = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def _is_loaded(path: str) -> bool:
    """Whether a file could match the patterns of the card's configs."""
    return path.startswith("data/") and is_data_file(path)


def conflict(repo: str, listed: list[Change], has_base: bool, main: Mapping[str, RemoteFile]) -> str:
    """The reason why a push would overwrite changes of others, naming the files; empty if it would not."""
    others = [change for change in listed if change.path in main and change.action != "keep"]
    if not has_base and others:
        return (
            f"{repo} contains {len(others):,} files that this project did not push ({_names(others)}); "
            "choose another repository, or give --replace to delete and overwrite them"
        )
    if data := [change for change in others if change.action == "foreign" and _is_loaded(change.path)]:
        return (
            f"{repo}: {len(data):,} data files of others are there ({_names(data)}), which the release's configs could "
            "load; remove or rename them, or give --replace to delete them"
        )
    if changed := [change for change in listed if change.action == "conflict"]:
        return (
            f"{repo}: {len(changed):,} files of the release were changed there since the last version "
            f"({_names(changed)}); merge these changes, or give --replace to overwrite them"
        )
    return ""
