"""From tables to an audited release: seconds of every stage and peak memory, over worlds of growing size.

    python benchmarks/build.py [--entities 100000 300000 1000000 3000000] [--folder /tmp/polyfact-bench]

The tables of the extraction are synthetic (`synthetic_tables.py`). A world of n entities gives n / 30 facts: of three
millions, 100,000. Memory is that of all processes together.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from functools import partial
from pathlib import Path

from measure import Measured, machine, run
from synthetic_tables import supply

from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline import runner as pipeline
from polyfact_dataset.pipeline.context import Inputs
from polyfact_dataset.pipeline.stages import EXTRACT


def prepare(entities: int, facts: int, folder: Path) -> Path:
    """A build folder whose extraction is done."""
    out = folder / f"build-{entities}"
    shutil.rmtree(out, ignore_errors=True)
    inputs = Inputs(Config(facts=facts), None, f"synthetic:{entities}")
    pipeline.run(inputs, out, Log(quiet=True), until=EXTRACT, override=partial(supply, entities))
    return out


def build(out: Path, facts: int) -> tuple[Measured, dict[str, float], int]:
    """Runs the build; what it took, the seconds of its stages, and the facts in its release."""
    command = [
        sys.executable,
        "-m",
        "polyfact_dataset.cli",
        "build",
        "--out",
        str(out),
        "--facts",
        str(facts),
        "--quiet",
    ]
    measured = run(command)
    timings: dict[str, float] = json.loads((out / "timings.json").read_text())
    timings.pop("extract", None)
    release = json.loads((out / "release" / "manifest.json").read_text())
    return measured, timings, sum(release["sizes"]["parallel"].values())


def main() -> None:
    """Prints the table, one column per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, nargs="+", default=[100_000, 300_000, 1_000_000, 3_000_000])
    parser.add_argument("--facts-share", type=int, default=30, help="entities per fact")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/polyfact-bench"))
    arguments = parser.parse_args()
    times = []
    for entities in arguments.entities:
        facts = entities // arguments.facts_share
        out = prepare(entities, facts, arguments.folder)
        times.append((entities, *build(out, facts)))
        print(f"{entities:,} entities: {times[-1][1]}", file=sys.stderr)
    print(f"| | {' | '.join(f'{entities:,} entities' for entities, *_ in times)} |\n|---|{'---:|' * len(times)}")
    print(f"| facts released | {' | '.join(f'{facts:,}' for *_, facts in times)} |")
    for stage in times[0][2]:
        print(f"| {stage}, s | {' | '.join(f'{timings[stage]:.1f}' for _, _, timings, _ in times)} |")
    print(f"| **all, s** | {' | '.join(f'**{measured.wall_s:.1f}**' for _, measured, *_ in times)} |")
    print(f"| CPU s | {' | '.join(f'{measured.cpu_s:.0f}' for _, measured, *_ in times)} |")
    print(f"| peak MB | {' | '.join(f'{measured.peak_mb:,.0f}' for _, measured, *_ in times)} |")
    print(f"\n{machine(['duckdb', 'numpy', 'pyarrow'])}.")


if __name__ == "__main__":
    main()
