"""The work of `polyfact build`, the stage commands, `audit` and `merge`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polyfact_dataset.cli import summary
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import read_json, read_parquet, write_text
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import load_config
from polyfact_dataset.pipeline import runner as pipeline
from polyfact_dataset.pipeline.context import Inputs
from polyfact_dataset.pipeline.inputs import (
    excluded_before,
    read_excluded,
    read_objections,
    read_verification,
    resolve_inputs,
    source_of,
    written_labels,
)
from polyfact_dataset.pipeline.stages import AUDIT, EXTRACT, LAST, Stage, stage_folder, table_path


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
    exclude: Path | None = None,
    verification: Path | None = None,
    part: str | None = None,
    force: bool = False,
    **overrides: Any,
) -> None:
    """Runs the stages up to `until` and prints the closing table of a whole build."""
    log = Log(quiet=quiet)
    config = load_config(config_file, **overrides)
    lenient = config.min_languages < len(config.languages)
    if lenient and config.questions.source == "template" and not config.backfill.enabled and until != EXTRACT:
        log.line(
            f"candidates.min_languages is {config.min_languages}, which has no effect: without a model or a backfill a "
            f"fact needs labels in all {len(config.languages)} languages"
        )
    inputs = resolve_inputs(config, dump, out, previous, part, overwrite, force)
    if verification is not None:
        inputs = replace(inputs, verification=read_verification(verification))
    if objections is not None:
        inputs = replace(inputs, objections=read_objections(objections))
    excluded = excluded_before(out, overwrite) | (read_excluded(exclude) if exclude is not None else {})
    inputs = replace(inputs, excluded=excluded)
    manifest = pipeline.run(inputs, out, log, until=until, overwrite=overwrite)
    if not quiet and until != EXTRACT:
        for table in config.labels.written:
            log.line(summary.written_labels(table, config.languages, table_path(out, "entities")))
    if until == LAST and not quiet:
        release = read_json(out / "release" / "manifest.json")
        summary.show(manifest, release, read_json(out / "timings.json"), out)
    if until in (AUDIT, LAST):
        refuse(manifest["stages"][AUDIT.name]["counts"]["broken"], stage_folder(out, AUDIT), out / "exclude.csv")


def refuse(broken: list[str], report: Path, exclusions: Path | None = None) -> None:
    """Raises `DataError` with the list of broken gates, if there are any.

    For a build, the facts that broke them are written to `exclusions`, and the message ends with the command that
    rebuilds the release without them.
    """
    if not broken:
        return
    listed = "".join(f"\n  - {sentence}" for sentence in broken)
    message = f"the release failed its audit; broken gates:{listed}\nread {report / 'report.html'}"
    number = write_exclusions(report, broken, exclusions) if exclusions is not None else 0
    if number:
        command = shlex.join(_without_option(["polyfact", *sys.argv[1:]], "--exclude", "--overwrite"))
        message += (
            f"\nto leave out the {number:,} affected facts and replace them by others, run:\n"
            f"  {command} --exclude {shlex.quote(str(exclusions))}"
        )
    raise DataError(message)


def _without_option(command: list[str], *names: str) -> list[str]:
    """A command line without some options; `--exclude` with its value."""
    kept, skip = [], False
    for word in command:
        name = word.partition("=")[0]
        if not skip and name not in names:
            kept.append(word)
        skip = word == "--exclude" and not skip
    return kept


def write_exclusions(report: Path, broken: list[str], path: Path) -> int:
    """Writes the facts that broke the gates, with the reason of each, as CSV; returns their number."""
    gates = [sentence.partition(" ")[0] for sentence in broken]
    findings = read_parquet(report / "findings.parquet").to_pylist()
    facts = {
        row["fact_id"]: f"{row['check']}:{row['language']}" if row["language"] else row["check"]
        for row in reversed(findings)
        if row["check"] in gates and row["fact_id"].count("|") == 2
    }
    if facts:
        lines = "".join(f'"{fact}","{reason}"\n' for fact, reason in sorted(facts.items()))
        write_text(path, f'"fact_id","reason"\n{lines}')
    return len(facts)


def audit(release: Path, output: Path | None, config_file: Path | None, quiet: bool) -> None:
    """Audits a release folder, prints the gates, and raises `DataError` when one is broken."""
    from polyfact_dataset.audit.run import run_alone

    target = output if output is not None else release / "audit"
    report = run_alone(release, target, load_config(config_file), Log(quiet=quiet))
    if not quiet:
        summary.show_audit(report, target)
    refuse(report.broken, target)


def merge(
    parts: Sequence[Path], *, out: Path, config_file: Path | None, overwrite: bool, quiet: bool, **overrides: Any
) -> None:
    """Creates the extraction of `out` from those of other build folders."""
    from polyfact_dataset.wikidata.merge import merged, open_sources

    sources, identity = open_sources(parts)
    config = load_config(config_file, **overrides)
    source = source_of(identity)
    inputs = Inputs(config, None, identity, source=source, written_labels=written_labels(config, source))
    log = Log(quiet=quiet)
    pipeline.run(
        inputs, out, log, until=EXTRACT, overwrite=overwrite, override=lambda context: merged(context, sources)
    )
