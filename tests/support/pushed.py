"""What a push leaves on a local Hub."""

from __future__ import annotations

from pathlib import Path

from tests.support.hub import Hub

REPO = "jvonrad/PolyFact"


def files_of(release: Path) -> dict[str, bytes]:
    """The files of a release folder."""
    return {p.relative_to(release).as_posix(): p.read_bytes() for p in release.rglob("*") if p.is_file()}


def on_hub(hub: Hub, revision: str = "main") -> dict[str, bytes]:
    """The files of the repository in a revision."""
    repo = hub.repos[REPO]
    commit = repo.commits[repo.resolve(revision)]
    return {path: data for path, (data, _) in commit.items() if path != ".gitattributes"}
