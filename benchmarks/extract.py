"""Compare the extraction with the limit of the machine and with other programs, on a generated dump.

    python benchmarks/extract.py [--gb 1.5] [--rounds 5] [--formats bz2 gz zst] [--folder /tmp/polyfact-bench]

One round runs everything once, so that noise affects all equally; the table holds medians of the rounds. Memory is of a
separate run, all processes together: reading it takes time. The limit is the fastest decompressor to /dev/null.
`lbzip2`, `gzip` (or `pigz`) and `zstd` must be installed. Each format is compared with the peers on the same format:
scripts that read it with json, orjson, ijson or qwikidata, whose rows must be equal, and wikibase-dump-filter, which
writes JSON. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
from measure import Measured, machine, run
from synthetic_dump import write

from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.stages import EXTRACT, stage_folder

_COMPRESSORS = {
    "bz2": ["lbzip2", "-kc"],
    "gz": [shutil.which("pigz") or "gzip", "-6", "-kc"],
    "zst": ["zstd", "-3", "-qkc", "-T0"],
}
_LIMITS = {
    "bz2": ["lbzip2", "-dc"],
    "gz": [sys.executable, "-m", "isal.igzip", "-d", "-c"],
    "zst": ["zstd", "-qdc"],
}
# Libraries of the usual script, and a program of another kind.
_SCRIPTS = ("json", "orjson", "ijson", "qwikidata")
_FILTER = "wikibase-dump-filter"


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


def peers(suffix: str) -> list[str]:
    """The peers that are installed and read this compression."""
    scripts = [name for name in _SCRIPTS if find_spec(name) and not (name == "qwikidata" and suffix == "zst")]
    return [*scripts, *([_FILTER] if shutil.which(_FILTER) else [])]


def peer(name: str, dump: Path, folder: Path) -> Measured:
    """A script with another library or, of the filter, an equivalent choice of entities and claims."""
    if name != _FILTER:
        script = str(Path(__file__).with_name("usual.py"))
        return run([sys.executable, script, str(dump), str(folder), name], memory=False)
    claims = "|".join(Config().relations)
    text = shlex.join([*_LIMITS[dump.suffix[1:]], str(dump)])
    command = (
        f"{text} | {_FILTER} --quiet --keep id,type,labels,aliases,descriptions,claims,sitelinks --claim '{claims}'"
    )
    return run(["sh", "-c", f"{command} > {folder}.ndjson"], memory=False)


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
    parser.add_argument("--formats", nargs="+", choices=list(_COMPRESSORS), default=list(_COMPRESSORS))
    parser.add_argument("--folder", type=Path, default=Path("/tmp/polyfact-bench"))
    arguments = parser.parse_args()
    size = int(arguments.gb * 1e9)
    files = {suffix: path for suffix, path in prepare(arguments.folder, size).items() if suffix in arguments.formats}
    runs_by_way: dict[tuple[str, str], list[Measured]] = {}
    for _ in range(arguments.rounds):
        for suffix, dump in files.items():
            runs_by_way.setdefault((suffix, "limit"), []).append(limit(suffix, dump))
            runs_by_way.setdefault((suffix, "ours"), []).append(ours(dump, arguments.folder / f"ours-{suffix}"))
            for name in peers(suffix):
                measured = peer(name, dump, arguments.folder / f"{name}-{suffix}")
                runs_by_way.setdefault((suffix, name), []).append(measured)
    rows = {
        same_rows(arguments.folder / f"ours-{suffix}", arguments.folder / f"{name}-{suffix}")
        for suffix in files
        for name in peers(suffix)
        if name in _SCRIPTS
    }
    peaks = {suffix: ours(dump, arguments.folder / "ours", memory=True).peak_mb for suffix, dump in files.items()}
    report(runs_by_way, files, size, rows.pop(), arguments.rounds, peaks)


def report(
    runs_by_way: dict[tuple[str, str], list[Measured]],
    files: dict[str, Path],
    size: int,
    rows: int,
    rounds: int,
    peaks: dict[str, float],
) -> None:
    """Medians, their ratios within each format, and where they were taken."""
    median = {key: statistics.median(m.wall_s for m in runs) for key, runs in runs_by_way.items()}
    packed = {suffix: path.stat().st_size for suffix, path in files.items()}
    sizes = ", ".join(
        f"{suffix} {compressed / 1e6:,.0f} MB ({size / compressed:.1f}:1)" for suffix, compressed in packed.items()
    )
    print(f"{size / 1e9:.2f} GB of JSON; {sizes}. Medians of {rounds} rounds.\n")
    print("| from | what | wall s | CPU s | peak MB | to the limit | time of ours |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for (suffix, name), runs in runs_by_way.items():
        cpu = statistics.median(m.cpu_s for m in runs)
        peak = f"{peaks[suffix]:,.0f}" if name == "ours" else ""
        to_limit = f"{median[suffix, name] / median[suffix, 'limit']:.2f}" if name != "limit" else ""
        of_ours = f"{median[suffix, name] / median[suffix, 'ours']:.2f}" if name not in ("limit", "ours") else ""
        what = {
            "limit": f"`{' '.join(Path(part).name for part in _LIMITS[suffix])}` to /dev/null",
            "ours": "`polyfact extract`",
            _FILTER: f"the same, piped to {_FILTER}",
        }.get(name, f"script with {name}")
        print(f"| .{suffix} | {what} | {median[suffix, name]:.2f} | {cpu:.1f} | {peak} | {to_limit} | {of_ours} |")
    libraries = [name for name in _SCRIPTS if name != "json" and find_spec(name)]
    packages = ("indexed_bzip2", "isal", "msgspec", "pyarrow", "zstandard", *libraries)
    print(f"\nThe {rows:,} rows of `polyfact extract` and of each script are equal. {machine(packages)}.")


if __name__ == "__main__":
    main()
