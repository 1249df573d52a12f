"""Time and memory of sampling: facts chosen and matched, from synthetic candidates with Zipf-shaped answers.

    python -m benchmarks.sampling [--facts 100000] [--design blocks] [--design strata]

The candidates are 1.4 times as many, in the 12 languages; making them is not counted. CPU seconds and memory are those
of this process and of the worker processes (the largest of them).
"""

from __future__ import annotations

import argparse
import resource
import time

from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.config.build import load_config
from polyfact_dataset.items.selection import choose
from tests.support.synthetic import pool


def _used() -> tuple[float, float]:
    """CPU seconds of this process, and of those that have ended."""
    here, workers = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return here.ru_utime + here.ru_stime, workers.ru_utime + workers.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=int, default=100_000)
    parser.add_argument("--design", action="append", choices=("blocks", "strata"))
    arguments = parser.parse_args()
    candidates = pool(arguments.facts * 7 // 5, PAPER_LANGUAGES)
    for design in arguments.design or ("blocks", "strata"):
        before, started = _used(), time.monotonic()
        rows, _ = choose(candidates, load_config(facts=arguments.facts, distract__design=design))
        wall, after = time.monotonic() - started, _used()
        peaks = [resource.getrusage(who).ru_maxrss / 1e6 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(
            f"{design}: {len(rows):,} facts, {wall:.1f} s; {after[0] - before[0]:.1f} CPU s here and "
            f"{after[1] - before[1]:.1f} in workers; at most {peaks[0]:.2f} GB here and {peaks[1]:.2f} in a worker"
        )


if __name__ == "__main__":
    main()
