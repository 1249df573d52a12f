"""The work of `polyfact diff`."""

from __future__ import annotations

from pathlib import Path

from polyfact_dataset.cli import tables
from polyfact_dataset.common.files import write_text
from polyfact_dataset.config.release import ReleaseConfig
from polyfact_dataset.release.diff import changelog, compare, next_version, require_no_leak
from polyfact_dataset.release.reader import locate, read_about, read_manifest
from polyfact_dataset.release.versions import entry


def diff(old: str, new: str, changes_file: Path | None, as_json: bool) -> None:
    """Prints what changed between two releases, folders or on the Hub, and writes the entry for the change log.

    Raises `DataError` when a held-out subject is in train.
    """
    before, after = locate(old), locate(new)
    difference = compare(before, after)
    versions = read_about(before)["version"], read_about(after)["version"]
    needed = next_version(versions[0], difference.level)
    if as_json:
        print(difference.as_json())
    else:
        tables.diff(difference, versions, needed)
    if changes_file is not None:
        settings = ReleaseConfig.model_validate(read_about(after)["release"])
        write_text(changes_file, entry(needed, settings, read_manifest(after)["content"], changelog(difference)))
    require_no_leak(difference)
