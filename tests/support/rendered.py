"""Documents that are rendered once for the releases of which they say the same."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from polyfact_dataset.release import documents, figures
from polyfact_dataset.release.reader import Release, read_release

# What no document is rendered from: the documents themselves.
_RENDERED = ("README.md", "DATASHEET.md", "LICENSE.md", "CITATION.cff", "explorer.html", "statistics.json")
_known: dict[tuple[str, str], Any] = {}


@contextmanager
def rendered_once() -> Iterator[None]:
    """In the block, this process renders documents once for equal releases."""
    with pytest.MonkeyPatch.context() as patch:
        for function in (documents.statistics, documents.texts):
            patch.setattr(documents, function.__name__, once(function))
        patch.setattr(documents, "croissant", once_for_equal(documents.croissant))
        patch.setattr(figures, "draw", once_for_equal(figures.draw))
        yield


def once_for_equal(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of values and of the tables of a release, which is called once for equal ones."""

    def plain(value: Any) -> Any:
        if isinstance(value, Release):
            configs = value.manifest["configs"]
            return [value.about, value.manifest, {name: str(value.schema(name)) for name in configs}]
        return str(value)

    return _called_once(function, lambda arguments: json.dumps(arguments, default=plain))


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the files that documents are rendered from, which is called once for equal ones."""

    def key_of(arguments: tuple[Any, ...]) -> str:
        folder = arguments[0] if isinstance(arguments[0], Path) else arguments[0].folder
        digest = hashlib.sha256()
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _RENDERED):
            digest.update(f"{path.relative_to(folder)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    return _called_once(function, key_of)


def _called_once(function: Callable[..., Any], key_of: Callable[[tuple[Any, ...]], str]) -> Callable[..., Any]:
    def known(*arguments: Any) -> Any:
        key = function.__name__, key_of(arguments)
        if key not in _known:
            _known[key] = function(*arguments)
        return copy.deepcopy(_known[key])

    return known


def describe(release: Path) -> None:
    """Renders the texts of a changed release; its figures show the content that it had."""
    for name, text in documents.texts(read_release(release), documents.statistics(release)).items():
        (release / name).write_text(text, encoding="utf-8")
