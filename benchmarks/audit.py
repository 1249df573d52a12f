"""Times the audit of a synthetic release, counts its chance refusals, and compares three drawings of distractors.

    python -m benchmarks.audit time [--facts 100000] [--varied]
    python -m benchmarks.audit drawings [--facts 22000]
    python -m benchmarks.audit chance [--releases 200] [--facts 600]

Each prints a Markdown table. `time` runs `polyfact audit` in a separate process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from benchmarks.synthetic import DRAWINGS, release, write
from polyfact_dataset.audit import load
from polyfact_dataset.audit.checks import shortcuts
from polyfact_dataset.audit.release import Release
from polyfact_dataset.audit.result import Section
from polyfact_dataset.config.audit import AuditConfig


def measure(facts: int, varied: bool) -> None:
    """Wall time, CPU time and peak memory of one audit."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), release(facts, varied=varied))
        started = time.monotonic()
        command = [sys.executable, "-m", "polyfact_dataset.cli", "audit", folder, "--quiet"]
        code = subprocess.run(command, check=False).returncode
        wall = time.monotonic() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = used.ru_utime + used.ru_stime
    wordings = "every question its own" if varied else "templates"
    print("| facts | languages | wordings | wall s | CPU s | peak MB | exit code |\n|---|---|---|---|---|---|---|")
    print(f"| {facts:,} | 12 | {wordings} | {wall:.0f} | {cpu:.0f} | {used.ru_maxrss / 1024:,.0f} | {code} |")


def audited(facts: int, drawing: str, seed: int, answers: int, **more: object) -> Section:
    """The shortcut audit of a synthetic release in four languages."""
    tables = release(facts, languages=("en", "ru", "zh", "sw"), drawing=drawing, seed=seed, answers=answers, **more)
    table, splits = tables["parallel"]
    table = table.append_column("split", pa.array([str(split) for split in splits]))
    items, _ = load.items_of_parallel(table, table.column("fact_id").to_pylist())
    rows = table.drop_columns(["translations"])
    strata = pa.chunked_array([["one"] * len(rows)])
    return shortcuts.audit(Release("synthetic", "", rows, items, strata), AuditConfig())


def _value(section: Section, gate: str) -> float:
    return next(verdict.value or 0.0 for verdict in section.verdicts if verdict.gate == gate)


def drawings(facts: int) -> None:
    """Accuracy on test of the rules that matter, and the verdict, for the same facts drawn in three ways."""
    rules = ("most_frequent", "least_frequent", "longest", "choices_classifier", "question_classifier")
    print(
        "| distractors | " + " | ".join(rules) + " | worst, in errors | gate |\n|---" + "|---" * (len(rules) + 2) + "|"
    )
    for drawing in DRAWINGS:
        section = audited(facts, drawing, 7, 400)
        floors = {floor.rule: floor for floor in section.floors if (floor.split, floor.language) == ("test", "all")}
        shares = " | ".join(
            f"{100 * floors[rule].accuracy:.1f} ± {100 * floors[rule].standard_error:.1f} %" for rule in rules
        )
        worst = _value(section, "shortcut_pooled")
        print(f"| {drawing} | {shares} | {worst:.1f} | {'refused' if worst > 3 else 'held'} |")


def chance(releases: int, facts: int) -> None:
    """How often releases with exchangeable distractors are refused by chance."""
    relations = ("P38", "P17", "P50", "P170")
    runs = [audited(facts, "exchangeable", seed, 40, relations=relations) for seed in range(releases)]
    pooled = sorted(_value(section, "shortcut_pooled") for section in runs)
    cells = sum(_value(section, "shortcut_cells") < 0.01 for section in runs)
    beyond = sum(value > 3 for value in pooled)
    columns = ("releases", "beyond three errors, pooled", "beyond the corrected bound", "median", "largest")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    print(f"| {releases} of {facts:,} facts | {beyond} | {cells} | {pooled[len(pooled) // 2]:.2f} | {pooled[-1]:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("time", "drawings", "chance"))
    parser.add_argument("--facts", type=int)
    parser.add_argument("--releases", type=int, default=200)
    parser.add_argument("--varied", action="store_true")
    chosen = parser.parse_args()
    if chosen.what == "time":
        measure(chosen.facts or 100_000, chosen.varied)
    elif chosen.what == "drawings":
        drawings(chosen.facts or 22_000)
    else:
        chance(chosen.releases, chosen.facts or 600)


if __name__ == "__main__":
    main()
