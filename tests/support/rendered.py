"""Documents that are rendered once for the releases of which they say the same."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from polyfact_dataset.release import documents
from polyfact_dataset.release.reader import read_release

# What no document is rendered from: the documents themselves.
_RENDERED = ("README.md", "DATASHEET.md", "LICENSE.md", "CITATION.cff", "explorer.html", "statistics.json")
_known: dict[tuple[str, str], Any] = {}


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the files that documents are rendered from, which is called once for equal ones."""

    def known(release: Any, *others: object) -> Any:
        folder = release if isinstance(release, Path) else release.folder
        digest = hashlib.sha256()
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _RENDERED):
            digest.update(f"{path.relative_to(folder)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
        key = function.__name__, digest.hexdigest()
        if key not in _known:
            _known[key] = function(release, *others)
        return copy.deepcopy(_known[key])

    return known


def describe(release: Path) -> None:
    """Renders the texts of a changed release; its figures show the content that it had."""
    for name, text in documents.texts(read_release(release), documents.statistics(release)).items():
        (release / name).write_text(text, encoding="utf-8")
