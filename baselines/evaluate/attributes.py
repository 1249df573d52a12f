"""The attributes of items by which results are split (strata), as the columns `results.ITEM`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from baselines.data import Attributes, Origin, load_attributes
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.common.text.scripts import covered, scripts_of

Row = tuple[str | None, int | None, list[str] | None, bool | None, int | None, int | None]


def script_match(label: str, code: str) -> bool:
    """Whether all letters of a subject's label are of a script of the language; true for a label without letters."""
    scripts = frozenset[str]().union(*(covered(script) for script in language(code).scripts))
    return scripts_of(label) <= scripts


@lru_cache(maxsize=2)
def _load(source: str, split: str, languages: tuple[str, ...], revision: str | None) -> dict[str, Attributes]:
    """Evaluations during training ask for the same split again and again."""
    return load_attributes(source, split, languages, revision)


class ItemAttributes:
    """Attributes by fact; a fact without any has None in all columns that come from the data."""

    def __init__(self, by_fact: Mapping[str, Attributes] | None = None) -> None:
        self._by_fact = by_fact or {}

    @staticmethod
    def of_release(origin: Origin, languages: Sequence[str]) -> ItemAttributes:
        """Those of the rows' split of their release."""
        return ItemAttributes(_load(origin.source, origin.split, tuple(languages), origin.revision))

    def row(self, fact_id: str, code: str, prompt: str | None, tokens: int | None) -> Row:
        """The columns `results.ITEM` of one item."""
        attributes = self._by_fact.get(fact_id)
        length = None if prompt is None else len(prompt.encode())
        if attributes is None:
            return None, None, None, None, length, tokens
        label = attributes.subject_labels.get(code)
        match = script_match(label, code) if label is not None and code in known() else None
        return attributes.domain, attributes.popularity, attributes.subject_articles, match, length, tokens


def append(columns: Mapping[str, list[Any]], row: Sequence[Any]) -> None:
    """Appends one row to lists of columns in the same order."""
    for column, value in zip(columns.values(), row, strict=True):
        column.append(value)
