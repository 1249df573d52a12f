"""What `polyfact build`, the stage commands, `audit` and `merge` do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polyfact_dataset.cli import summary
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import load_config
from polyfact_dataset.pipeline import runner as pipeline
from polyfact_dataset.pipeline.context import Inputs
from polyfact_dataset.pipeline.inputs import read_objections, read_verification, resolve_inputs, source_of
from polyfact_dataset.pipeline.stages import AUDIT, EXTRACT, LAST, Stage, stage_folder


def run(
    *,
    until: Stage,
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
    inputs = resolve_inputs(load_config(config_file, **overrides), dump, out, previous, part, overwrite)
    if verification is not None:
        inputs = replace(inputs, verification=read_verification(verification))
    if objections is not None:
        inputs = replace(inputs, objections=read_objections(objections))
    manifest = pipeline.run(inputs, out, log, until=until, overwrite=overwrite)
    if until == LAST and not quiet:
        release = read_json(out / "release" / "manifest.json")
        summary.show(manifest, release, read_json(out / "timings.json"), out)
    if until in (AUDIT, LAST):
        refuse(manifest["stages"][AUDIT.name]["counts"]["broken"], stage_folder(out, AUDIT))


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
    config = load_config(config_file, **overrides)
    inputs = Inputs(config=config, dump=None, dump_identity=identity, source=source_of(identity))
    log = Log(quiet=quiet)
    pipeline.run(
        inputs, out, log, until=EXTRACT, overwrite=overwrite, override=lambda context: merged(context, sources)
    )
