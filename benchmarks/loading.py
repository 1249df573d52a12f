"""Loading `clean` of a large release, cold and cached, and streaming its first rows, compared with JSON Lines.

    python -m benchmarks.loading --facts 100000 --folder loading

makes a synthetic release in the layout of a release (invented names in the real templates; a fact in seven is bronze,
one in three of the others silver), writes the rows of `clean` as JSON Lines too, and prints a Markdown table. Each
measurement is a fresh process; `cold` begins with an empty cache of `datasets`, not of the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import Measured, machine, run
from benchmarks.synthetic import release
from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.config.build import load_config
from polyfact_dataset.release.export import CLEAN_TIERS, configs, split_sizes, write_partition
from polyfact_dataset.release.metadata import block
from polyfact_dataset.release.reader import Release
from polyfact_dataset.schema import SPLITS

ROWS = 1000
LOAD = "from datasets import load_dataset; print(sum(map(len, load_dataset({arguments}).values())))"
STREAM = (
    "from datasets import load_dataset; "
    f"print(len(list(load_dataset({{arguments}}, split='train', streaming=True).take({ROWS}))))"
)


def write_release(folder: Path, facts: int) -> None:
    """The `parallel` rows of a synthetic release, with the card that names its configs."""
    rows, splits = release(facts)["parallel"]
    numbers = np.arange(len(rows))
    tiers = np.where(numbers % 7 == 0, "bronze", np.where(numbers % 3 == 0, "silver", "gold"))
    rows = rows.set_column(rows.schema.get_field_index("quality_tier"), "quality_tier", pa.array(tiers, pa.string()))
    files: dict[str, dict[str, list[str]]] = {}
    counts: dict[str, int] = {}
    for split in SPLITS:
        for tier in ("gold", "silver", "bronze"):
            part = rows.filter(pa.array((splits == split) & (tiers == tier)))
            written = write_partition(folder, f"parallel/{split}-{tier}", part, load_config())
            files.setdefault(split, {})[tier] = list(written)
            counts |= written
    listed = configs({"parallel": files})
    manifest = {
        "build": {"config": {"languages": list(PAPER_LANGUAGES)}},
        "configs": listed,
        "sizes": split_sizes(listed, counts),
    }
    card = block(Release(folder, manifest, {}, {}, ""), ["cc0-1.0"])
    (folder / "README.md").write_text(f"---\n{card}\n---\n", encoding="utf-8")


def write_json_lines(folder: Path, target: Path) -> None:
    """The rows of `clean`, one JSON object per line and one file per split."""
    target.mkdir(parents=True)
    for split in SPLITS:
        with (target / f"{split}.jsonl").open("w", encoding="utf-8") as handle:
            for tier in CLEAN_TIERS:
                for path in sorted((folder / "data" / "parallel").glob(f"{split}-{tier}-*.parquet")):
                    for batch in pq.ParquetFile(path).iter_batches(1000):
                        handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())


def size_mb(paths: list[Path]) -> float:
    """The size of files on disk."""
    return sum(path.stat().st_size for path in paths) / 1e6


def timed(code: str, home: Path) -> Measured:
    """One fresh process with the given cache."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    with open(os.devnull, "w") as nowhere:
        return run([sys.executable, "-c", code], env=environment, stdout=nowhere, stderr=nowhere)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("loading"), help="kept, and used again")
    arguments = parser.parse_args()
    folder, lines = arguments.folder / f"release-{arguments.facts}", arguments.folder / f"jsonl-{arguments.facts}"
    if not (folder / "README.md").exists():
        shutil.rmtree(folder, ignore_errors=True)
        write_release(folder, arguments.facts)
    if not lines.exists():
        write_json_lines(folder, lines)
    clean = [path for path in (folder / "data" / "parallel").glob("*.parquet") if "-bronze-" not in path.name]
    listed = {split: str(lines / f"{split}.jsonl") for split in SPLITS}
    ways = {
        "the release (Parquet)": (f"{str(folder)!r}, 'clean'", size_mb(clean)),
        "the same rows as JSON Lines": (f"'json', data_files={listed!r}", size_mb(list(lines.iterdir()))),
    }
    print(machine(["datasets", "pyarrow"]) + "\n")
    print("| `clean` of " + f"{arguments.facts:,} facts | files, MB | what | wall s | CPU s | peak MB |")
    print("|---|---:|---|---:|---:|---:|")
    for name, (what, megabytes) in ways.items():
        with tempfile.TemporaryDirectory() as home:
            for label, code in (("load, cold", LOAD), ("load, cached", LOAD), (f"stream {ROWS:,} rows", STREAM)):
                measured = timed(code.format(arguments=what), Path(home))
                figures = f"{measured.wall_s:.1f} | {measured.cpu_s:.1f} | {measured.peak_mb:,.0f}"
                print(f"| {name} | {megabytes:,.0f} | {label} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
