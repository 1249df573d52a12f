"""What a release holds: the digests of its data files. Reports and cards beside them do not count."""

from __future__ import annotations

from pathlib import Path

from polyfact_dataset.common.files import digest, digest_json

# Folders of a release that speak about its data.
_ABOUT = ("audit", "splits.parquet")


def data_files(folder: Path) -> dict[str, str]:
    """Path in the release -> SHA-256, of every Parquet file that is data."""
    return {
        name: digest(path)
        for path in sorted(folder.rglob("*.parquet"))
        if (name := path.relative_to(folder).as_posix()).partition("/")[0] not in _ABOUT
    }


def content_of(files: dict[str, str]) -> str:
    """The digest that names the content of a release."""
    return digest_json(files)
