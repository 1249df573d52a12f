"""CPU seconds of loading `clean` of a release, by what the YAML of its card contains.

    python -m benchmarks.card_yaml build/release --python .environments/datasets-2.21.0/bin/python

The data is the same in every form: the card as it is; with every file by its path instead of patterns; without sizes
(`dataset_info`); and with features repeated for every config, as the card once was. Each
measurement is a fresh process without the import of `datasets`: first with an empty cache, then again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq
import yaml

CODE = """
import datasets, sys, time
for _ in range(2):
    began = time.process_time()
    datasets.load_dataset(sys.argv[1], "clean")
    print(time.process_time() - began)
print(datasets.__version__)
"""


def forms(release: Path) -> dict[str, str]:
    """Name -> YAML of the card."""
    from datasets import Features

    listed = json.loads((release / "manifest.json").read_text(encoding="utf-8"))["configs"]
    block = (release / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1]
    named: dict[str, Any] = yaml.safe_load(block)
    for config in named["configs"]:
        files = listed[config["config_name"]]
        config["data_files"] = [{"split": split, "path": paths} for split, paths in files.items()]
    repeated = {**named, "dataset_info": []}
    for info in named["dataset_info"]:
        (first, *_), *_ = listed[info["config_name"]].values()
        features = Features.from_arrow_schema(pq.read_schema(release / first))._to_yaml_list()
        repeated["dataset_info"].append({**info, "features": features})
    texts = {name: yaml.safe_dump(values, sort_keys=False) for name, values in (("paths", named), ("old", repeated))}
    return {
        "with features, paths": texts["old"],
        "as it is": block,
        "paths instead of patterns": texts["paths"],
        "without sizes": block[: block.index("dataset_info:")],
    }


def seconds(python: str, folder: Path) -> tuple[list[float], str]:
    """CPU seconds with an empty cache and from the cache, and the version of `datasets`."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "HF_HOME": home, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
        result = subprocess.run(
            [python, "-c", CODE, str(folder)], env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    *times, version = result.stdout.split()
    return [float(value) for value in times], version


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("--python", action="append", help="interpreter with another version of datasets; repeated")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    print("| datasets | YAML of the card | kB | load, cold, CPU s | load, cached, CPU s |\n|---|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as made:
        texts = forms(arguments.release)
        folders = {name: Path(made) / str(number) for number, name in enumerate(texts)}
        for name, folder in folders.items():
            folder.mkdir()
            (folder / "data").symlink_to((arguments.release / "data").resolve())
            (folder / "README.md").write_text(f"---\n{texts[name]}---\n", encoding="utf-8")
        for python in (sys.executable, *(arguments.python or ())):
            rounds = [
                {name: seconds(python, folder) for name, folder in folders.items()} for _ in range(arguments.runs)
            ]
            for name in folders:
                cold, cached = (median(turn[name][0][place] for turn in rounds) for place in (0, 1))
                size = len(texts[name].encode("utf-8")) / 1000
                print(f"| {rounds[0][name][1]} | {name} | {size:.0f} | {cold:.2f} | {cached:.2f} |", flush=True)


if __name__ == "__main__":
    main()
