"""The summary of a finished build: kept and rejected facts, splits, tiers, times, and how to load the result."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.escaping import printable
from polyfact_dataset.pipeline.stages import CANDIDATES, EXTRACT, STAGES, TIER
from polyfact_dataset.release.audit_report import AuditReport
from polyfact_dataset.schema import SPLITS


def _plain(reason: str) -> str:
    """A reason without its language."""
    return reason.partition(":")[0]


def relation_table(manifest: dict[str, Any], release: dict[str, Any]) -> Table:
    """Per relation: statements read, facts in each split, and the commonest reasons for rejection."""
    table = Table(title="Facts by relation")
    for name in ("relation", "statements", *SPLITS, "rejected, by reason"):
        table.add_column(name, justify="left" if name in ("relation", "rejected, by reason") else "right")
    stages = manifest["stages"]
    tallies = [entry["tally"] for entry in stages.values() if entry["tally"]]
    for relation in (
        entry for entry in all_relations().values() if entry.id in manifest["build"]["config"]["relations"]
    ):
        reasons: Counter[str] = Counter()
        for tally in tallies:
            for reason, number in tally.get(relation.id, {}).get("rejected", {}).items():
                reasons[_plain(reason)] += number
        counts = release["relations"].get(relation.id, {})
        read = stages[CANDIDATES.name]["tally"].get(relation.id, {}).get("input", 0)
        listed_reasons = ", ".join(f"{reason} {number:,}" for reason, number in reasons.most_common())
        table.add_row(
            f"{relation.id} {relation.label}",
            f"{read:,}",
            *(f"{counts.get(split, 0):,}" for split in SPLITS),
            listed_reasons,
        )
    totals = release["sizes"]["parallel"]
    table.add_section()
    table.add_row(
        "all", f"{stages[EXTRACT.name]['counts']['statements']:,}", *(f"{totals.get(s, 0):,}" for s in SPLITS), ""
    )
    return table


def show(manifest: dict[str, Any], release: dict[str, Any], timings: dict[str, float], out: Path) -> None:
    """Prints the closing table of a build to standard output."""
    # A pipe or a file has no width: leave space for the reasons.
    console = Console() if sys.stdout.isatty() else Console(width=180)
    console.print(relation_table(manifest, release))
    tiers = release["stages"][TIER.name]["counts"]["tiers"]
    console.print("tiers: " + ", ".join(f"{tier} {number:,}" for tier, number in tiers.items()), highlight=False)
    times = ", ".join(f"{stage.name} {timings[stage.name]:.1f} s" for stage in STAGES if stage.name in timings)
    console.print(f"time: {times}", highlight=False)
    console.print(f"\n{loading(out, release['configs'])}", highlight=False, markup=False)


def show_audit(report: AuditReport, target: Path) -> None:
    """Prints the gates of an audit to standard output."""
    table = Table(title=f"Audit of {report.facts:,} facts in {len(report.languages)} languages")
    for name in ("gate", "status", "value", "limit", "detail"):
        table.add_column(name, justify="right" if name in ("value", "limit") else "left")
    colours = {"held": "green", "broken": "red", "not checked": "yellow"}
    for gate in report.gates:
        value = "–" if gate.value is None else f"{gate.value:.4g}"
        limit = f"{'≤' if gate.at == 'most' else '≥'} {gate.limit:g}"
        status = Text(gate.status, style=colours[gate.status])
        table.add_row(gate.gate, status, value, limit, Text(printable(gate.detail)))
    console = Console() if sys.stdout.isatty() else Console(width=180)
    console.print(table)
    console.print(f"content {report.content}\nreport: {target / 'report.html'}", highlight=False, markup=False)


def loading(out: Path, configs: Container[str]) -> str:
    """Two lines of Python that load the result: `clean`, unless the release has no fact for it."""
    name = "clean" if "clean" in configs else "parallel"
    return f'from datasets import load_dataset\n{name} = load_dataset("{out / "release"}", "{name}")'


def written_labels(table: Path, languages: Sequence[str], entities: Path) -> str:
    """One line about a table of written labels: labels and usable ones by language, and ids that the dump lacks."""
    import duckdb

    from polyfact_dataset.catalog.language import language
    from polyfact_dataset.common.database import rows_of
    from polyfact_dataset.facts.labels import usable
    from polyfact_dataset.facts.written_labels import read_written_labels

    rows = read_written_labels([table])
    with duckdb.connect() as connection:
        connection.register("written", rows)
        query = f"SELECT count(*) FROM written ANTI JOIN {rows_of([entities])} ON entity_id = id"
        (unknown,) = connection.execute(query).fetchone() or (0,)
    labels: dict[str, list[str]] = {code: [] for code in languages}
    for row in rows.to_pylist() if rows is not None else ():
        for label in row["labels"]:
            labels.get(label["code"], []).append(label["text"])
    parts = [
        f"{len(texts):,} {code} labels, {sum(usable(text, language(code)) is not None for text in texts):,} usable"
        for code, texts in labels.items()
        if texts
    ]
    ids = "1 id" if unknown == 1 else f"{unknown:,} ids"
    return f"{table.name}: {', '.join((*parts, f'{ids} not in the dump'))}"
