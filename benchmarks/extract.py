"""How near the extraction is to the limit of the machine, and how far from the usual script; makes its own dump.

    python benchmarks/extract.py [--gb 1.5] [--rounds 5] [--folder /tmp/polyfact-bench]

One round runs everything once, so that noise falls on all alike; the table holds medians of the rounds. Memory is of a
run of its own, all processes together: reading it takes time. The limit is
the fastest decompressor to /dev/null. `lbzip2`, `pigz` and `zstd` must be installed: the project needs none of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from measure import Measured, machine, run
from synthetic_dump import write

from polyfact_dataset.pipeline.stages import EXTRACT, stage_folder

_COMPRESSORS = {"bz2": ["lbzip2", "-kc"], "gz": ["pigz", "-6", "-kc"], "zst": ["zstd", "-3", "-qkc", "-T0"]}
_LIMITS = {
    "bz2": ["lbzip2", "-dc"],
    "gz": [sys.executable, "-m", "isal.igzip", "-d", "-c"],
    "zst": ["zstd", "-qdc"],
}


def prepare(folder: Path, size: int) -> dict[str, Path]:
    """The dump in each compression, made once. Suffix -> file."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = folder / f"dump-{size}.json"
    if not plain.exists():
        write(plain.with_suffix(".part"), size)
        plain.with_suffix(".part").rename(plain)
    files = {}
    for suffix, command in _COMPRESSORS.items():
        files[suffix] = plain.with_name(f"{plain.name}.{suffix}")
        if not files[suffix].exists():
            with files[suffix].with_suffix(".part").open("wb") as out:
                subprocess.run([*command, str(plain)], stdout=out, check=True)
            files[suffix].with_suffix(".part").rename(files[suffix])
    return files


def ours(dump: Path, folder: Path, *, memory: bool = False) -> Measured:
    """The extraction, as its user runs it."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "polyfact_dataset.cli", "extract", str(dump), "--out", str(folder), "--quiet"]
    return run(command, memory=memory)


def usual(dump: Path, folder: Path) -> Measured:
    """The usual script."""
    return run([sys.executable, str(Path(__file__).with_name("usual.py")), str(dump), str(folder)], memory=False)


def limit(suffix: str, dump: Path) -> Measured:
    """The decompressor alone."""
    return run([*_LIMITS[suffix], str(dump)], memory=False, stdout=subprocess.DEVNULL)


def same_rows(extracted: Path, written: Path) -> int:
    """The number of rows in both; raises when any differs."""
    total = 0
    for name in ("entities", "statements"):
        table = pq.read_table(stage_folder(extracted, EXTRACT) / f"{name}.parquet")
        with (written / f"{name}.jsonl").open(encoding="utf-8") as lines:
            for batch in table.to_batches(10_000):
                for row in batch.to_pylist():
                    if row != json.loads(next(lines)):
                        raise SystemExit(f"{name}: {row} differs from the usual script's row")
            if next(lines, None) is not None:
                raise SystemExit(f"{name}: the usual script found more rows")
        total += table.num_rows
    return total


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=1.5, help="size of the dump, uncompressed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/polyfact-bench"))
    arguments = parser.parse_args()
    size = int(arguments.gb * 1e9)
    files = prepare(arguments.folder, size)
    found: dict[str, list[Measured]] = {}
    for _ in range(arguments.rounds):
        for suffix, dump in files.items():
            found.setdefault(f"limit {suffix}", []).append(limit(suffix, dump))
            found.setdefault(f"ours {suffix}", []).append(ours(dump, arguments.folder / f"ours-{suffix}"))
        found.setdefault("usual bz2", []).append(usual(files["bz2"], arguments.folder / "usual"))
    rows = {same_rows(arguments.folder / f"ours-{suffix}", arguments.folder / "usual") for suffix in files}
    peaks = {suffix: ours(dump, arguments.folder / "ours", memory=True).peak_mb for suffix, dump in files.items()}
    report(found, files, size, rows.pop(), arguments.rounds, peaks)


def report(
    found: dict[str, list[Measured]], files: dict[str, Path], size: int, rows: int, rounds: int, peaks: dict[str, float]
) -> None:
    """Medians, ratios of medians, and where they were taken."""
    median = {name: statistics.median(m.wall_s for m in runs) for name, runs in found.items()}
    packed = {suffix: path.stat().st_size for suffix, path in files.items()}
    sizes = ", ".join(f"{suffix} {own / 1e6:,.0f} MB ({size / own:.1f}:1)" for suffix, own in packed.items())
    print(f"{size / 1e9:.2f} GB of JSON; {sizes}. Medians of {rounds} rounds.\n")
    print("| what | wall s | CPU s | peak MB | to the limit | faster than the usual script |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, runs in found.items():
        kind, suffix = name.split()
        cpu = statistics.median(m.cpu_s for m in runs)
        peak = f"{peaks[suffix]:,.0f}" if kind == "ours" else ""
        to_limit = f"{median[name] / median[f'limit {suffix}']:.2f}" if kind != "limit" else ""
        faster = f"{median['usual bz2'] / median[name]:.1f}" if kind == "ours" else ""
        what = {
            "limit": f"`{' '.join(Path(part).name for part in _LIMITS[suffix])}` to /dev/null",
            "ours": f"`polyfact extract` from .{suffix}",
            "usual": f"the usual script from .{suffix}, one pass",
        }[kind]
        print(f"| {what} | {median[name]:.2f} | {cpu:.1f} | {peak} | {to_limit} | {faster} |")
    packages = ("indexed_bzip2", "isal", "msgspec", "pyarrow", "zstandard")
    print(f"\nThe {rows:,} rows of each are equal. {machine(packages)}.")


if __name__ == "__main__":
    main()
