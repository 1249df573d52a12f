"""Hostile input to everything that reads files or answers of others; see `tests/support/fuzz_targets.py`.

    python -m benchmarks.fuzz [--examples 1000] [--only "model answers" ...]

Prints a Markdown table: inputs tried, distinct crashes (by their kind and the line that raised them), the longest
input and the memory that all of them took. An input that takes over a minute is a hang, and counts as a crash.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from tests.support.fuzz_targets import TARGETS, Target, answered

_HANG_S = 60


def peak_mb() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def place_of(error: Exception) -> str:
    """The identity of a crash: its kind, and the last line of this project in its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/polyfact_dataset/" in frame.filename or "/baselines/" in frame.filename]
    at = (ours or frames)[-1]
    return f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}"


def fuzz(target: Target, examples: int, folder: Path) -> tuple[int, Counter[str], float]:
    """Inputs tried, crashes by kind and place, seconds of the slowest input."""
    tried, slowest, crashes, shown = 0, 0.0, Counter[str](), set[str]()

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        phases=(Phase.generate,), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(target.spoil(folder))
    def one(value: Any) -> None:
        nonlocal tried, slowest
        tried += 1
        started = time.monotonic()
        signal.alarm(_HANG_S)
        try:
            with contextlib.redirect_stdout(io.StringIO()), answered():
                target.read(value, folder)
        except Exception as error:
            code_place = place_of(error)
            crashes[code_place] += 1
            if code_place not in shown:
                shown.add(code_place)
                print(f"{code_place}: {str(error)[:200]!r} of {str(value)[:200]!r}", file=sys.stderr, flush=True)
        finally:
            signal.alarm(0)
            slowest = max(slowest, time.monotonic() - started)

    one()
    return tried, crashes, slowest


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    arguments = parser.parse_args()

    def hang(*_: object) -> None:
        raise TimeoutError("a hang")

    signal.signal(signal.SIGALRM, hang)
    print("| input | tried | crashes | distinct | slowest, s | peak MB |\n|---|---:|---:|---:|---:|---:|", flush=True)
    for name in arguments.only:
        with TemporaryDirectory() as folder:
            tried, crashes, slowest = fuzz(TARGETS[name], arguments.examples, Path(folder))
        row = f"| {name} | {tried:,} | {crashes.total():,} | {len(crashes)} | {slowest:.2f} | {peak_mb():,.0f} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
