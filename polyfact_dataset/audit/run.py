"""Stage `audit`, and the command of the same name: all audits over one release, and the report.

The report is written to the release's folder `audit`, which is not part of its content: the digest of the content does
not change. To add a check, write a module in `audit/checks` with a function `audit(release, config)`,
list it in `AUDITS`, and give its gates their limits and reasons in `config/audit.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pyarrow as pa

from polyfact_dataset.audit import load, plots, report
from polyfact_dataset.audit.build_tables import BuildTables
from polyfact_dataset.audit.checks import (
    answerability,
    attackers,
    balance,
    columns,
    cues,
    integrity,
    labels,
    language_id,
    leakage,
    names,
    parallelism,
    plausibility,
    popularity,
    scripts,
    shortcuts,
    writing,
)
from polyfact_dataset.audit.release import Release
from polyfact_dataset.audit.result import Section
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import write_json, write_parquet, write_text
from polyfact_dataset.common.processes import map_inheriting
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.context import Context, Report
from polyfact_dataset.pipeline.stages import EXPORT, stage_folder
from polyfact_dataset.release.audit_report import AuditReport

AUDITS: tuple[ModuleType, ...] = (
    integrity,
    shortcuts,
    attackers,
    plausibility,
    leakage,
    answerability,
    parallelism,
    scripts,
    language_id,
    balance,
    labels,
    names,
    columns,
    popularity,
    writing,
    cues,
)


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on."""
    return {"audit": config.audit.model_dump(), "languages": config.languages}


# What one process does after the other, the longest first. The first two import scikit-learn, which takes as long as
# they do on a small release.
_TOGETHER = ((shortcuts, attackers), (language_id,))


def _tasks() -> list[tuple[int, ...]]:
    """Numbers of audits: what one process does after the other."""
    together = [tuple(AUDITS.index(audit) for audit in audits) for audits in _TOGETHER]
    done = {number for numbers in together for number in numbers}
    return [*together, *((number,) for number in range(len(AUDITS)) if number not in done)]


def _sections(shared: tuple[Release, Config], numbers: tuple[int, ...]) -> dict[int, Section]:
    release, config = shared
    results: dict[int, Section] = {number: AUDITS[number].audit(release, config.audit) for number in numbers}
    for section in results.values():
        section.plots += plots.draw(section)
    return results


def sections(release: Release, config: Config, log: Log) -> list[Section]:
    """The results of all audits with their plots, in order."""
    processes = config.extract.workers if len(release) >= load.MANY_FACTS else 1
    by_number: dict[int, Section] = {}
    for part in map_inheriting(_sections, (release, config), _tasks(), processes):
        by_number.update(part)
    results = [by_number[number] for number in range(len(AUDITS))]
    for section in results:
        broken = [verdict.gate for verdict in section.verdicts if verdict.status == "broken"]
        log.line(f"audit: {section.title.lower()}: {'broken: ' + ', '.join(broken) if broken else 'passed'}")
    return results


def findings(release: Release, results: list[Section]) -> pa.Table:
    """All findings of all audits as `release.schema.FINDINGS`."""
    split_of = dict(zip(release.column("fact_id"), release.column("split")))
    return pa.concat_tables([section.findings(split_of) for section in results])


def audit(folder: Path, target: Path, build_tables: BuildTables, config: Config, log: Log) -> AuditReport:
    """Audits the release in `folder`, writes the report into `target` and returns it."""
    release = load.read(folder, config, build_tables)
    log.line(f"audit: {len(release):,} facts in {len(release.items)} languages, content {release.content[:16]}")
    results = sections(release, config, log)
    summary = report.report(release, results, config.audit)
    write_parquet(target / "findings.parquet", findings(release, results))
    write_parquet(target / "contamination.parquet", writing.contamination(release))
    write_text(target / "report.md", report.as_markdown(summary, results))
    write_text(target / "report.html", report.as_html(summary, results))
    # Last: a report.json means that the other files are complete.
    write_json(target / "report.json", summary.model_dump(mode="json"))
    return summary


def run(context: Context) -> Report:
    """Audits the release of the build. A broken gate does not raise here, so that the report is kept."""
    summary = audit(
        stage_folder(context.out, EXPORT), context.folder, BuildTables(context.out), context.config, context.log
    )
    return Report({"passed": summary.passed, "broken": summary.broken, "content": summary.content})


def run_alone(folder: Path, target: Path, config: Config, log: Log) -> AuditReport:
    """Audits any release folder. Raises `ConfigError` if it is not a release, or when the report cannot be written."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; give the folder of a release")
    if (folder / "stages").is_dir():
        raise ConfigError(f"{folder} is a build folder; audit its release: {folder / 'release'}")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}; give --out with a folder to write to") from error
    if not os.access(target, os.W_OK):
        raise ConfigError(f"cannot write {target}: it is read-only; give --out with a folder to write to")
    return audit(folder, target, BuildTables.of(folder), config, log)
