"""Audit: whether a fact is the same in every language.

A fact has the same four entities in every language. No question has another language's letters (ignoring case, spaces
and punctuation) or most of its words. None is much longer or shorter against English than usual, which would mean that
text was added or cut. The usual ratio is the median of the facts with the same English wording, else of the relation.
Relations with fewer than five facts have no usual ratio.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import combinations

import numpy as np

from polyfact_dataset.audit.release import Coded, Floats, Items, Release
from polyfact_dataset.audit.result import Chart, Section, Series, shown
from polyfact_dataset.audit.wording import bare
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.config.audit import AuditConfig

# The summary in the report.
SUMMARY = (
    "A fact has the same four entities in every language. No question repeats another language's letters (ignoring "
    "case, spaces and punctuation) or most of its words. Its length against English is near the usual ratio: the "
    "median of the facts with the same English wording, else of the relation. Relations with fewer than five facts "
    "have no usual ratio."
)

# Minimum number of facts of a group with a usual length.
_USUAL_FACTS = 5
# Shorter wordings are not compared, since they share words by chance.
_FEWEST_WORDS = 3
_WORD = re.compile(r"[^\W\d_]+")


def _entities(release: Release, section: Section) -> None:
    """Facts whose options are other entities in some language than in the first language that has them."""
    first: dict[int, tuple[str, tuple[str, ...]]] = {}
    ids = release.column("fact_id")
    for items in release.items.values():
        if items.entities is None:
            continue
        names = items.entities.values
        for row, codes in zip(items.rows.tolist(), items.entities.codes.tolist()):
            options = tuple(sorted(names[code] for code in codes))
            code, other = first.setdefault(row, (items.code, options))
            if other != options:
                detail = f"{' '.join(options)}, but {' '.join(other)} in {code}"
                section.find("same_entities", [ids[row]], items.code, [detail])


def _copied(release: Release, section: Section) -> None:
    """Questions that have the letters of an earlier language's, or share most of their words with it."""
    first: dict[tuple[int, str], str] = {}
    ids = release.column("fact_id")
    repeated: set[tuple[int, str]] = set()
    for items in release.items.values():
        forms = [bare(text) for text in items.asked]
        for row, question in zip(items.rows.tolist(), items.questions.codes.tolist()):
            code = first.setdefault((row, forms[question]), items.code)
            if code != items.code:
                repeated.add((row, items.code))
                text = shown(items.questions.values[question])
                section.find("own_wording", [ids[row]], items.code, [f"{text!r} is the question in {code} too"])
    for row, code, detail in _alike(release, section.config):
        if (row, code) not in repeated:
            repeated.add((row, code))
            section.find("own_wording", [ids[row]], code, [detail])


def word_sets(items: Items) -> list[frozenset[str]]:
    """The words of each distinct wording, normalised."""
    return [frozenset(_WORD.findall(normalise(text))) for text in items.wordings.values]


def _alike(release: Release, config: AuditConfig) -> Iterator[tuple[int, str, str]]:
    """(fact, language, what) of wordings that share most of their words with another language's, in one script."""
    spaced = [items for code, items in release.items.items() if code in known() and language(code).spaced]
    words = {items.code: word_sets(items) for items in spaced}
    row_of = {items.code: np.full(len(release), -1, dtype=np.int64) for items in spaced}
    for items in spaced:
        row_of[items.code][items.rows[items.verbatim]] = items.wordings.codes[items.verbatim]
    for one, two in combinations(spaced, 2):
        if not {*language(one.code).scripts} & {*language(two.code).scripts}:
            continue
        limit = config.shared_words_english if one.code == "en" else config.shared_words
        both = np.flatnonzero((row_of[one.code] >= 0) & (row_of[two.code] >= 0))
        pairs = np.stack([row_of[one.code][both], row_of[two.code][both]], axis=1)
        for code_one, code_two in np.unique(pairs, axis=0).tolist():
            words_one, words_two = words[one.code][code_one], words[two.code][code_two]
            least = min(len(words_one), len(words_two))
            if least < _FEWEST_WORDS or len(words_one & words_two) < limit * least:
                continue
            texts = [shown(items.wordings.values[code]) for items, code in ((two, code_two), (one, code_one))]
            detail = f"{texts[0]!r} has the words of {texts[1]!r} in {one.code}"
            for row in both[(pairs == (code_one, code_two)).all(axis=1)].tolist():
                yield row, two.code, detail


def usual(ratios: Floats, *groups: Sequence[Hashable]) -> Floats:
    """The usual value of each ratio: the median of the first of its groups that is large enough, else NaN.

    Each of `groups` names a group for every ratio, the finest first.
    """
    result = np.full(len(ratios), np.nan)
    for names in reversed(groups):
        rows_of: dict[Hashable, list[int]] = defaultdict(list)
        for row, name in enumerate(names):
            rows_of[name].append(row)
        for rows in rows_of.values():
            if len(rows) >= _USUAL_FACTS:
                result[rows] = np.median(ratios[rows])
    return result


def _lengths(asked: Coded) -> Floats:
    return np.maximum(asked.numbers(len), 1.0)


def _band(release: Release, section: Section, factor: float) -> tuple[int, int]:
    """Questions outside their usual length against English; returns their number and that of all compared."""
    english = release.items.get("en")
    if english is None:
        return 0, 0
    asked = english.wordings
    by_row, wording_of = np.zeros(len(release)), np.zeros(len(release), dtype=np.int64)
    by_row[english.rows], wording_of[english.rows] = _lengths(asked), asked.codes
    key_of = np.full(len(release), "", dtype=object)
    key_of[english.rows] = english.templates
    ids, relations = release.array("fact_id"), release.array("property_id")
    outside = compared = 0
    rows: list[tuple[str, float, float, float, int]] = []
    for items in (items for items in release.items.values() if items.code != "en"):
        both = by_row[items.rows] > 0
        lengths = _lengths(items.wordings)[both]
        places = items.rows[both]
        ratios = np.log(lengths / by_row[places])
        # A subject may have a form, and so a shorter wording, in only one of the two languages.
        keys = [(key_of[fact], key) for fact, key in zip(places, np.array(items.templates, dtype=object)[both])]
        expected = usual(ratios, keys, wording_of[places].tolist(), relations[places].tolist())
        far = np.abs(ratios - expected) > np.log(factor)
        texts = items.questions
        for fact, row in zip(np.flatnonzero(both)[far], np.flatnonzero(far)):
            times, text = np.exp(ratios[row] - expected[row]), texts.values[texts.codes[fact]]
            detail = f"{times:.2f} times its usual length: {shown(text)!r}"
            section.find("length_band", [ids[places[row]]], items.code, [detail])
        outside, compared = outside + int(far.sum()), compared + int(np.isfinite(expected).sum())
        if len(far):
            low, middle, high = np.exp(np.percentile(ratios, (1, 50, 99)))
            rows.append((items.code, float(low), float(middle), float(high), int(far.sum())))
    section.grid(
        "Length of the wording against English",
        ("language", "1st percentile", "median", "99th percentile", "outside the band"),
        rows,
        note=f"The band is {factor:g} times the usual ratio, either way.",
    )
    section.charts.append(
        Chart(
            "Length of the wording against English",
            "ranges",
            tuple(row[0] for row in rows),
            (
                Series("low", tuple(row[1] for row in rows)),
                Series("median", tuple(row[2] for row in rows)),
                Series("high", tuple(row[3] for row in rows)),
            ),
            "times the English wording: median, 1st to 99th percentile",
            span=(0, None),
        )
    )
    return outside, compared


def audit(release: Release, config: AuditConfig) -> Section:
    """Measures parallelism; see the module."""
    section = Section("parallelism", "Parallelism", SUMMARY, config)
    _entities(release, section)
    lacking = [code for code, items in release.items.items() if items.entities is None]
    if lacking:
        section.gate("same_entities", len(release), f"no option_ids in {', '.join(lacking)}: it cannot be shown")
    else:
        section.gate_count("same_entities")
    _copied(release, section)
    section.gate_count("own_wording")
    outside, compared = _band(release, section, config.length_factor)
    section.gate(
        "length_band",
        outside / compared if compared else None,
        f"{outside} of {compared} questions" if compared else "there is no English to compare with",
    )
    return section
