"""The version of a release and its change log, derived from the release that it was built on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.escaping import markdown
from polyfact_dataset.config.release import ReleaseConfig
from polyfact_dataset.release.diff import changelog, compare, next_version, require_no_leak, semantic
from polyfact_dataset.release.models import About
from polyfact_dataset.release.reader import read_about, read_manifest, source_of

FIRST = "1.0.0"
TITLE = "# Changes\n"


def entry(version: str, settings: ReleaseConfig, content: str, lines: list[str]) -> str:
    """One entry of a change log."""
    day = f" ({settings.published.isoformat()})" if settings.published else ""
    return "\n".join([f"## {version}{day}", "", *lines, f"- Content `{content[:16]}`.", ""])


def _earlier(changes: str) -> str:
    """The entries of a change log, without its title."""
    return changes.removeprefix(TITLE).strip("\n")


def _resolve(configured: str | None, needed: str, before: str, level: str) -> str:
    """The new version. Raises `ConfigError` when the configured one is too low for the changes."""
    if configured is None or configured == needed:
        return needed
    if level == "none":
        raise ConfigError(f"[release] version {configured}: nothing has changed since {before}; leave the version out")
    if semantic(configured) < semantic(needed):
        raise ConfigError(f"[release] version {configured}: a {level} change of {before} requires at least {needed}")
    return configured


def _changed_documents(before: Mapping[str, Any], settings: ReleaseConfig) -> list[str]:
    """The differences of the documents from those of the previous release, even if the data are equal."""
    was, now = before.get("release", {}), settings.model_dump(mode="json")
    names = {
        "contact": "contact",
        "questions_licence": "licence",
        "repository": "repository",
        "code": "link to the code",
    }
    changed = [shown for name, shown in names.items() if was.get(name, "") != now[name]]
    if settings.version and semantic(settings.version) > semantic(before["version"]):
        return changed or ["card and other texts"]
    return changed


def version_and_changes(folder: Path, previous: Path | None, settings: ReleaseConfig) -> tuple[dict[str, Any], str]:
    """The fields of `release.json` about the version, and the change log, for the data in `folder`.

    Raises `ConfigError` for a version too low for the changes, `DataError` when a held-out subject is in train.
    """
    manifest = read_manifest(folder)
    content, sizes = manifest["content"], manifest["sizes"]["parallel"]
    if previous is None:
        facts, codes = sum(sizes.values()), manifest["build"]["config"]["languages"]
        version = settings.version or FIRST
        lines = [f"- First release: {facts:,} facts in {len(codes)} languages."]
        about = {"version": version, "change": "first", "previous": None}
        return about, f"{TITLE}\n{entry(version, settings, content, lines)}"
    before = read_about(previous)
    diff = compare(previous, folder)
    require_no_leak(diff)
    documents = _changed_documents(before, settings)
    # Equal data with other documents are a new version, since a tag never changes.
    level = "patch" if diff.level == "none" and documents else diff.level
    needed = next_version(before["version"], level)
    version = _resolve(settings.version, needed, before["version"], level)
    earlier = _earlier((previous / "CHANGELOG.md").read_text(encoding="utf-8"))
    if level == "none":
        return {name: before[name] for name in ("version", "change", "previous")}, f"{TITLE}\n{earlier}\n"
    named = {name: before[name] for name in ("version", "content")}
    lines = [f"- Documents only: {', '.join(documents)}."] if diff.level == "none" else changelog(diff)
    latest = entry(version, settings, content, lines)
    return {"version": version, "change": level, "previous": named}, f"{TITLE}\n{latest}\n{earlier}\n"


def documents_patch(folder: Path, note: str) -> tuple[dict[str, Any], str]:
    """`release.json` and change log of a finished release whose documents change and whose data do not.

    `note` describes the change. Raises `ConfigError` for an empty note.
    """
    if not note.strip():
        raise ConfigError("--patch must describe the change of the documents")
    before = read_about(folder)
    version = next_version(before["version"], "patch")
    settings = ReleaseConfig.model_validate(before["release"])
    lines = [f"- Documents only: {markdown(note)}."]
    earlier = _earlier((folder / "CHANGELOG.md").read_text(encoding="utf-8"))
    named = {name: before[name] for name in ("version", "content")}
    latest = entry(version, settings, before["content"], lines)
    return {**before, "version": version, "change": "patch", "previous": named}, f"{TITLE}\n{latest}\n{earlier}\n"


def about(
    manifest: dict[str, Any], versioned: dict[str, Any], settings: ReleaseConfig, polyfact: str
) -> dict[str, Any]:
    """The whole of `release.json`. `release` is the section of the configuration that the card was rendered with."""
    described = {
        "name": "PolyFact",
        **versioned,
        "content": manifest["content"],
        "dump": manifest["build"]["dump"],
        "source": source_of(manifest),
        "dump_date": settings.dump_date.isoformat() if settings.dump_date else None,
        "polyfact": polyfact,
        "release": settings.model_dump(mode="json"),
    }
    About.model_validate(described)
    return described
