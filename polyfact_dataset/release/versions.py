"""The version of a release and its change log: what follows from the release that it was built on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.config.build import ReleaseConfig
from polyfact_dataset.release.diff import changelog, compare, next_version, parts, require_no_leak
from polyfact_dataset.release.reader import read_about, read_manifest

FIRST = "1.0.0"
TITLE = "# Changes\n"


def entry(version: str, settings: ReleaseConfig, content: str, lines: list[str]) -> str:
    """One entry of a change log."""
    day = f" ({settings.published.isoformat()})" if settings.published else ""
    return "\n".join([f"## {version}{day}", "", *lines, f"- Content `{content[:16]}`.", ""])


def _earlier(changes: str) -> str:
    """The entries of a change log, without its title."""
    return changes.removeprefix(TITLE).strip("\n")


def _settle(wanted: str | None, needed: str, before: str, level: str) -> str:
    """The version to take. Raises `ConfigError` when the one wanted is too low for the changes."""
    if wanted is None or wanted == needed:
        return needed
    if level == "none":
        raise ConfigError(f"[release] version {wanted}: nothing has changed since {before}; leave the version out")
    if parts(wanted) < parts(needed):
        raise ConfigError(f"[release] version {wanted}: a {level} change of {before} makes at least {needed}")
    return wanted


def version_and_changes(folder: Path, previous: Path | None, settings: ReleaseConfig) -> tuple[dict[str, Any], str]:
    """What `release.json` says of the version, and the change log, for the data in `folder`.

    Raises `ConfigError` for a version too low for the changes, `DataError` when a held-out subject stands in train.
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
    needed = next_version(before["version"], diff.level)
    version = _settle(settings.version, needed, before["version"], diff.level)
    earlier = _earlier((previous / "CHANGELOG.md").read_text(encoding="utf-8"))
    if diff.level == "none":
        return {name: before[name] for name in ("version", "change", "previous")}, f"{TITLE}\n{earlier}\n"
    named = {name: before[name] for name in ("version", "content")}
    own = entry(version, settings, content, changelog(diff))
    return {"version": version, "change": diff.level, "previous": named}, f"{TITLE}\n{own}\n{earlier}\n"


def about(
    manifest: dict[str, Any], versioned: dict[str, Any], settings: ReleaseConfig, polyfact: str
) -> dict[str, Any]:
    """The whole of `release.json`. `release` is the section of the configuration that the card was rendered with."""
    return {
        "name": "PolyFact",
        **versioned,
        "content": manifest["content"],
        "dump": manifest["build"]["dump"],
        "dump_date": settings.dump_date.isoformat() if settings.dump_date else None,
        "polyfact": polyfact,
        "release": settings.model_dump(mode="json"),
    }
