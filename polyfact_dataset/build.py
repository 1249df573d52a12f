"""What `polyfact build` and the stage commands do: settle the inputs, run the pipeline, say what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from polyfact_dataset import pipeline, summary
from polyfact_dataset.config import load_config
from polyfact_dataset.errors import ConfigError, DataError
from polyfact_dataset.progress import Log
from polyfact_dataset.storage import read_json

SAMPLE_DUMP = Path(__file__).parent / "sample" / "dump.json.bz2"


def previous_splits(release: Path) -> dict[str, str]:
    """Subject -> split in an earlier release folder; held-out splits win over train.

    Raises `ConfigError` when the folder holds no `parallel` rows.
    """
    files = sorted((release / "data" / "parallel").glob("*.parquet"))
    if not files:
        raise ConfigError(f"--previous {release}: no data/parallel/*.parquet there; give the folder of a release")
    splits: dict[str, str] = {}
    for path in sorted(files, key=lambda path: path.name.startswith("train-"), reverse=True):
        split = path.name.partition("-")[0]
        try:
            subjects = pq.read_table(path, columns=["subject_id"]).column("subject_id").to_pylist()
        except (OSError, ValueError) as error:
            raise DataError(f"--previous {path}: {error}") from error
        splits.update(dict.fromkeys(subjects, split))
    return dict(sorted(splits.items()))


def run(
    *,
    until: str,
    dump: Path | None,
    out: Path,
    config_file: Path | None,
    previous: Path | None,
    overwrite: bool,
    quiet: bool,
    **overrides: Any,
) -> None:
    """Runs the stages up to `until` and prints the closing table of a whole build."""
    log = Log(quiet=quiet)
    inputs = pipeline.Inputs(
        config=load_config(config_file, **overrides),
        dump=dump if dump is not None else SAMPLE_DUMP,
        previous=previous_splits(previous) if previous is not None else {},
    )
    manifest = pipeline.run(inputs, out, log, until=until, overwrite=overwrite)
    if until == "export" and not quiet:
        release = read_json(out / "release" / "manifest.json")
        summary.show(manifest, release, read_json(out / "timings.json"), out)
