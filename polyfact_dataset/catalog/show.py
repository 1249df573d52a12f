"""Every wording of a language with rendered examples, for a native speaker to read.

    python -m polyfact_dataset.catalog.show fr

An example that is marked by `~` lacks a feature of its subject, such as the id by which a form is found, since no
example has the wording otherwise. `examples.tsv` holds subjects of every kind with their labels.
`tests/golden/wordings/` contains the output, so that a change of wording is reviewed as a diff.
"""

from __future__ import annotations

import argparse
import csv
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from polyfact_dataset.catalog.language import language
from polyfact_dataset.catalog.relation import all_relations, kind_chain
from polyfact_dataset.catalog.subject import Subject
from polyfact_dataset.catalog.wordings import SAFE, Wordings
from polyfact_dataset.common.errors import ConfigError

EXAMPLES = Path(__file__).parent / "examples.tsv"
PER_WORDING = 3


@cache
def _rows() -> tuple[dict[str, str], ...]:
    with EXAMPLES.open(encoding="utf-8", newline="") as handle:
        return tuple(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))


def examples(code: str) -> list[Subject]:
    """The example subjects with their labels in a language, or in English where the table lacks the language."""
    life = {"living": True, "dead": False}
    subjects = []
    for row in _rows():
        features: dict[str, Any] = {"kind": row["kind"], "sex": row["sex"] or None, "is_living": life.get(row["life"])}
        subjects.append(Subject(row.get(code) or row["en"], row["qid"] or None, **features))
    return subjects


# Features that are removed from the examples in turn until a wording fits: it may require an unknown feature.
_UNKNOWN: tuple[tuple[str, ...], ...] = ((), ("id",), ("sex",), ("is_living",), ("sex", "is_living"), ("kind",))


def examples_by_wording(wordings: Wordings, subjects: list[Subject]) -> dict[str, list[Subject]]:
    """Key -> the first examples that the wording asks about, of as many kinds as possible."""
    assumed = all_relations()[wordings.relation].subjects
    bare = [Subject(subject.label) for subject in subjects]
    if assumed is not None:
        subjects = [subject for subject in subjects if assumed in kind_chain(subject.kind)] or subjects
    fitting: dict[str, list[Subject]] = {key: [] for key in wordings.texts}
    fitting[SAFE] = [subject for subject in bare if wordings.choose(subject) == SAFE]
    for unknown in _UNKNOWN:
        without: dict[str, Any] = dict.fromkeys(unknown)
        lacking = {key for key, subjects in fitting.items() if len(subjects) < PER_WORDING and key != SAFE}
        if not lacking:
            break
        named = {key: {subject.label for subject in subjects} for key, subjects in fitting.items()}
        for subject in (replace(subject, **without) for subject in subjects):
            key = wordings.choose(subject)
            if key in lacking and subject.label not in named[key]:
                fitting[key].append(subject)
    return {key: _of_many_kinds(subjects) for key, subjects in fitting.items()}


def _of_many_kinds(subjects: list[Subject]) -> list[Subject]:
    """The first subject of each kind, then the others; `PER_WORDING` at most."""
    firsts = {subject.kind: subject for subject in reversed(subjects)}
    first = [subject for subject in subjects if subject in firsts.values()]
    return [*first, *(subject for subject in subjects if subject not in first)][:PER_WORDING]


@cache
def shown_examples(code: str) -> dict[str, dict[str, list[Subject]]]:
    """Relation -> key -> the examples that the wording asks about, in a language."""
    wordings, subjects = language(code).wordings, examples(code)
    return {relation: examples_by_wording(wordings[relation], subjects) for relation in all_relations()}


def lines(code: str) -> Iterator[str]:
    """The lines of the listing: a relation, its wordings with their conditions, and below each its examples."""
    entry, subjects = language(code), examples(code)
    for relation in all_relations():
        wordings = entry.wordings[relation]
        shown = shown_examples(code)[relation]
        assumed = all_relations()[relation].subjects
        usual = [subject for subject in subjects if assumed is None or assumed in kind_chain(subject.kind)]
        yield f"{relation} {all_relations()[relation].label}"
        for key, text in wordings.texts.items():
            yield f"  {key}: {text}"
            # `safe` is shown even where all examples have another wording.
            for subject in shown[key] or (usual[:2] if key == SAFE else ()):
                mark = " " if shown[key] and subject in subjects else "~"
                yield f"    {mark} {wordings.ask(subject, key=key).text}"


def main() -> int:
    """Prints the listing; exit code 2 where the language's file is missing or wrong."""
    parser = argparse.ArgumentParser(description="Print every wording of a language with rendered examples.")
    parser.add_argument("language", help="language code")
    try:
        print("\n".join(lines(parser.parse_args().language)))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as other commands end when a pager is left
    sys.exit(main())
