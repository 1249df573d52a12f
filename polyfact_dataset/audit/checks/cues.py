"""Audit: marks in which the options of one item differ, although the fact does not: capitals and class words.

A label is conspicuous that is the only one of four with a capital ("Film laga", not "drama"), a class word ("língua
sueca", not "francês") or a noun of the question ("samurai film" for the genre of a film). Labels are written as the
language file states (`catalog.spelling`); what is left is counted here. It gives answers away only where it goes with
the gold.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial

import numpy as np

from polyfact_dataset.audit.checks.shortcuts import entity_order
from polyfact_dataset.audit.checks.writing import words
from polyfact_dataset.audit.release import Bools, Floats, Items, Release
from polyfact_dataset.audit.result import Section, shown
from polyfact_dataset.audit.stats import Pool, corrected
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.config.audit import AuditConfig

# The summary in the report.
SUMMARY = (
    "Options of one item that differ in the case of their first letter or in a class word (film, language), and those "
    "that alone repeat a noun of the question. They are cues only where the one that differs is the gold more or less "
    "often than by chance."
)

_CHECKS = ("first_letter", "class_word", "noun_repeated")


def is_small(text: str) -> bool:
    """Whether the first letter of a text is small."""
    return next((char for char in text if char.isalpha()), "").islower()


def is_capital(text: str) -> bool:
    """Whether the first letter of a text is a capital."""
    return next((char for char in text if char.isalpha()), "").isupper()


def has_word(pattern: str, spaced: bool, text: str) -> bool:
    """Whether a text has a word of the normalised pattern (`*film`); without spaces, whether it contains it."""
    form = normalise(text)
    return any(fnmatchcase(word, pattern) for word in words(form)) if spaced else pattern in form


def _alone(has: Bools) -> Bools:
    """The one option with a mark, or the one without, as (items, 4); rows of other items are false."""
    number = has.sum(axis=1, keepdims=True)
    odd: Bools = (has & (number == 1)) | (~has & (number == 3))
    return odd


def _first_letters(items: Items) -> tuple[Bools, Bools]:
    """Items whose options begin partly small, partly with a capital, and the option that alone does."""
    small, capital = items.options.numbers(is_small) > 0, items.options.numbers(is_capital) > 0
    mixed: Bools = np.logical_and(small.any(axis=1), capital.any(axis=1))
    cased = (small | capital).all(axis=1, keepdims=True)
    return mixed, _alone(small) & cased


def _class_words(items: Items) -> tuple[Bools, Bools, Bools]:
    """Items whose options differ in a class word, the option that alone does, and the one that repeats a noun alone."""
    mixed: Bools = np.zeros(len(items), dtype=bool)
    odd, repeated = np.zeros((2, len(items), 4), dtype=bool)
    entry = language(items.code) if items.code in known() else None
    for pattern in map(normalise, entry.cues.class_words if entry else ()):
        judge = partial(has_word, pattern, entry is not None and entry.spaced)
        has, asked = items.options.numbers(judge) > 0, items.wordings.numbers(judge) > 0
        mixed |= has.any(axis=1) & ~has.all(axis=1)
        odd |= _alone(has)
        repeated |= has & (has.sum(axis=1) == 1)[:, None] & asked[:, None]
    return mixed, odd, repeated


def _find(section: Section, check: str, items: Items, ids: list[str], chosen: Bools) -> None:
    rows = np.flatnonzero(chosen).tolist()
    texts = [[shown(items.options.values[code], 40) for code in items.options.codes[row]] for row in rows]
    section.find(check, [ids[row] for row in rows], items.code, [" · ".join(options) for options in texts])


def audit(release: Release, config: AuditConfig) -> Section:
    """Counts cues among options; see the module."""
    section = Section("cues", "Cues among options", SUMMARY, config)
    aligned = all(items.entities is not None for items in release.items.values())
    pools = {check: Pool(len(release), aligned) for check in _CHECKS}
    rows = []
    for code, items in release.items.items():
        ids, order = release.array("fact_id")[items.rows].tolist(), entity_order(items)
        mixed_case, odd_case = _first_letters(items)
        mixed_words, odd_word, repeated = _class_words(items)
        repeats: Bools = np.logical_or.reduce(repeated, axis=1)
        marks = (mixed_case, odd_case), (mixed_words, odd_word), (repeats, repeated)
        for check, (mixed, odd) in zip(_CHECKS, marks):
            _find(section, check, items, ids, mixed)
            one = odd.any(axis=1)
            values: Floats = odd.astype(np.float64)
            pools[check].add(items.rows[one], values[one], items.gold[one], order[one])
        rows.append((code, len(items), *(int(mixed.sum()) for mixed, _ in marks)))
    section.grid("Items whose options differ", ("language", "items", *_CHECKS), rows)
    figures = {check: pool.figure(np.ones(len(release), dtype=bool)) for check, pool in pools.items()}
    tested = {check: figure for check, figure in figures.items() if figure.facts}
    section.gate(
        "cue_gold",
        corrected(min((figure.p for figure in tested.values()), default=1.0), len(tested)),
        "; ".join(f"{check}: {100 * at.accuracy:.1f} % of {at.facts} facts" for check, at in tested.items()),
    )
    section.grid(
        "The option that differs alone: how often it is the gold",
        ("check", "facts", "accuracy", "standard_error", "errors_from_expected"),
        [(check, at.facts, at.accuracy, at.error, at.distance) for check, at in tested.items()],
        percents=("accuracy", "standard_error"),
    )
    return section
