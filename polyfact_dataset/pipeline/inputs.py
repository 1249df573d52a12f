"""What `polyfact build` and the stage commands do: settle the inputs, run the pipeline, say what came out."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from polyfact_dataset.cli import summary
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import read_json, read_parquet
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config, load_config
from polyfact_dataset.pipeline import runner as pipeline
from polyfact_dataset.pipeline.build_dir import read_manifest
from polyfact_dataset.pipeline.stages import LAST, stage_folder
from polyfact_dataset.release.reader import locate, read_about
from polyfact_dataset.schema import VERIFICATION

SAMPLE_DUMP = Path(__file__).parents[1] / "sample" / "dump.json.bz2"


def previous_splits(release: Path) -> dict[str, str]:
    """Subject -> split in an earlier release and all before it, from its `splits.parquet`.

    A release in the published layout has only `parallel` rows, which say less: subjects it did not ask about are
    unknown. Raises `ConfigError` when the folder holds neither.
    """
    table = release / "splits.parquet"
    if table.is_file():
        rows = read_parquet(table)
        return dict(zip(rows.column("subject_id").to_pylist(), rows.column("split").to_pylist()))
    files = sorted((release / "data" / "parallel").glob("*.parquet"))
    if not files:
        raise ConfigError(
            f"--previous {release}: neither splits.parquet nor data/parallel there; give a release folder"
        )
    splits: dict[str, str] = {}
    # Held-out splits come last and win.
    for path in sorted(files, key=lambda path: path.name.startswith("train-"), reverse=True):
        subjects = read_parquet(path, ["subject_id"]).column("subject_id").to_pylist()
        splits.update(dict.fromkeys(subjects, path.name.partition("-")[0]))
    return dict(sorted(splits.items()))


def _dump(given: Path | None, out: Path, overwrite: bool) -> tuple[Path | None, str]:
    """The dump, or what identifies it. Without one given: what was piped or merged into `out`, or the sample."""
    if given is None and (out / "manifest.json").exists():
        manifest = read_manifest(out, overwrite)
        if manifest.get("dump_is_gone") and "extract" in manifest["stages"]:
            return None, manifest["build"]["dump"]
    return given or SAMPLE_DUMP, ""


def _part(text: str | None) -> tuple[int, int] | None:
    """`i/n` as numbers. Raises `ConfigError` when it is none."""
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ConfigError(f"--part {text}: give it as i/n, such as 2/8 for the second of eight parts")
    return int(number), int(count)


def read_objections(path: Path) -> dict[str, frozenset[str]]:
    """Fact -> the languages objected to, none meaning all; from a table with columns `fact_id` and `language`.

    Such is the audit's table of findings. Raises `ConfigError` when the file is no such table.
    """
    import pyarrow.csv
    import pyarrow.parquet as pq

    try:
        table = pyarrow.csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
        rows = table.select(["fact_id", "language"]).to_pylist()
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"--objections {path}: {error}; give Parquet or CSV with fact_id and language") from error
    found: dict[str, frozenset[str]] = {}
    for row in rows:
        fact, codes = str(row["fact_id"]), frozenset([row["language"]] if row["language"] else [])
        known = found.setdefault(fact, codes)
        found[fact] = known | codes if known and codes else frozenset()
    return dict(sorted(found.items()))


def dump_date(dump: Path) -> datetime.date | None:
    """The day in the name of a dump (wikidata-20260105-all.json.bz2), if there is one."""
    for digits in re.findall(r"(?<!\d)20\d{6}(?!\d)", dump.name):
        try:
            return datetime.datetime.strptime(digits, "%Y%m%d").date()
        except ValueError:
            continue
    return None


def read_verification(path: Path) -> pa.Table:
    """What judges and reviewers said of items: the table of `polyfact verify report`, or a folder of such tables.

    Raises `ConfigError` when it is another table.
    """
    try:
        table = read_parquet(path).select(VERIFICATION.schema.names).cast(VERIFICATION.schema)
    except (DataError, KeyError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ConfigError(f"--verification {path}: {error}; give verification.parquet of `polyfact verify`") from error
    return table.sort_by([(name, "ascending") for name in ("fact_id", "language", "item")])


def settle(
    config: Config,
    dump: Path | None,
    out: Path,
    previous: Path | None = None,
    part: str | None = None,
    overwrite: bool = False,
) -> pipeline.Inputs:
    """The inputs of a build into `out`. `previous` is an earlier release, a folder or `owner/name@revision` on the Hub.

    One in the published layout has no version to follow. Raises `ConfigError` for one of ours that is unfinished.
    """
    path, source = _dump(dump, out, overwrite)
    if config.release.dump_date is None and path is not None:
        dated = config.release.model_copy(update={"dump_date": dump_date(path)})
        config = config.model_copy(update={"release": dated})
    inputs = pipeline.Inputs(config, path, part=_part(part), source=source)
    if previous is None:
        return inputs
    folder = locate(str(previous))
    if (folder / "manifest.json").is_file():
        read_about(folder)
        inputs = replace(inputs, previous_release=folder)
    return replace(inputs, previous=previous_splits(folder))


def run(
    *,
    until: str,
    dump: Path | None,
    out: Path,
    config_file: Path | None,
    previous: Path | None,
    overwrite: bool,
    quiet: bool,
    objections: Path | None = None,
    verification: Path | None = None,
    part: str | None = None,
    **overrides: Any,
) -> None:
    """Runs the stages up to `until` and prints the closing table of a whole build."""
    log = Log(quiet=quiet)
    inputs = settle(load_config(config_file, **overrides), dump, out, previous, part, overwrite)
    if verification is not None:
        inputs = replace(inputs, verification=read_verification(verification))
    if objections is not None:
        inputs = replace(inputs, objections=read_objections(objections))
    manifest = pipeline.run(inputs, out, log, until=until, overwrite=overwrite)
    if until == LAST and not quiet:
        release = read_json(out / "release" / "manifest.json")
        summary.show(manifest, release, read_json(out / "timings.json"), out)
    if until in ("audit", LAST):
        refuse(manifest["stages"]["audit"]["counts"]["broken"], stage_folder(out, "audit"))


def refuse(broken: list[str], report: Path) -> None:
    """Raises `DataError` with the list of broken gates, if there are any."""
    if broken:
        listed = "".join(f"\n  - {sentence}" for sentence in broken)
        raise DataError(f"the audit refuses the release; broken gates:{listed}\nread {report / 'report.html'}")


def audit(release: Path, output: Path | None, config_file: Path | None, quiet: bool) -> None:
    """Audits a release folder, prints the gates, and raises `DataError` when one is broken."""
    from polyfact_dataset.audit.run import run_alone

    target = output if output is not None else release / "audit"
    found = run_alone(release, target, load_config(config_file), Log(quiet=quiet))
    if not quiet:
        summary.show_audit(found, target)
    refuse(found["broken"], target)


def merge(
    parts: Sequence[Path], *, out: Path, config_file: Path | None, overwrite: bool, quiet: bool, **overrides: Any
) -> None:
    """Makes the extraction of `out` from those of other build folders."""
    from polyfact_dataset.wikidata.merge import merged, open_sources

    sources, identity = open_sources(parts)
    inputs = pipeline.Inputs(config=load_config(config_file, **overrides), dump=None, source=identity)
    log = Log(quiet=quiet)
    pipeline.run(
        inputs, out, log, until="extract", overwrite=overwrite, supply=lambda context: merged(context, sources)
    )
