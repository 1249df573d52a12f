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
    if until != pipeline.LAST:
        return
    if not quiet:
        release = read_json(out / "release" / "manifest.json")
        summary.show(manifest, release, read_json(out / "timings.json"), out)
    refuse(manifest["stages"]["audit"]["counts"]["broken"], pipeline.stage_folder(out, "audit"))


def refuse(broken: list[str], report: Path) -> None:
    """Raises `DataError` with the list of broken gates, if there are any."""
    if broken:
        listed = "".join(f"\n  - {sentence}" for sentence in broken)
        raise DataError(f"the audit refuses the release; broken gates:{listed}\nread {report / 'report.html'}")


def audit(release: Path, output: Path | None, config_file: Path | None, quiet: bool) -> None:
    """Audits a release folder, prints the gates, and raises `DataError` when one is broken."""
    from polyfact_dataset.quality.audit.run import run_alone

    target = output if output is not None else release / "audit"
    found = run_alone(release, target, load_config(config_file), Log(quiet=quiet))
    if not quiet:
        summary.show_audit(found, target)
    refuse(found["broken"], target)
