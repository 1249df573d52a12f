"""Audit: the popularity of the subjects.

Popularity is the number of Wikimedia sitelinks of the subject. The distribution shows head and tail by split and
relation, so that accuracy on rare facts can be distinguished from accuracy on famous ones. It has no gates.
"""

from __future__ import annotations

import numpy as np

from polyfact_dataset.audit.release import Bools, Floats, Release, relation_order
from polyfact_dataset.audit.result import Chart, Section, Series
from polyfact_dataset.config.audit import AuditConfig

# The summary in the report.
SUMMARY = (
    "Popularity is the number of Wikimedia sitelinks of the subject. The tables show head and tail by split and "
    "relation, so that accuracy on rare facts can be told from accuracy on well-known ones. There is no gate."
)

_EDGES = (0, 1, 2, 5, 10, 20, 50, 100, 200)
_PERCENTILES = (5, 25, 50, 75, 95)


def _bins(values: Floats) -> list[int]:
    """The number of values in each bin from one edge up to the next, the last one open."""
    counts, _ = np.histogram(values, bins=[*_EDGES, np.inf])
    return [int(count) for count in counts]


def _shares(name: str, values: Floats) -> Series:
    """The share of facts in each bin, in %."""
    counts = _bins(values)
    return Series(name, tuple(100 * count / max(sum(counts), 1) for count in counts))


def names() -> list[str]:
    """The names of the bins."""
    spans = [f"{low}–{high - 1}" if high - low > 1 else str(low) for low, high in zip(_EDGES, _EDGES[1:])]
    return [*spans, f"{_EDGES[-1]}+"]


def audit(release: Release, config: AuditConfig) -> Section:
    """Describes popularity; see the module."""
    section = Section("popularity", "Popularity", SUMMARY, config)
    if "popularity" not in release.facts.column_names or not len(release):
        return section
    values: Floats = np.array(release.facts.column("popularity").fill_null(0).to_pylist(), dtype=np.float64)

    def row(name: str, keep: Bools) -> tuple[str | int | float, ...]:
        return (name, int(keep.sum()), *(float(value) for value in np.percentile(values[keep], _PERCENTILES)))

    splits, relations = release.array("split"), release.array("property_id")
    columns = ("facts", *(f"{percent}th percentile" for percent in _PERCENTILES))
    section.grid("Sitelinks by split", ("split", *columns), [row(split, splits == split) for split in release.splits])
    ordered = sorted(set(relations.tolist()), key=relation_order)
    section.grid("Sitelinks by relation", ("relation", *columns), [row(name, relations == name) for name in ordered])
    section.charts.append(
        Chart(
            "Popularity of the subjects",
            "lines",
            tuple(names()),
            tuple(_shares(split, values[splits == split]) for split in release.splits),
            "% of the split's facts, by sitelinks of the subject",
            span=(0, None),
        )
    )
    return section
