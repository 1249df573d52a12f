"""Every wording of a language with rendered examples, for a native speaker to read.

    python -m polyfact_dataset.catalog.show fr

`examples.tsv` holds subjects of every kind with their labels. `tests/golden/wordings/` holds what this prints, so that
a change of wording is reviewed as a diff.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.catalog.relation import all_relations, kind_chain
from polyfact_dataset.catalog.subject import Subject
from polyfact_dataset.catalog.wordings import SAFE, Wordings

EXAMPLES = Path(__file__).parent / "examples.tsv"
PER_WORDING = 3


@cache
def _rows() -> tuple[dict[str, str], ...]:
    with EXAMPLES.open(encoding="utf-8", newline="") as handle:
        return tuple(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))


def examples(code: str) -> list[Subject]:
    """The example subjects as a language names them; in English where the table lacks the language."""
    life = {"living": True, "dead": False}
    subjects = []
    for row in _rows():
        features: dict[str, Any] = {"kind": row["kind"], "sex": row["sex"] or None, "is_living": life.get(row["life"])}
        subjects.append(Subject(row.get(code) or row["en"], row["qid"] or None, **features))
    return subjects


# Features that the examples lose in turn, until a wording fits: its condition may be that something is not known.
_UNKNOWN: tuple[tuple[str, ...], ...] = ((), ("id",), ("sex",), ("is_living",), ("sex", "is_living"), ("kind",))


def examples_of(wordings: Wordings, key: str, subjects: list[Subject]) -> list[Subject]:
    """The first examples that a wording asks about, of as many kinds as possible."""
    assumed = all_relations()[wordings.relation].subjects
    if key == SAFE:
        subjects = [Subject(subject.label) for subject in subjects]
    elif assumed is not None:
        subjects = [subject for subject in subjects if assumed in kind_chain(subject.kind)] or subjects
    fitting: list[Subject] = []
    for unknown in _UNKNOWN:
        without: dict[str, Any] = dict.fromkeys(unknown)
        several = [replace(subject, **without) for subject in subjects]
        named = {subject.label for subject in fitting}
        fitting += [s for s in several if s.label not in named and wordings.choose(s) == key]
        if len(fitting) >= PER_WORDING:
            break
    firsts = {subject.kind: subject for subject in reversed(fitting)}
    first = [subject for subject in fitting if subject in firsts.values()]
    return [*first, *(subject for subject in fitting if subject not in first)][:PER_WORDING]


def lines(code: str) -> Iterator[str]:
    """The lines of the listing: a relation, its wordings with their conditions, and below each its examples."""
    entry, subjects = language(code), examples(code)
    for relation in all_relations():
        wordings = entry.wordings[relation]
        yield f"{relation} {all_relations()[relation].label}"
        for key, text in wordings.texts.items():
            yield f"  {key}: {text}"
            if key == SAFE and all_relations()[relation].subjects in wordings.texts:
                continue  # a wording for the kind that all subjects of the relation have takes its place
            for subject in examples_of(wordings, key, subjects):
                yield f"      {entry.ask(relation, subject).text}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Print every wording of a language with rendered examples.")
    parser.add_argument("language", choices=known(), help="language code")
    print("\n".join(lines(parser.parse_args().language)))


if __name__ == "__main__":
    main()
