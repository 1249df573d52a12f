"""Audit: whether any rule without knowledge of facts beats chance.

Every rule gives each option a score and takes the highest; ties share. Rules that see only the options, and trained
classifiers, must be at chance. Overlap rules compare options with the question. Some overlap is real knowledge
about names (Mexico City is in Mexico), so it is reported by relation and bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polyfact_dataset.audit import classifiers as trained
from polyfact_dataset.audit.release import Bools, Floats, Ints, Items, Release, relation_order
from polyfact_dataset.audit.result import Chart, Section, Series, accuracy_chart
from polyfact_dataset.audit.stats import (
    CHANCE,
    POWER,
    Figure,
    Pool,
    bound,
    corrected,
    earned,
    earned_left_out,
    figure,
    least_detectable,
    lower_bound,
    moments,
)
from polyfact_dataset.catalog.language import unspaced
from polyfact_dataset.common.text.ngrams import hashed_ngrams
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.release.audit_report import EVERY, Floor
from polyfact_dataset.schema import SPLITS

# The summary in the report.
SUMMARY = (
    "Every rule gives each option a score and takes the highest; ties share. Rules and classifiers that see only the "
    "options must be at chance. Overlap rules compare options with the question: some overlap is real knowledge about "
    "names (Mexico City is in Mexico), so it is reported by relation and bounded."
)

RULES = {
    "most_frequent": "the option most often a gold in train; inside train the item itself is left out",
    "least_frequent": "the option least often a gold in train; inside train the item itself is left out",
    "relation_majority": "the option most often a gold of the relation in train; inside train the item is left out",
    "longest": "the option of most characters",
    "shortest": "the option of fewest characters",
    "first_in_alphabet": "the option that sorts first, by code point after normalisation",
    "last_in_alphabet": "the option that sorts last",
    "position": "the position that most often holds the gold in train",
    "most_alike": "the option that shares most character n-grams with the other three",
    "choices_classifier": "logistic regression on hashed features of the options, trained on train",
    "question_classifier": "naive Bayes from the wording to the relation, and the relation's answers in train",
    "ngram_overlap": "the option of which most character n-grams are in the question",
    "closest_to_subject": "the option nearest to the subject's name in edit distance",
    "wording_classifier": "logistic regression on the wording's words with the options' beginnings and endings",
}
OVERLAP = ("ngram_overlap", "closest_to_subject", "wording_classifier")
# A relation's overlap exceeds its bound by a binomial test at this level, over all relations.
_OVERLAP_LEVEL = 0.01


@dataclass(frozen=True)
class RuleFigure:
    """One rule in one split and language; `all` is the pooled value."""

    rule: str
    split: str
    language: str
    figure: Figure

    def floor(self) -> Floor:
        """The figure as a row of the report."""
        sees: Literal["options", "question"] = "question" if self.rule in OVERLAP else "options"
        return Floor(
            rule=self.rule,
            takes=RULES[self.rule],
            sees=sees,
            split=self.split,
            language=self.language,
            **self.figure.as_row(),
        )


def gram_size(code: str) -> int:
    """Characters of an n-gram: 3, but 2 where words are written without spaces."""
    return 2 if unspaced(code) else 3


def _grams(text: str, size: int) -> list[str]:
    return sorted({text[start : start + size] for start in range(len(text) - size + 1)})


def question_overlap(items: Items) -> Floats:
    """The share of each option's character n-grams that are in the question, (items, 4)."""
    size = gram_size(items.code)
    grams = [_grams(text, size) for text in items.offered]
    shares = np.zeros((len(items), 4))
    for row, (question, options) in enumerate(zip(items.questions.codes.tolist(), items.options.codes.tolist())):
        asked = items.asked[question]
        for slot, option in enumerate(options):
            option_grams = grams[option]
            if option_grams:
                # A list: a generator takes longer, and this runs for every n-gram of the release.
                shares[row, slot] = sum([gram in asked for gram in option_grams]) / len(option_grams)
    return shares


def likeness(items: Items) -> Floats:
    """The share of each option's character n-grams that the other three have, (items, 4)."""
    size = gram_size(items.code)
    grams = hashed_ngrams(items.offered, (size, size), 1 << 20, "char")
    columns = [grams[items.options.codes[:, slot]] for slot in range(4)]
    alike = np.zeros((len(items), 4))
    for one in range(4):
        for other in range(one):
            common = np.asarray(columns[one].multiply(columns[other]).sum(axis=1), dtype=np.float64).ravel()
            alike[:, one] += common
            alike[:, other] += common
    width: Floats = np.maximum(np.asarray(grams.sum(axis=1), dtype=np.float64).ravel(), 1)[items.options.codes]
    return alike / width


def _distance_to_subject(items: Items) -> Floats | None:
    """Similarity of each option to the subject's label, 0 to 1; None without labels."""
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cpdist

    if items.subjects is None:
        return None
    values, named = items.offered, [items.named[code] for code in items.subjects.codes.tolist()]
    columns = [
        cpdist(
            [values[code] for code in items.options.codes[:, slot].tolist()],
            named,
            scorer=Levenshtein.normalized_similarity,
        )
        for slot in range(4)
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _frequencies(items: Items, release: Release, train: Bools, relations: bool) -> Floats:
    """How often each option is a gold in train: of any relation, or of the item's relation."""
    choices, gold = items.choices, items.gold
    names = release.column("property_id")
    code = {name: number for number, name in enumerate(dict.fromkeys(names))}
    relation = (
        np.array([code[name] for name in names], dtype=np.int64)[items.rows]
        if relations
        else np.zeros(len(items), dtype=np.int64)
    )
    keys = choices.codes + relation[:, None] * len(choices.values)
    counts = np.bincount(keys[np.arange(len(items)), gold][train], minlength=len(choices.values) * len(code))
    result: Floats = counts[keys].astype(np.float64)
    return result


def rules_of(items: Items, release: Release, splits: Any, config: AuditConfig) -> Iterator[tuple[str, Floats, Bools]]:
    """Each applicable rule: name, its score for each possible gold, and the items on which it is scored."""
    train, everywhere = splits == "train", np.ones(len(items), dtype=bool)
    for name, sign, same_relation in (
        ("most_frequent", 1, False),
        ("least_frequent", -1, False),
        ("relation_majority", 1, True),
    ):
        yield name, earned_left_out(_frequencies(items, release, train, same_relation), train, sign), everywhere
    positions = np.tile(np.bincount(items.gold[train], minlength=4).astype(np.float64), (len(items), 1))
    # The best of four positions is above chance on the items where it was chosen, so it is scored on held-out items.
    yield "position", earned(positions), ~train
    lengths = items.options.numbers(len)
    order = {text: rank for rank, text in enumerate(sorted(set(items.offered)))}
    alphabet = np.array([order[text] for text in items.offered], dtype=np.float64)[items.options.codes]
    scores = {
        "longest": lengths,
        "shortest": -lengths,
        "first_in_alphabet": -alphabet,
        "last_in_alphabet": alphabet,
        "most_alike": likeness(items),
        "ngram_overlap": question_overlap(items),
        "closest_to_subject": _distance_to_subject(items),
    }
    for name, values in scores.items():
        if values is not None:
            yield name, earned(values), everywhere
    for name, values in trained.scores(items, release, train, config):
        yield name, earned(values), ~train


def entity_order(items: Items) -> Ints:
    """Sorts each item's options by entity, so that a fact's options align across languages."""
    rank = np.argsort(np.argsort(np.array(items.choices.values, dtype=object)))
    order: Ints = np.argsort(rank[items.choices.codes], axis=1, kind="stable")
    return order


def cells(release: Release, config: AuditConfig) -> tuple[list[RuleFigure], dict[str, Pool]]:
    """Every rule in every split and language, and its pool over languages."""
    figures: list[RuleFigure] = []
    aligned = all(items.entities is not None for items in release.items.values())
    pools: dict[str, Pool] = {}
    for code, items in release.items.items():
        splits = release.array("split")[items.rows]
        order = entity_order(items)
        for rule, matrix, scored in rules_of(items, release, splits, config):
            pool = pools.setdefault(rule, Pool(len(release), aligned))
            pool.add(items.rows[scored], matrix[scored], items.gold[scored], order[scored])
            gained = matrix[np.arange(len(items)), items.gold]
            expected, variance = moments(matrix)
            for split in release.splits:
                keep = scored & (splits == split)
                if keep.any():
                    figures.append(RuleFigure(rule, split, code, figure(gained[keep], expected[keep], variance[keep])))
    return figures, pools


def _pooled(release: Release, pools: dict[str, Pool]) -> list[RuleFigure]:
    """Every rule over all languages: in each split, and over all of them."""
    splits = release.array("split")
    result = []
    for rule, pool in pools.items():
        for split in (*release.splits, "all"):
            whole = pool.figure(np.ones(len(release), dtype=bool) if split == "all" else splits == split)
            if whole.facts:
                result.append(RuleFigure(rule, split, "all", whole))
    return result


def _row(cell: RuleFigure) -> tuple[Any, ...]:
    at = cell.figure
    return (cell.rule, cell.split, cell.language, at.facts, at.accuracy, at.expected, at.error, at.distance)


_PERCENTS = ("accuracy", "expected", "standard_error")
_COLUMNS = ("rule", "split", "language", "facts", "accuracy", "expected", "standard_error", "errors_from_expected")


def audit(release: Release, config: AuditConfig) -> Section:
    """Measures all rules; see the module."""
    section = Section("shortcuts", "Shortcuts", SUMMARY, config)
    single, pools = cells(release, config)
    pooled = _pooled(release, pools)
    blind = [cell for cell in pooled if cell.rule not in OVERLAP]
    whole = [cell for cell in blind if cell.split == "all"]
    tested = [cell for cell in (*single, *blind) if cell.rule not in OVERLAP and cell.split != "all"]
    worst = max(whole, key=lambda cell: abs(cell.figure.distance))
    section.gate("shortcut_pooled", abs(worst.figure.distance), _described(worst))
    rarest = min(tested, key=lambda cell: cell.figure.p)
    level = config.gates["shortcut_cells"].limit
    section.gate(
        "shortcut_cells",
        corrected(rarest.figure.p, len(tested)),
        f"{_described(rarest)}; {len(tested)} cells, so {bound(len(tested), level or 1e-12):.1f} errors are the bound",
    )
    _overlap(section, release, pools)
    _power(section, whole, tested, bound(len(tested), level or 1e-12))
    section.grid(
        "Rules over all languages",
        ("rule", "what it takes", *_COLUMNS[1:2], *_COLUMNS[3:]),
        [(cell.rule, RULES[cell.rule], cell.split, *_row(cell)[3:]) for cell in pooled],
        note=_note(pooled),
        percents=_PERCENTS,
    )
    section.grid("Rules in each language", _COLUMNS, [_row(cell) for cell in single], percents=_PERCENTS, long=True)
    section.floors += [cell.floor() for cell in (*pooled, *single)]
    section.charts += [_accuracies(pooled), _distances(single)]
    return section


def _accuracies(pooled: Sequence[RuleFigure]) -> Chart:
    """Accuracy of every rule by split."""
    at = {(cell.rule, cell.split): cell.figure for cell in pooled if cell.split != EVERY}
    rules, splits = (tuple(dict.fromkeys(key[part] for key in at)) for part in (0, 1))
    series = []
    for split in splits:
        figures = [at.get((rule, split)) for rule in rules]
        series.append(
            Series(
                split,
                tuple(None if figure is None else 100 * figure.accuracy for figure in figures),
                tuple(0.0 if figure is None else 300 * figure.error for figure in figures),
                tuple(100 * CHANCE if figure is None else 100 * figure.expected for figure in figures),
            )
        )
    return accuracy_chart(
        "Accuracy of rules that know no fact",
        rules,
        series,
        "A tick marks what exchangeable options give where that is not 25 %: inside train, where the item itself is "
        "left out of the counts.",
    )


def _distances(single: Sequence[RuleFigure]) -> Chart:
    """Standard errors from expectation of every rule and language on the last split."""
    split = max((cell.split for cell in single), key=SPLITS.index, default="")
    at = {(cell.rule, cell.language): cell.figure.distance for cell in single if cell.split == split}
    rules, codes = (tuple(dict.fromkeys(key[part] for key in at)) for part in (0, 1))
    return Chart(
        "Distance by rule and language",
        "bubbles",
        tuple(rule.replace("_", " ") for rule in rules),
        tuple(Series(code, tuple(at.get((rule, code)) for rule in rules)) for code in codes),
        f"standard errors from expectation, {split}",
    )


def _described(cell: RuleFigure) -> str:
    at = cell.figure
    where = f"{cell.split}, {'all languages' if cell.language == 'all' else cell.language}"
    shares = f"{100 * at.accuracy:.2f} %, expected {100 * at.expected:.2f}"
    return f"{cell.rule} in {where}: {shares}, {at.distance:+.1f} errors"


def _note(pooled: list[RuleFigure]) -> str:
    beyond = [_described(cell) for cell in pooled if abs(cell.figure.distance) > 3]
    return f"Further than three errors: {'; '.join(beyond)}." if beyond else "None is further than three errors."


def _power(section: Section, whole: Sequence[RuleFigure], tested: Sequence[RuleFigure], errors: float) -> None:
    """The smallest accuracy that each gate finds: by rule over all facts, and in the smallest cell of each split."""
    rows = [("shortcut_pooled", cell.rule, cell.figure, 3.0) for cell in whole]
    for split in dict.fromkeys(cell.split for cell in tested):
        widest = max((cell for cell in tested if cell.split == split), key=lambda cell: cell.figure.error)
        rows.append(("shortcut_cells", f"{widest.rule}, {split}, {widest.language}", widest.figure, errors))
    section.grid(
        "Power",
        ("gate", "rule", "facts", "standard error", "found from"),
        [(gate, rule, at.facts, at.error, least_detectable(at.error, distance)) for gate, rule, at, distance in rows],
        note=f"The gate finds an accuracy from `found from` on with probability {POWER:g}.",
        percents=("standard error", "found from"),
    )


def _overlap(section: Section, release: Release, pools: dict[str, Pool]) -> None:
    """Bounds the rules that compare options with the question, in PolyFact-Clean: over all relations and in each."""
    clean = release.clean
    considered = np.ones(len(release), dtype=np.bool_) if clean is None else clean
    relations = release.array("property_id")
    rows: list[tuple[Any, ...]] = []
    for rule in (rule for rule in OVERLAP if rule in pools):
        for relation in ("all", *sorted(set(relations.tolist()), key=relation_order)):
            at = pools[rule].figure(considered if relation == "all" else considered & (relations == relation))
            if at.facts:
                rows.append((rule, relation, at.facts, at.accuracy, at.error, at.distance))
    whole = [row for row in rows if row[1] == "all"]
    top = max(whole, key=lambda row: row[3], default=None)
    section.gate("overlap_pooled", top[3] if top else None, _overlap_shown(top) if top else "")
    # A relation breaks the gate only where chance does not explain the overlap, over all relations and rules.
    single = [row for row in rows if row[1] != "all"]
    least = {row: lower_bound(row[3], row[2], _OVERLAP_LEVEL / len(single)) for row in single}
    most = max(single, key=least.__getitem__, default=None)
    section.gate("overlap_relation", least[most] if most else None, _overlap_shown(most) if most else "")
    beyond = [f"{row[1]} {100 * row[3]:.0f} % ({row[0]})" for row in single if row[5] > 3]
    section.grid(
        "Overlap with the question in PolyFact-Clean, by relation",
        ("rule", "relation", "facts", "accuracy", "standard_error", "errors_from_expected"),
        rows,
        percents=_PERCENTS,
        note=(
            f"Above chance by more than three errors: {'; '.join(beyond)}"
            if beyond
            else f"No relation is above {100 * CHANCE:.0f} % by more than three errors."
        ),
    )


def _overlap_shown(row: tuple[Any, ...]) -> str:
    return f"{row[0]} in {'all relations' if row[1] == 'all' else row[1]}: {100 * row[3]:.1f} % of {row[2]:,} facts"
