"""The stages of a build in their order, and what makes them resumable: keys, atomic folders, a manifest.

A stage's key is the digest of its settings, its sources and the keys of what it reads. A finished stage with the
same key is skipped. A stage writes into a temporary folder that is renamed when it is complete; its manifest entry
comes last. Durations are kept beside the manifest, so that equal builds have equal manifests.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from polyfact_dataset import __version__
from polyfact_dataset.config import Config
from polyfact_dataset.errors import ConfigError, DataError, RetryableError
from polyfact_dataset.parallel import MANY_ROWS, Workers
from polyfact_dataset.progress import Log
from polyfact_dataset.storage import (
    digest,
    digest_json,
    digest_sources,
    disk_errors,
    read_json,
    read_parquet,
    remove,
    sync,
    write_json,
    write_parquet,
    write_text,
)
from polyfact_dataset.wikidata.dump import STDIN, identify

PACKAGE = Path(__file__).parent
# The tables of a finished stage are hashed before they are trusted on a later run; larger ones are only measured.
_VERIFY_BYTES = 1 << 30
# Tells, in the folder of a stage that may resume, what was being made. What is hidden there is no result.
_KEY = ".key"
# What a build folder may hold before there is a manifest.
_CACHES = ("wikidata-cache.sqlite", "model-cache.sqlite")
_OWN = (
    *(".lock", "stages", "timings.json", "batches"),
    # Left by a kill while they are written.
    *(".timings.json.part", ".manifest.json.part"),
    *(f"{name}{end}" for name in _CACHES for end in ("", "-journal", "-wal", "-shm")),
)
_OWN_SOURCES = {
    "extract": tuple(
        f"wikidata/{name}.py"
        for name in ("bzip2", "chunks", "dump", "entities", "extract", "lines", "merge", "parts", "workers")
    ),
    "questions": ("questions", "llm", "facts", "wikidata/localise.py"),
    "tier": (
        *("quality/tiers.py", "quality/judged.py", "release/rows.py"),
        *(f"verification/{name}.py" for name in ("agreement", "figures", "items", "table")),
    ),
    "export": tuple(f"release/{name}.py" for name in ("content", "export", "rows")),
    "card": ("release", "../dataset_card", "../loading_script"),
}
# What every stage depends on.
_COMMON = ("records.py", "storage.py", "engine.py", "text.py", "relations.py", "relations.toml", "languages")


@dataclass(frozen=True)
class Stage:
    """One step: its module has `settings(config)` and `run(context)`. `reads` are stages whose tables it uses.

    One that `resumes` finds in its folder what an interrupted run of the same key left there. The files of a stage
    `beside` another stand among that stage's files, in its folder.
    """

    name: str
    module: str
    reads: tuple[str, ...]
    doc: str
    resumes: bool = False
    beside: str | None = None

    def load(self) -> ModuleType:
        return importlib.import_module(f"polyfact_dataset.{self.module}")

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files whose change makes the stage run again: its package, and what all stages share.

        The extraction, which may take hours, depends on its own modules alone, and the card on its templates as well.
        """
        own = _OWN_SOURCES.get(self.name, (self.module.split(".")[0],))
        return (*(PACKAGE / name for name in own), *(PACKAGE / name for name in _COMMON))


STAGES: tuple[Stage, ...] = (
    Stage("extract", "wikidata.extract", (), "read the dump: labels, types, statements", resumes=True),
    Stage("candidates", "facts.candidates", ("extract",), "choose the statements that may become questions"),
    Stage("backfill", "wikidata.backfill", ("extract", "candidates"), "ask Wikidata's API for what the dump lacks"),
    Stage("localise", "wikidata.localise", ("extract", "backfill"), "resolve labels with their provenance"),
    Stage(
        "namesakes",
        "wikidata.namesakes",
        ("extract", "backfill", "localise"),
        "find subjects that share a name, and what tells them apart",
    ),
    Stage(
        "questions",
        "questions.write",
        ("extract", "backfill", "localise", "namesakes"),
        "write the question in every language",
    ),
    Stage("validate", "questions.validate", ("localise", "questions"), "keep facts sound in all languages"),
    Stage(
        "sample",
        "facts.sample",
        ("backfill", "localise", "questions", "validate"),
        "balance relations, split by subject, draw exchangeable distractors",
    ),
    Stage("items", "facts.items", ("questions", "sample"), "lay out every item in every language"),
    Stage("tier", "quality.tiers", ("questions", "items"), "assign quality tiers"),
    Stage(
        "export", "release.export", ("extract", "localise", "questions", "items", "tier"), "write the release folder"
    ),
    Stage("audit", "quality.audit.run", ("extract", "items", "export"), "measure whether the release tests recall"),
    Stage(
        "card",
        "release.documents",
        ("export", "audit"),
        "describe the release: card, figures, version",
        beside="export",
    ),
)
LAST = STAGES[-1].name
BY_NAME = {stage.name: stage for stage in STAGES}


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


def stage_folder(out: Path, stage: str) -> Path:
    """Where a finished stage's tables are."""
    if stage in ("export", "card"):
        return out / "release"
    if stage == "audit":
        # Beside the data it speaks of, and no part of the content that it names.
        return out / "release" / "audit"
    return out / "stages" / f"{[s.name for s in STAGES].index(stage) + 1:02}-{stage}"


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Holds the build folder. Raises `ConfigError` when another build does."""
    path = out / ".lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(f"cannot write in {out}: {error.strerror}; choose another --out") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"another build is running in {out}; wait for it, or choose another --out") from error
        yield
    finally:
        os.close(handle)


def read_manifest(out: Path, overwrite: bool = False) -> dict[str, Any]:
    """The manifest of a build folder. Raises `DataError` when it is damaged, unless all may be made anew."""
    path = out / "manifest.json"
    try:
        manifest = read_json(path)
        # Builds of earlier versions have no seal.
        if not isinstance(manifest, dict) or manifest.pop("seal", None) not in (None, digest_json(manifest)):
            raise DataError(f"{path} is not as it was written")
    except DataError as error:
        if overwrite:
            return {"stages": {}}
        raise DataError(f"{error}; restore it, or give --overwrite to build anew") from error
    return manifest


def _write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    """Writes the manifest with the digest of what it says: a wrong digit in it would end up in a release."""
    write_json(out / "manifest.json", {**manifest, "seal": digest_json(manifest)})


def _read_timings(out: Path, log: Log) -> dict[str, float]:
    """The durations of earlier runs, which no result depends on."""
    path = out / "timings.json"
    try:
        found = read_json(path) if path.exists() else {}
        return {stage.name: float(found[stage.name]) for stage in STAGES if stage.name in found}
    except (DataError, ValueError, TypeError, OverflowError) as error:
        log.line(f"{path}: durations of earlier stages are lost: {error}")
        return {}


def _open_folder(out: Path, identity: dict[str, Any], overwrite: bool) -> dict[str, Any]:
    """The manifest to go on with. Raises `ConfigError` when the folder holds something else."""
    path = out / "manifest.json"
    if not path.exists():
        others = [entry.name for entry in out.iterdir() if entry.name not in _OWN]
        if others and not overwrite:
            raise ConfigError(
                f"{out} holds {', '.join(sorted(others)[:3])} but no build; choose an empty --out, or give --overwrite"
            )
        return {"polyfact": __version__, "build": identity, "stages": {}}
    manifest = read_manifest(out, overwrite)
    if manifest.get("build") != identity and not overwrite:
        changed = _differences(manifest.get("build") or {}, identity)
        raise ConfigError(f"{out} holds another build (different {changed}); choose another --out, or give --overwrite")
    return {**manifest, "polyfact": __version__, "build": identity}


def _is_gone(dump: Path | None) -> bool:
    """Whether a later run cannot read the dump again."""
    return dump is None or dump == STDIN


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> str:
    """The dotted names of the settings that differ."""
    names = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict) and before != after:
            names.append(_differences(before, after, f"{prefix}{key}."))
        elif before != after:
            names.append(f"{prefix}{key}")
    return ", ".join(names).replace("config.", "")


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


def _is_whole(entry: dict[str, Any], folder: Path) -> bool:
    """Every file is there with its size and, unless hashing would take long, its digest."""
    files = entry["files"]
    hashed = sum(info["bytes"] for info in files.values()) <= _VERIFY_BYTES
    return all(
        (folder / name).is_file()
        and (folder / name).stat().st_size == info["bytes"]
        and (not hashed or digest(folder / name) == info["sha256"])
        for name, info in files.items()
    )


def _files(folder: Path) -> dict[str, Any]:
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith("."):
            info: dict[str, Any] = {"bytes": path.stat().st_size, "sha256": digest(path)}
            if path.suffix == ".parquet":
                info["rows"] = pq.read_metadata(path).num_rows
            files[name] = info
    return files


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
        manifest = {**_open_folder(out, identity, overwrite), "dump_is_gone": _is_gone(inputs.dump)}
        timings = _read_timings(out, log)
        write_json(out / "timings.json", timings)
        redo = False
        for stage in STAGES[: [s.name for s in STAGES].index(until) + 1]:
            key, entry = _key(stage, inputs.config, manifest), manifest["stages"].get(stage.name)
            folder = stage_folder(out, stage.name)
            done = bool(not redo and entry and entry["key"] == key and _is_whole(entry, folder))
            if done and not entry.get("pending"):
                log.line(f"{stage.name}: done before")
                continue
            if not done:
                # What was made from another version of this stage must not stand beside it.
                for later in STAGES[STAGES.index(stage) + 1 :]:
                    _withdraw(out, later, manifest["stages"].get(later.name))
            before = manifest["stages"]
            started = time.monotonic()
            manifest["stages"] = {s.name: manifest["stages"][s.name] for s in STAGES[: STAGES.index(stage)]}
            work = supply if supply and not stage.reads else stage.load().run
            if any(rows >= MANY_ROWS for name in stage.reads for rows in _rows(manifest["stages"][name])):
                workers.start()
            context = Context(inputs, out, log, _working_folder(out, stage), manifest, workers)
            made = _execute(stage, key, work, context, folder)
            manifest["stages"][stage.name] = made
            # What was pending may be so still: then nothing that was made from it is made again.
            redo = not (done and made["files"] == entry["files"])
            if not redo:
                manifest["stages"] = {**before, stage.name: made}
            timings[stage.name] = time.monotonic() - started
            write_json(out / "timings.json", timings)
            _write_manifest(out, manifest)
            _tidy(folder)
            log.line(f"{stage.name}: {timings[stage.name]:.1f} s")
    return manifest


def _withdraw(out: Path, stage: Stage, entry: Mapping[str, Any] | None) -> None:
    """Removes what a stage made; of one beside another, the files that its manifest entry names."""
    folder = stage_folder(out, stage.name)
    if not stage.beside:
        remove(folder)
    for name in (entry or {}).get("files", {}):
        remove(folder / name)


def _settle(target: Path, folder: Path, files: Mapping[str, Any]) -> None:
    """Moves the files of `target` among those of `folder`."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(target / name, folder / name)
        sync((folder / name).parent)
    remove(target)


def _working_folder(out: Path, stage: Stage) -> Path:
    """Where a stage writes until it is done."""
    return out / "stages" / f".{stage.name}.part"


def _rows(entry: dict[str, Any]) -> Iterator[int]:
    """The numbers of rows of a finished stage's files."""
    yield from (info.get("rows", 0) for info in entry["files"].values())


def _prepare(target: Path, folder: Path, key: str | None) -> None:
    """Makes the folder of a stage; one that may resume keeps what a run of the same key wrote."""
    if key is not None:
        # A run may have been killed when its folder was in place, but not yet in the manifest.
        for path in (target, folder):
            if (path / _KEY).exists() and (path / _KEY).read_text() == key:
                os.replace(path, target)
                return
    remove(target)
    target.mkdir()
    if key is not None:
        write_text(target / _KEY, key)


def _tidy(folder: Path) -> None:
    for path in folder.glob(".*"):
        remove(path)


def _execute(stage: Stage, key: str, work: Supply, context: Context, folder: Path) -> dict[str, Any]:
    """Does a stage's work in a folder of its own, which then takes the place of `folder`; its manifest entry."""
    target, out = context.folder, context.out
    _prepare(target, folder, key if stage.resumes else None)
    context.log.line(f"{stage.name}: {stage.doc}")
    try:
        report = work(context)
    except (OSError, duckdb.Error, BrokenProcessPool) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RetryableError(f"stage {stage.name} in {out}: {reason}; free disk or memory, then run again") from error
    if report.tally is not None:
        report.tally.check(stage.name)
    files = _files(target)
    sync(target)
    # The manifest must not name what is about to be replaced.
    _write_manifest(out, context.manifest)
    if stage.beside:
        _settle(target, folder, files)
    else:
        remove(folder)
        os.replace(target, folder)
        sync(folder.parent)
    return {
        "key": key,
        "counts": report.counts,
        "pending": report.pending,
        "tally": report.tally.as_json() if report.tally else None,
        "files": files,
    }
