"""Runs the stages of a build, each with a context and a report, and skips those that are done.

A stage's key is the digest of its settings, its sources and the keys of what it reads. A finished stage with the
same key is skipped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.common.files import (
    digest_json,
    digest_sources,
    disk_errors,
    read_json,
    read_parquet,
    sync,
    write_json,
    write_parquet,
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
from polyfact_dataset.pipeline.stages import LAST, STAGES, Stage, stage_folder
from polyfact_dataset.wikidata.dump import STDIN, identify


@dataclass
class Tally:
    """Kept and rejected per relation; `check` refuses counts that do not add up."""

    input: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    rejected: dict[str, Counter[str]] = field(default_factory=dict)

    def check(self, stage: str) -> None:
        """Raises when kept + rejected is not the input, for any relation."""
        for relation in self.input.keys() | self.kept.keys() | self.rejected.keys():
            dropped = sum(self.rejected.get(relation, Counter()).values())
            if self.kept[relation] + dropped != self.input[relation]:
                raise AssertionError(
                    f"{stage}: {relation}: {self.kept[relation]} kept + {dropped} rejected, not {self.input[relation]}"
                )

    def count(self, relation: str, reason: str | None) -> None:
        """Counts a fact: kept, or rejected for a reason."""
        self.input[relation] += 1
        if reason is None:
            self.kept[relation] += 1
        else:
            self.rejected.setdefault(relation, Counter())[reason] += 1

    def add(self, other: Tally) -> None:
        """Adds the counts of another part of the facts."""
        self.input += other.input
        self.kept += other.kept
        for relation, reasons in other.rejected.items():
            self.rejected.setdefault(relation, Counter()).update(reasons)

    def as_json(self) -> dict[str, Any]:
        relations = sorted(self.input, key=lambda relation: int(relation[1:]))
        return {
            relation: {
                "input": self.input[relation],
                "kept": self.kept[relation],
                "rejected": dict(sorted(self.rejected.get(relation, Counter()).items())),
            }
            for relation in relations
        }


@dataclass
class Report:
    """What a stage returns: totals for the manifest and, where facts are dropped, the tally.

    A stage with something `pending` is done again on the next run.
    """

    counts: dict[str, Any]
    tally: Tally | None = None
    pending: int = 0


def _named(release: Path) -> dict[str, str]:
    """Version and content of a release."""
    about = read_json(release / "release.json")
    return {name: about[name] for name in ("version", "content")}


@dataclass(frozen=True)
class Inputs:
    """What a build is made from. `previous` maps subjects to their split in `previous_release`, an earlier release;
    `objections` facts to the languages in which a model's question was objected to (an empty set: in all).
    `verification` has what judges and reviewers said of items (`records.VERIFICATION`).

    `part` is (i, n) where only the i-th of n parts of the dump is extracted. `source` identifies the dump where it is
    not at hand any more: its extraction is in the build folder, or is merged from others.
    """

    config: Config
    dump: Path | None
    previous: Mapping[str, str] = field(default_factory=dict)
    objections: Mapping[str, frozenset[str]] = field(default_factory=dict)
    verification: pa.Table | None = None
    part: tuple[int, int] | None = None
    source: str = ""
    previous_release: Path | None = None

    @property
    def dump_identity(self) -> str:
        """What tells the dump from others."""
        return identify(self.dump) if self.dump else self.source

    def identity(self) -> dict[str, Any]:
        """What makes two builds the same: contents and configuration, without what changes no result."""
        return {
            "dump": self.dump_identity,
            "config": self.config.identity(),
            **self.digests(),
            "verification": digest_json(self.verification.to_pylist()) if self.verification is not None else None,
            "previous_release": _named(self.previous_release) if self.previous_release else None,
            **({"part": list(self.part)} if self.part else {}),
        }

    def digests(self) -> dict[str, str | None]:
        """Digests of what was read from other files than the dump, None where nothing was."""
        objections = {fact: sorted(codes) for fact, codes in self.objections.items()}
        return {
            "previous": digest_json(dict(self.previous)) if self.previous else None,
            "objections": digest_json(objections) if objections else None,
        }


class Context:
    """What a stage's `run` may touch: configuration, the tables of earlier stages, its own folder, the log."""

    def __init__(
        self, inputs: Inputs, out: Path, log: Log, target: Path, manifest: dict[str, Any], workers: Workers
    ) -> None:
        self.config, self.dump, self.previous, self.part = inputs.config, inputs.dump, inputs.previous, inputs.part
        self.objections = inputs.objections
        self.previous_release, self.verification = inputs.previous_release, inputs.verification
        self.out, self.log, self._target = out, log, target
        self.workers = workers
        # The entries of the finished stages, for those that report on the build.
        self.manifest = manifest

    def path(self, stage: str, table: str) -> Path:
        """The Parquet file of an earlier stage's table, or the folder of its files."""
        return stage_folder(self.out, stage) / f"{table}.parquet"

    def read(self, stage: str, table: str, columns: list[str] | None = None) -> pa.Table:
        """An earlier stage's table."""
        return read_parquet(self.path(stage, table), columns)

    def target(self, table: str) -> Path:
        """Where the stage writes one of its tables."""
        return self._target / f"{table}.parquet"

    @property
    def folder(self) -> Path:
        """The stage's own folder, for what is no table."""
        return self._target

    def write(self, table: str, rows: pa.Table) -> None:
        """Writes one of the stage's tables."""
        write_parquet(self.target(table), rows)


Supply = Callable[[Context], Report]


def _is_gone(dump: Path | None) -> bool:
    """Whether a later run cannot read the dump again."""
    return dump is None or dump == STDIN


def _key(stage: Stage, config: Config, manifest: dict[str, Any]) -> str:
    return digest_json(
        {
            "settings": stage.load().settings(config),
            "sources": digest_sources(stage.sources),
            "reads": [manifest["stages"][name]["key"] for name in stage.reads],
            "dump": [manifest["build"]["dump"], manifest["build"].get("part")] if not stage.reads else None,
            "previous": manifest["build"]["previous"] if stage.name in ("questions", "sample") else None,
            "objections": manifest["build"]["objections"] if stage.name == "questions" else None,
            "verification": manifest["build"]["verification"] if stage.name == "tier" else None,
            "previous_release": manifest["build"]["previous_release"] if stage.name == "card" else None,
        }
    )


def run(
    inputs: Inputs, out: Path, log: Log, *, until: str = LAST, overwrite: bool = False, supply: Supply | None = None
) -> dict[str, Any]:
    """Runs the stages up to `until`, skipping what is done, and returns the manifest.

    `supply`, if given, does the work of the first stage in its place. Raises `ConfigError` for a folder of another
    build or a running one, `DataError` for unusable input.
    """
    identity = inputs.identity()
    try:
        (out / "stages").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot create {out}: {error.strerror}; choose another --out") from error
    with locked(out), Workers(inputs.config.extract.workers) as workers, disk_errors(out):
        manifest = {**open_folder(out, identity, overwrite), "dump_is_gone": _is_gone(inputs.dump)}
        timings = read_timings(out, log)
        write_json(out / "timings.json", timings)
        redo = False
        for stage in STAGES[: [s.name for s in STAGES].index(until) + 1]:
            key, entry = _key(stage, inputs.config, manifest), manifest["stages"].get(stage.name)
            folder = stage_folder(out, stage.name)
            done = bool(not redo and entry and entry["key"] == key and is_whole(entry, folder))
            if done and not entry.get("pending"):
                log.line(f"{stage.name}: done before")
                continue
            if not done:
                # What was made from another version of this stage must not stand beside it.
                for later in STAGES[STAGES.index(stage) + 1 :]:
                    withdraw(out, later, manifest["stages"].get(later.name))
            before = manifest["stages"]
            started = time.monotonic()
            manifest["stages"] = {s.name: manifest["stages"][s.name] for s in STAGES[: STAGES.index(stage)]}
            work = supply if supply and not stage.reads else stage.load().run
            if any(rows >= MANY_ROWS for name in stage.reads for rows in _rows(manifest["stages"][name])):
                workers.start()
            context = Context(inputs, out, log, working_folder(out, stage), manifest, workers)
            made = _execute(stage, key, work, context, folder)
            manifest["stages"][stage.name] = made
            # What was pending may be so still: then nothing that was made from it is made again.
            redo = not (done and made["files"] == entry["files"])
            if not redo:
                manifest["stages"] = {**before, stage.name: made}
            timings[stage.name] = time.monotonic() - started
            write_json(out / "timings.json", timings)
            write_manifest(out, manifest)
            tidy(folder)
            log.line(f"{stage.name}: {timings[stage.name]:.1f} s")
    return manifest


def _rows(entry: dict[str, Any]) -> Iterator[int]:
    """The numbers of rows of a finished stage's files."""
    yield from (info.get("rows", 0) for info in entry["files"].values())


def _execute(stage: Stage, key: str, work: Supply, context: Context, folder: Path) -> dict[str, Any]:
    """Does a stage's work in a folder of its own, which then takes the place of `folder`; its manifest entry."""
    target, out = context.folder, context.out
    prepare(target, folder, key if stage.resumes else None)
    context.log.line(f"{stage.name}: {stage.doc}")
    try:
        report = work(context)
    except (OSError, duckdb.Error, BrokenProcessPool) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RetryableError(f"stage {stage.name} in {out}: {reason}; free disk or memory, then run again") from error
    if report.tally is not None:
        report.tally.check(stage.name)
    files = files_of(target)
    sync(target)
    # The manifest must not name what is about to be replaced.
    write_manifest(out, context.manifest)
    install(stage, target, folder, files)
    return {
        "key": key,
        "counts": report.counts,
        "pending": report.pending,
        "tally": report.tally.as_json() if report.tally else None,
        "files": files,
    }
