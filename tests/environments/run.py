"""Loads a release with datasets 2.21, 3.6, 4.x and 5.x, each in an environment of its own, and prints a table.

    python -m tests.environments.run --make build/release

`--make` makes the environments that are not there (in `.environments`, some 400 MB each, from the package index). The
release is loaded from its folder, by name and tag from a local Hub, and by its loading script where scripts still
run; every config, every split, plain and streamed, must give the rows, features and order of the files. Then pandas,
Polars and DuckDB read the same files. Exit code 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from polyfact_dataset.release.reader import config_files, read_manifest
from tests.environments.check import FIRST_ROWS, digest
from tests.support.hub import TOKEN, Hub, running

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = Path(os.environ.get("POLYFACT_ENVIRONMENTS", ROOT / ".environments"))
# The first and last releases that users have, and those between at which loading changed.
VERSIONS = ("2.21.0", "3.6.0", "4.8.5", "5.2.0")
SCRIPTED = ("2.", "3.")
COMPARED = ("folder", "Hub, name and tag", "loading script")
GOOD = ("same", "refused, as it should be")
REPOSITORY, TAG = "jvonrad/PolyFact", "v1.0.0"


def python_of(version: str) -> Path:
    """The interpreter of an environment, whether it is there or not."""
    return ENVIRONMENTS / f"datasets-{version}" / "bin" / "python"


def make(version: str) -> None:
    """Makes an environment with one version of `datasets` and whatever it resolves to."""
    folder = python_of(version).parents[1]
    venv.create(folder, with_pip=True, clear=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", f"datasets=={version}"], check=True)


def expected(release: Path) -> dict[str, Any]:
    """What every version must say of a release, read from its files with pyarrow."""
    found: dict[str, Any] = {}
    for name in read_manifest(release)["configs"]:
        found[name] = {}
        for split, paths in config_files(release, name).items():
            tables = [pq.read_table(path) for path in paths]
            rows = [row for table in tables for row in table.slice(0, FIRST_ROWS).to_pylist()][:FIRST_ROWS]
            schema = "\n".join(f"{field.name}: {field.type}" for field in tables[0].schema)
            schema = schema.replace("<element: ", "<item: ").replace(" not null", "")
            first = digest(rows)
            found[name][split] = {
                "rows": sum(len(table) for table in tables),
                "schema": schema,
                "first": first,
                "last": digest(tables[-1].slice(len(tables[-1]) - 1).to_pylist()[0]),
                "streamed_schema": schema,
                "streamed_first": first,
            }
    return found


def load(python: Path, source: str, mode: str, hub: Hub | None = None) -> dict[str, Any] | str:
    """What an environment says of a release, or the last line of its error. Its cache is empty."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        environment.pop("PYTHONPATH", None)
        if hub is None:
            environment["HF_HUB_OFFLINE"] = "1"
        else:
            environment |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}
        command = [str(python), str(Path(__file__).with_name("check.py")), source, mode, *([TAG] if hub else [])]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=home)
    if result.returncode:
        return (result.stderr.strip().splitlines() or ["no message"])[-1]
    loaded: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return loaded


def compare(loaded: dict[str, Any] | str, wanted: dict[str, Any], version: str) -> str:
    """`same`, or what differs first. The first config of `wanted` is the default."""
    if isinstance(loaded, str):
        return loaded
    if loaded["version"] != version:
        return f"datasets is {loaded['version']} there"
    if list(loaded["configs"]) != list(wanted):
        return f"configs {list(loaded['configs'])}"
    for name, splits in wanted.items():
        for split, values in splits.items():
            for key, value in values.items():
                if loaded["configs"][name].get(split, {}).get(key) != value:
                    return f"{name}/{split}: {key} differs"
    sizes = {split: values["rows"] for split, values in next(iter(wanted.values())).items()}
    return "same" if loaded["default"] == sizes else f"without a config: {loaded['default']}"


@contextmanager
def hub_with(release: Path) -> Iterator[Hub]:
    """A local Hub that holds the release under its name and a tag."""
    with running() as hub:
        code = (
            "import sys; from huggingface_hub import HfApi; api = HfApi(); repo, folder, tag = sys.argv[1:]; "
            "api.create_repo(repo, repo_type='dataset'); "
            "api.upload_folder(repo_id=repo, folder_path=folder, repo_type='dataset'); "
            "api.create_tag(repo, tag=tag, repo_type='dataset')"
        )
        with tempfile.TemporaryDirectory() as home:
            environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": home}
            command = [sys.executable, "-c", code, REPOSITORY, str(release), TAG]
            subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
        yield hub


def seconds(loaded: dict[str, Any] | str) -> str:
    """The seconds of loading every config with an empty cache and from the cache."""
    if isinstance(loaded, str):
        return ""
    return f"{len(loaded['configs'])} in {loaded['seconds']['cold']} and {loaded['seconds']['cached']}"


def results(version: str, release: Path, hub: Hub, wanted: dict[str, Any]) -> dict[str, str]:
    """Column of the table -> its value: the libraries, and `same`, or what differs."""
    python = python_of(version)
    by_folder, by_name = load(python, str(release), "name"), load(python, REPOSITORY, "name", hub)
    script = load(python, str(release), "script")
    refused = isinstance(script, str) and "scripts are no longer supported" in script
    return {
        "with": "" if isinstance(by_name, str) else ", ".join(f"{k} {v}" for k, v in by_name["libraries"].items()),
        "folder": compare(by_folder, wanted, version),
        "folder, seconds": seconds(by_folder),
        "Hub, name and tag": compare(by_name, wanted, version),
        "Hub, seconds": seconds(by_name),
        "loading script": (
            compare(script, wanted, version)
            if version.startswith(SCRIPTED)
            else GOOD[1]
            if refused
            else f"not refused: {str(script)[:80]}"
        ),
    }


def readers(release: Path) -> dict[str, str]:
    """Library -> `same` when it reads the files of `clean_sw` and `parallel` as pyarrow does."""
    import duckdb
    import pandas
    import polars

    found = {}
    for name in ("clean_sw", "parallel"):
        paths = [str(path) for path in config_files(release, name)["test"]]
        wanted = [row for path in paths for row in pq.read_table(path).to_pylist()]
        frames = {
            f"pandas {pandas.__version__}": [
                row for path in paths for row in pandas.read_parquet(path, dtype_backend="pyarrow").to_dict("records")
            ],
            f"Polars {polars.__version__}": polars.read_parquet(paths).to_dicts(),
            f"DuckDB {duckdb.__version__}": duckdb.read_parquet(paths).to_arrow_table().to_pylist(),
        }
        for library, rows in frames.items():
            plain = json.loads(json.dumps(rows, default=list))
            same = plain == wanted and found.get(library, "same") == "same"
            found[library] = "same" if same else f"{name} differs"
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("--make", action="store_true", help="make the environments that are not there")
    arguments = parser.parse_args()
    release = arguments.release.resolve()
    wanted = expected(release)
    columns = ("datasets", "with", "folder", "cold and cached, s", "Hub, name and tag", "cold and cached, s")
    print(f"| {' | '.join(columns)} | loading script |")
    print("|---|---|---|---|---|---|---|")
    good = True
    with hub_with(release) as hub:
        for version in VERSIONS:
            if arguments.make and not python_of(version).exists():
                make(version)
            if not python_of(version).exists():
                print(f"| {version} | no environment: run with --make | | | | | |")
                good = False
                continue
            cells = results(version, release, hub, wanted)
            good &= all(cells[column] in GOOD for column in COMPARED)
            print(f"| {version} | {' | '.join(cells.values())} |", flush=True)
    print("\n| reader | files of `parallel` and `clean_sw` |\n|---|---|")
    for library, outcome in readers(release).items():
        good &= outcome == "same"
        print(f"| {library} | {outcome} |")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
