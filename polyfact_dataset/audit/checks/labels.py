"""Audit: the provenance of the labels.

Provenance of every option and subject by language, and how many languages attest the gold's label by relation.
Gold requires attested labels: a fact of that tier has no translated label, and all languages attest it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import fmean

import pyarrow.compute as pc

from polyfact_dataset.audit.release import Items, Release, relation_order
from polyfact_dataset.audit.result import Chart, Section, Series
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.schema import PROVENANCES

# The summary in the report.
SUMMARY = (
    "Provenance of every option and subject by language, and the number of languages that attest the gold's label by "
    "relation. A fact of tier gold has no translated label, and all languages attest it."
)


def kind_of(provenance: str) -> str:
    """The kind of a provenance: without the model's name and the marks of changes (`+opencc`, `+reordered`)."""
    return provenance.partition(":")[0].partition("+")[0]


def _shares(items: Items) -> dict[str, float]:
    """Kind of provenance -> share of the language's options."""
    flat = pc.list_flatten(items.table.column("option_provenance"))
    counts: Counter[str] = Counter()
    for entry in pc.value_counts(flat).to_pylist():
        counts[kind_of(entry["values"])] += entry["counts"]
    return {name: counts[name] / counts.total() for name in sorted(counts)}


def _provenance(release: Release, section: Section) -> None:
    by_language = {code: _shares(items) for code, items in release.items.items() if items.has("option_provenance")}
    if not by_language:
        return
    kinds = [name for name in PROVENANCES if any(name in shares for shares in by_language.values())]
    kinds += sorted({name for shares in by_language.values() for name in shares} - set(kinds))
    rows = [(code, *(shares.get(kind, 0.0) for kind in kinds)) for code, shares in by_language.items()]
    section.grid("Provenance of the options' labels", ("language", *kinds), rows, percents=kinds)
    section.charts.append(
        Chart(
            "Provenance of labels",
            "stacked",
            tuple(by_language),
            tuple(
                Series(kind, tuple(100 * shares.get(kind, 0.0) for shares in by_language.values())) for kind in kinds
            ),
            "% of options",
            span=(0, 100),
        )
    )


def _attestation(release: Release, section: Section) -> None:
    if "n_langs_attested" not in release.facts.column_names:
        return
    numbers: dict[str, list[int]] = defaultdict(list)
    for relation, count in zip(release.column("property_id"), release.facts.column("n_langs_attested").to_pylist()):
        numbers[relation].append(count or 0)
    full = len(release.items)
    rows = [
        (relation, len(attested), fmean(attested), sum(count == full for count in attested) / len(attested))
        for relation, attested in sorted(numbers.items(), key=lambda entry: relation_order(entry[0]))
    ]
    section.grid(
        "Languages that attest the answer's label",
        ("relation", "facts", "mean", "attested in all"),
        rows,
        percents=("attested in all",),
    )


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _gold(release: Release, section: Section) -> bool:
    """Facts of the gold tier with an unattested label; returns whether the release has the tiers."""
    if "quality_tier" not in release.facts.column_names:
        return False
    ids, tiers = release.column("fact_id"), release.column("quality_tier")
    for name in ("n_langs_attested", "n_langs_subject_attested"):
        if name in release.facts.column_names:
            for fact, tier, count in zip(ids, tiers, release.facts.column(name).to_pylist()):
                if tier == "gold" and (count or 0) < len(release.items):
                    section.find("gold_tier", [fact], "", [f"{name} is {count} of {len(release.items)}"])
    for code, items in release.items.items():
        for column in ("option_provenance", "subject_provenance"):
            if items.has(column):
                for row, provenance in zip(items.rows.tolist(), items.table.column(column).to_pylist()):
                    guessed = sorted({name for name in _listed(provenance) if kind_of(name) == "model"})
                    if guessed and tiers[row] == "gold":
                        section.find("gold_tier", [ids[row]], code, [f"{column} is {', '.join(guessed)}"])
    return True


def audit(release: Release, config: AuditConfig) -> Section:
    """Measures labels; see the module."""
    section = Section("labels", "Labels", SUMMARY, config)
    _provenance(release, section)
    _attestation(release, section)
    known = _gold(release, section)
    section.gate("gold_tier", section.count("gold_tier") if known else None, "" if known else "no quality_tier")
    if "quality_tier" in release.facts.column_names:
        counts = Counter(zip(release.column("quality_tier"), release.column("split")))
        tiers = sorted({tier for tier, _ in counts})
        rows = [(tier, *(counts[tier, split] for split in release.splits)) for tier in tiers]
        section.grid("Tiers", ("tier", *release.splits), rows)
    return section
