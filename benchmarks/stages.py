"""CPU seconds of the stages that work in batches, for 1,000 rows: the least of six rounds, in one process.

    python -m benchmarks.stages BUILD [--only localise questions validate items] [--tasks 3]

BUILD is a finished build of the default configuration. The caches of texts are emptied before each round. Unlike
seconds of the clock, these say something on busy cores too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from polyfact_dataset.common.files import read_json
from polyfact_dataset.common.processes import Workers
from polyfact_dataset.common.progress import Log
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.config.build import load_config
from polyfact_dataset.facts import labels
from polyfact_dataset.pipeline.context import Context, Inputs
from polyfact_dataset.pipeline.stages import STAGES, stage_named

_ROUNDS = 6
_ROWS = 1_000


class Kept(Workers):
    """Keeps the first tasks of a stage, and does none."""

    def __init__(self, most: int) -> None:
        super().__init__(1)
        self.most, self.tasks = most, list[tuple[Callable[..., Any], pa.RecordBatch, tuple[Any, ...]]]()

    def map(self, function: Callable[..., Any], batches: Iterable[pa.RecordBatch], *arguments: Any) -> Iterator[Any]:
        for batch in batches:
            for start in range(0, batch.num_rows, _ROWS):
                if len(self.tasks) < self.most:
                    self.tasks.append((function, batch.slice(start, _ROWS), arguments))
        yield from ()


def seconds(kept: Kept) -> float:
    """CPU seconds for 1,000 rows."""
    times = []
    for _ in range(_ROUNDS):
        for cached in (normalise, labels._usable, labels.as_entered):
            cached.cache_clear()
        started = time.process_time()
        for function, rows, arguments in kept.tasks:
            function(rows, *arguments)
        times.append(time.process_time() - started)
    return min(times) / sum(rows.num_rows for _, rows, _ in kept.tasks) * 1_000


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [stage.name for stage in STAGES if stage.batched]
    parser.add_argument("build", type=Path)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--tasks", type=int, default=3)
    arguments = parser.parse_args()
    manifest = read_json(arguments.build / "manifest.json")
    print("| stage | CPU s for 1,000 rows |\n|---|---:|")
    for name in arguments.only:
        kept = Kept(arguments.tasks)
        with TemporaryDirectory() as folder:
            inputs = Inputs(load_config(), None, "")
            context = Context(inputs, arguments.build, Log(quiet=True), Path(folder), manifest, kept)
            # The stage ends without rows: what it writes and counts is nothing.
            stage = stage_named(name)
            uses = {use.partition(":")[2]: None for use in stage.uses}
            stage.load().run(context, **uses)
        print(f"| {name} | {seconds(kept):.3f} |", flush=True)


if __name__ == "__main__":
    main()
