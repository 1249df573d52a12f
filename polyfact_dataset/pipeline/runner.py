"""Runs the stages of a build and skips those that are complete.

A stage's key is the digest of its settings, its sources and the keys of the stages it depends on. A finished stage with
the same key is skipped.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.common.files import (
    STDIN,
    digest_json,
    disk_errors,
    make_folder,
    synced_later,
    write_json,
)
from polyfact_dataset.common.processes import MANY_ROWS, Workers
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.build_dir import (
    files_of,
    install,
    is_whole,
    locked,
    open_folder,
    prepare,
    read_timings,
    tidy,
    withdraw,
    working_folder,
    write_manifest,
)
from polyfact_dataset.pipeline.context import Context, Inputs, Run
from polyfact_dataset.pipeline.dependencies import Dependencies
from polyfact_dataset.pipeline.stages import LAST, STAGES, Stage, stage_folder


def _key(stage: Stage, config: Config, manifest: dict[str, Any], dependencies: Dependencies) -> str:
    return digest_json(
        {
            "settings": stage.load().settings(config),
            "sources": dependencies.digest(stage.sources(dependencies)),
            "reads": [manifest["stages"][name]["key"] for name in stage.depends_on],
            "inputs": {name: manifest["build"].get(name) for name in stage.inputs},
        }
    )


def _work(stage: Stage) -> Run:
    """The function that does a stage's work, with the functions that it uses."""
    uses = {}
    for name in stage.uses:
        module, _, function = name.partition(":")
        uses[function] = getattr(importlib.import_module(f"polyfact_dataset.{module}"), function)
    run: Run = partial(stage.load().run, **uses)
    return run


def run(
    inputs: Inputs, out: Path, log: Log, *, until: Stage = LAST, overwrite: bool = False, override: Run | None = None
) -> dict[str, Any]:
    """Runs the stages up to `until`, skipping those that are complete, and returns the manifest.

    `override` replaces the function of the first stage. Raises `ConfigError` for a folder of another
    build or a running one, `DataError` for unusable input.
    """
    identity = inputs.identity()
    try:
        make_folder(out / "stages")
    except OSError as error:
        raise ConfigError(f"cannot create {out}: {error.strerror}; choose another --out") from error
    with locked(out), Workers(inputs.config.extract.workers) as workers, disk_errors(out):
        manifest = {**open_folder(out, identity, overwrite), "dump_is_gone": inputs.dump in (None, STDIN)}
        timings = read_timings(out, log)
        write_json(out / "timings.json", timings)
        redo, dependencies = False, Dependencies()
        for stage in STAGES[: STAGES.index(until) + 1]:
            key, entry = _key(stage, inputs.config, manifest, dependencies), manifest["stages"].get(stage.name)
            folder = stage_folder(out, stage)
            done = bool(not redo and entry and entry["key"] == key and is_whole(entry, folder))
            if done and not entry.get("pending"):
                # A power cut may undo that these were removed.
                tidy(folder)
                log.line(f"{stage.name}: already complete")
                continue
            if not done:
                # Results of another version of this stage must not remain.
                for later in STAGES[STAGES.index(stage) + 1 :]:
                    withdraw(out, later, manifest["stages"].get(later.name))
            before = manifest["stages"]
            started = time.monotonic()
            manifest["stages"] = {s.name: manifest["stages"][s.name] for s in STAGES[: STAGES.index(stage)]}
            work = override if override and not stage.reads else _work(stage)
            if not stage.batched:
                # Other stages may start processes that inherit their data, which is safe where no threads run.
                workers.stop()
            elif any(rows >= MANY_ROWS for name in stage.depends_on for rows in _rows(manifest["stages"][name])):
                workers.start()
            context = Context(inputs, out, log, working_folder(out, stage), manifest, workers)
            result = _execute(stage, key, work, context, folder)
            manifest["stages"][stage.name] = result
            # If pending work is still pending, the later stages do not rerun.
            redo = not (done and result["files"] == entry["files"])
            if not redo:
                manifest["stages"] = {**before, stage.name: result}
            timings[stage.name] = time.monotonic() - started
            write_json(out / "timings.json", timings)
            write_manifest(out, manifest)
            tidy(folder)
            log.line(f"{stage.name}: {timings[stage.name]:.1f} s")
    return manifest


def _rows(entry: dict[str, Any]) -> Iterator[int]:
    """The numbers of rows of a finished stage's files."""
    yield from (info.get("rows", 0) for info in entry["files"].values())


def _execute(stage: Stage, key: str, work: Run, context: Context, folder: Path) -> dict[str, Any]:
    """Runs a stage in a temporary folder, which then replaces `folder`; returns its manifest entry."""
    target, out = context.folder, context.out
    prepare(target, folder, key if stage.resumes else None)
    context.log.line(f"{stage.name}: {stage.doc}")
    try:
        # What a killed stage continues from must be durable before the stage ends.
        with nullcontext() if stage.resumes else synced_later(target):
            report = work(context)
    except (OSError, duckdb.Error, BrokenProcessPool) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RetryableError(
            f"stage {stage.name} in {out}: {reason}; free disk space or memory, then rerun the same command"
        ) from error
    if report.tally is not None:
        report.tally.check(stage.name)
    files = files_of(target)
    # The manifest must not list files that are about to be replaced.
    write_manifest(out, context.manifest)
    install(stage, target, folder, files)
    return {
        "key": key,
        "counts": report.counts,
        "pending": report.pending,
        "tally": report.tally.as_json() if report.tally else None,
        "files": files,
    }
