"""The cost of the features (sex, years, places, ...) in the extraction: CPU seconds with and without them, in turn.

    python benchmarks/features.py --dump wikidata_entities.json.bz2 [--rounds 7]

One round parses the whole dump twice in this process, once without the properties that only features need. The shares
are of parsing, of decompression (bzip2) and parsing, which is what a large dump takes, and of one extraction of this
dump by the command (its CPU seconds, children included), which also starts processes and writes Parquet files.
"""

from __future__ import annotations

import argparse
import bz2
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from polyfact_dataset.config.build import Config
from polyfact_dataset.wikidata.columns import ITEM_LISTS, YEARS, Rows
from polyfact_dataset.wikidata.entities import Reader
from polyfact_dataset.wikidata.extract import extracted_fields


class WithoutFeatures(Reader):
    """A reader of the relations, types and texts alone."""

    def __init__(self) -> None:
        with patch.dict(ITEM_LISTS, clear=True), patch.dict(YEARS, clear=True):
            super().__init__(extracted_fields(Config()))

    def _add_features(self, values: tuple[object, ...], rows: Rows) -> None:
        """Nothing."""


def parsing_s(reader: Reader, data: bytes) -> float:
    """CPU seconds of parsing the lines of a dump into tables."""
    start = time.process_time()
    rows = Rows()
    reader.read(data, 1, rows)
    rows.tables()
    return time.process_time() - start


def extraction_s(dump: Path) -> float:
    """CPU seconds of `polyfact extract`, all its processes."""
    before = os.times()
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable,
            "-m",
            "polyfact_dataset.cli",
            "extract",
            "--dump",
            str(dump),
            "--out",
            out,
            "--quiet",
        ]
        subprocess.run(command, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", type=Path, required=True, help="a dump, compressed with bzip2")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    start = time.process_time()
    data = bz2.decompress(options.dump.read_bytes())
    unpacking = time.process_time() - start
    readers = {"with": Reader(extracted_fields(Config())), "without": WithoutFeatures()}
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(options.rounds):
        for name in sorted(readers, reverse=bool(turn % 2)):
            seconds[name].append(parsing_s(readers[name], data))
    plain, full = statistics.median(seconds["without"]), statistics.median(seconds["with"])
    whole = extraction_s(options.dump)
    rows = {"decompression": unpacking, "parsing without features": plain, "parsing with features": full}
    print("| | CPU seconds |\n|---|---:|")
    for name, taken in {**rows, "whole extraction": whole}.items():
        print(f"| {name} | {taken:.3f} |")
    shares = {"parsing": plain, "decompression and parsing": unpacking + plain, "the whole extraction": whole}
    cost = ", ".join(f"{100 * (full - plain) / part:.1f} % of {name}" for name, part in shares.items())
    print(f"\nFeatures cost {cost}.")


if __name__ == "__main__":
    main()
