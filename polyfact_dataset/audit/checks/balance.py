"""Audit: whether splits are disjoint, and options exchangeable by count.

No subject is in two splits. Within a stratum (as drawn, or relation and split where it is unknown) no answer has
more than a quarter, and every entity is an option four times as often as it is the gold.
The gold's position is uniform in every language and split.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from polyfact_dataset.audit.release import Bools, Items, Release, relation_order
from polyfact_dataset.audit.result import Chart, Section, Series
from polyfact_dataset.audit.stats import corrected, uniform_p
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.schema import SPLITS

# The summary in the report.
SUMMARY = (
    "No subject is in two splits. Within a stratum (the facts among whose golds the distractors were drawn; relation "
    "and split where that is unknown) no answer holds more than a quarter, and every entity is an option four times "
    "as often as it is the gold. The gold's position is uniform in every language and split."
)


def _subjects(release: Release, section: Section) -> None:
    """Facts whose subject is in more than one split."""
    splits: dict[str, set[str]] = defaultdict(set)
    pairs = list(zip(release.column("subject_id"), release.column("split"), release.column("fact_id")))
    for subject, split, _ in pairs:
        splits[subject].add(split)
    for subject, split, fact in pairs:
        if len(splits[subject]) > 1:
            detail = f"{subject} is in {', '.join(sorted(splits[subject]))}; this fact in {split}"
            section.find("split_subjects", [fact], "", [detail])


def _relations(release: Release, section: Section) -> None:
    """The shares of the relations in the facts of each split."""
    counts = Counter(zip(release.column("property_id"), release.column("split")))
    totals = Counter(release.column("split"))
    names = sorted(set(release.column("property_id")), key=relation_order)
    rows = [
        (
            name,
            *(counts[name, split] for split in release.splits),
            *(counts[name, split] / totals[split] for split in release.splits),
        )
        for name in names
    ]
    columns = (
        "relation",
        *(f"facts {split}" for split in release.splits),
        *(f"share {split}" for split in release.splits),
    )
    section.grid("Relations", columns, rows, percents=columns)
    section.charts.append(
        Chart(
            "Relations",
            "points",
            tuple(names),
            tuple(
                Series(split, tuple(100 * counts[name, split] / totals[split] for name in names))
                for split in release.splits
            ),
            "% of the split's facts",
            span=(0, None),
        )
    )


def _empty_splits(release: Release, section: Section) -> None:
    """Relations that lack facts in some split. A relation only in train is not evaluated and does not count."""
    counts = Counter(zip(release.column("property_id"), release.column("split")))
    facts_of, relations = release.column("fact_id"), release.column("property_id")
    for relation in sorted(set(relations), key=relation_order):
        sizes = {split: counts[relation, split] for split in SPLITS}
        held_out = sizes["validation"] + sizes["test"]
        short = [f"{split} holds {size}" for split, size in sizes.items() if size < 4]
        if short and held_out:
            facts = [fact for fact, fact_relation in zip(facts_of, relations) if fact_relation == relation]
            detail = f"{relation}: {', '.join(short)} of at least 4 facts"
            section.find("relation_splits", facts, "", [detail] * len(facts))


def _answers(release: Release, section: Section) -> float:
    """The largest share of one answer in its stratum."""
    strata: dict[str, Counter[str]] = defaultdict(Counter)
    for stratum, entity in zip(release.strata.to_pylist(), release.column("object_id")):
        strata[stratum][entity] += 1
    limit = section.config.gates["answer_share"].limit
    rows = []
    for stratum, golds in strata.items():
        entity, times = golds.most_common(1)[0]
        # The share when drawn, including facts withdrawn since; `multiplicity` measures the remaining imbalance.
        drawn = golds.total() + release.withdrawn.get(stratum, 0)
        rows.append((stratum, drawn, entity, times, times / drawn))
    rows.sort(key=lambda row: (-row[-1], row[0]))
    for stratum, size, entity, times, share in rows:
        if share > limit:
            section.find("answer_share", [stratum], "", [f"{entity} is {times} of {size} golds"])
    section.grid(
        f"Strata by the share of their commonest answer ({len(rows)} strata, the first 15)",
        ("stratum", "facts", "answer", "golds", "share"),
        rows[:15],
        percents=("share",),
    )
    return rows[0][-1] if rows else 0.0


def excess(items: Items, strata: list[str]) -> tuple[int, list[tuple[str, str, int, int]]]:
    """Options beyond, or short of, four per gold: their number, and (stratum, entity, options, golds) of each entity.

    `strata` are those of the items.
    """
    names = items.choices.values
    number = {name: code for code, name in enumerate(dict.fromkeys(strata))}
    stratum = np.array([number[name] for name in strata], dtype=np.int64)
    keys = stratum[:, None] * len(names) + items.choices.codes
    size = len(number) * len(names)
    if size > 50_000_000:
        pairs, keys = np.unique(keys, return_inverse=True)
        keys = keys.reshape(items.choices.codes.shape)
        size = len(pairs)
    else:
        pairs = np.arange(size)
    options = np.bincount(keys.ravel(), minlength=size)
    golds = np.bincount(keys[np.arange(len(items)), items.gold], minlength=size)
    off = options - 4 * golds
    by_number = list(number)
    uneven = [
        (by_number[pairs[key] // len(names)], names[pairs[key] % len(names)], int(options[key]), int(golds[key]))
        for key in np.flatnonzero(off)
    ]
    return int(np.maximum(off, 0).sum()), uneven


def _multiplicity(release: Release, section: Section, gate: str, facts: Bools) -> None:
    """Measures the share of options beyond four per gold in the worst language, among the `facts`.

    Finds each such entity in the first language.
    """
    shares = [0.0]
    strata = np.array(release.strata.to_pylist(), dtype=object)
    for code, whole in release.items.items():
        items = whole.only(facts[whole.rows])
        beyond, uneven = excess(items, strata[items.rows].tolist())
        shares.append(beyond / (4 * len(items)) if len(items) else 0.0)
        if not section.count(gate):
            for stratum, entity, options, golds in uneven:
                section.find(gate, [stratum], code, [f"{entity}: {options} times an option, {golds} times the gold"])
    detail = f"{section.count(gate)} entities are not four times as often an option as a gold"
    section.gate(gate, max(shares), detail)


def _is_in_blocks(release: Release) -> bool:
    """Whether most facts are offered with the same options as three others of their relation and split."""
    items = next(iter(release.items.values()), None)
    if items is None or not len(items):
        return False
    places = zip(release.array("property_id")[items.rows], release.array("split")[items.rows])
    offered = [(*stratum, *options) for stratum, options in zip(places, items.option_sets)]
    times = Counter(offered)
    return sum(times[options] % 4 == 0 for options in offered) > len(offered) / 2


def _positions(release: Release, section: Section) -> tuple[float, int, str]:
    """The smallest p of a uniform gold position, the number of tests, and where it is."""
    rows: list[tuple[str, tuple[int, ...], float]] = []
    tests = []
    for code, items in release.items.items():
        splits = release.array("split")[items.rows]
        for split in release.splits:
            counts = np.bincount(items.gold[splits == split], minlength=4)
            if counts.sum() >= 20:
                tests.append((uniform_p(counts), f"{code} {split}: {' '.join(map(str, counts))}"))
        everywhere = np.bincount(items.gold, minlength=4)
        rows.append((code, tuple(everywhere.tolist()), uniform_p(everywhere)))
    section.grid(
        "Position of the gold",
        ("language", "first", "second", "third", "fourth", "chi-square p"),
        [(code, *counts, p) for code, counts, p in rows],
    )
    section.charts.append(
        Chart(
            "Position of the gold",
            "points",
            tuple(code for code, _, _ in rows),
            tuple(
                Series(name, tuple(100 * counts[slot] / max(sum(counts), 1) for _, counts, _ in rows))
                for slot, name in enumerate(("first", "second", "third", "fourth"))
            ),
            "% of golds",
            reference=25,
        )
    )
    smallest, where = min(tests, default=(1.0, "no split has 20 facts"))
    return smallest, len(tests), where


def audit(release: Release, config: AuditConfig) -> Section:
    """Measures splits and balance; see the module."""
    section = Section("balance", "Splits and balance", SUMMARY, config)
    _subjects(release, section)
    section.gate_count("split_subjects")
    _relations(release, section)
    _empty_splits(release, section)
    section.gate_count("relation_splits")
    section.gate("answer_share", _answers(release, section))
    _multiplicity(release, section, "multiplicity", np.ones(len(release), dtype=np.bool_))
    if release.clean is None or not _is_in_blocks(release):
        why = "the release has no tiers" if release.clean is None else "not in blocks: single facts may be bronze"
        section.gate("multiplicity_clean", None, why)
    else:
        _multiplicity(release, section, "multiplicity_clean", release.clean)
    smallest, tests, where = _positions(release, section)
    section.gate("gold_position", corrected(smallest, tests), f"{tests} tests; rarest is {where}")
    return section
