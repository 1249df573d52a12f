"""The folder of a build: its lock and manifest, and the folders of its stages, which are written atomically.

A stage writes into a temporary folder that is renamed when it is complete; its manifest entry is written last.
Durations are stored next to the manifest, so that equal builds have equal manifests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import Field

from polyfact_dataset import __version__
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import (
    digest,
    digest_json,
    is_temporary,
    make_folder,
    read_json,
    remove,
    sweep,
    sync,
    sync_tree,
    write_json,
    write_text,
)
from polyfact_dataset.common.locking import LOCK, lock
from polyfact_dataset.common.progress import Log
from polyfact_dataset.common.untrusted import Untrusted, validate
from polyfact_dataset.pipeline.stages import STAGES, Stage, stage_folder

# On a later run, the tables of a finished stage are verified by digest up to this size, larger ones by size only.
_VERIFY_BYTES = 1 << 30
# Records the key of a stage that may resume, in its folder. Hidden files there are not results.
_KEY = ".key"
# Files that a build folder may contain before it has a manifest.
_CACHES = ("wikidata-cache.sqlite", "model-cache.sqlite")
_OWN = (
    *(LOCK, "stages", "timings.json", "batches"),
    *(f"{name}{end}" for name in _CACHES for end in ("", "-journal", "-wal", "-shm")),
)


class _File(Untrusted):
    bytes: int = Field(ge=0)
    sha256: str
    rows: int = Field(default=0, ge=0)


class _Entry(Untrusted):
    key: str
    counts: dict[str, Any]
    pending: int = Field(default=0, ge=0)
    tally: dict[str, Any] | None
    files: dict[str, _File]


class BuildManifest(Untrusted):
    """`manifest.json` of a build folder."""

    build: dict[str, Any]
    stages: dict[str, _Entry]


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Locks the build folder. Raises `ConfigError` when another build has locked it."""
    with lock(out, f"another build is running in {out}; wait for it, or choose another --out"):
        sweep(out)
        yield


def read_manifest(out: Path, overwrite: bool = False) -> dict[str, Any]:
    """The manifest of a build folder. Raises `DataError` when it is damaged, unless the build may be overwritten."""
    path = out / "manifest.json"
    try:
        manifest = read_json(path)
        # Manifests of earlier versions have no digest.
        if not isinstance(manifest, dict) or manifest.pop("seal", None) not in (None, digest_json(manifest)):
            raise DataError(f"{path} was changed after it was written")
        validate(BuildManifest, manifest, path, "it is not the manifest of a build")
    except DataError as error:
        if overwrite:
            return {"stages": {}}
        raise DataError(f"{error}; restore it, or give --overwrite to start a new build") from error
    return manifest


def write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    """Writes the manifest with its digest, since a damaged value would get into a release."""
    write_json(out / "manifest.json", {**manifest, "seal": digest_json(manifest)})


def read_timings(out: Path, log: Log) -> dict[str, float]:
    """The durations of earlier runs. No result depends on them."""
    path = out / "timings.json"
    try:
        timings = read_json(path) if path.exists() else {}
        return {stage.name: float(timings[stage.name]) for stage in STAGES if stage.name in timings}
    except (DataError, ValueError, TypeError, OverflowError) as error:
        log.line(f"{path}: durations of earlier stages are lost: {error}")
        return {}


def open_folder(out: Path, identity: dict[str, Any], overwrite: bool) -> dict[str, Any]:
    """The manifest to continue with. Raises `ConfigError` when the folder contains something else."""
    path = out / "manifest.json"
    if not path.exists():
        others = [entry.name for entry in out.iterdir() if entry.name not in _OWN and not is_temporary(entry)]
        if others and not overwrite:
            raise ConfigError(
                f"{out} holds {', '.join(sorted(others)[:3])} but no build; choose an empty --out, or give --overwrite"
            )
        return {"polyfact": __version__, "build": identity, "stages": {}}
    manifest = read_manifest(out, overwrite)
    # Excluded facts do not make another build: only the stages that depend on them rerun.
    previous_identity = {name: value for name, value in (manifest.get("build") or {}).items() if name != "excluded"}
    if previous_identity != {name: value for name, value in identity.items() if name != "excluded"} and not overwrite:
        changed = _differences(manifest.get("build") or {}, identity)
        raise ConfigError(f"{out} holds another build (different {changed}); choose another --out, or give --overwrite")
    return {**manifest, "polyfact": __version__, "build": identity}


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


def is_whole(entry: dict[str, Any], folder: Path) -> bool:
    """Whether every file exists with its size and, unless hashing would take long, its digest."""
    files = entry["files"]
    hashed = sum(info["bytes"] for info in files.values()) <= _VERIFY_BYTES
    return all(
        (folder / name).is_file()
        and (folder / name).stat().st_size == info["bytes"]
        and (not hashed or digest(folder / name) == info["sha256"])
        for name, info in files.items()
    )


def files_of(folder: Path) -> dict[str, Any]:
    """Name -> size, digest and, of a table, rows of every file of a stage that is not hidden."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith("."):
            info: dict[str, Any] = {"bytes": path.stat().st_size, "sha256": digest(path)}
            if path.suffix == ".parquet":
                info["rows"] = pq.read_metadata(path).num_rows
            files[name] = info
    return files


def withdraw(out: Path, stage: Stage, entry: Mapping[str, Any] | None) -> None:
    """Removes a stage's results; of one colocated with another, only the files that its manifest entry names."""
    folder = stage_folder(out, stage)
    if not stage.colocated_with:
        remove(folder)
    for name in (entry or {}).get("files", {}):
        remove(folder / name)


def _move_files(target: Path, folder: Path, files: Mapping[str, Any]) -> None:
    """Moves the files of `target` among those of `folder`."""
    for name in files:
        make_folder((folder / name).parent)
        os.replace(target / name, folder / name)
        sync((folder / name).parent)
    remove(target)


def working_folder(out: Path, stage: Stage) -> Path:
    """The folder in which a stage writes until it is complete."""
    return out / "stages" / f".{stage.name}.part"


def prepare(target: Path, folder: Path, key: str | None) -> None:
    """Creates the folder of a stage. One that may resume keeps the files of a run with the same key."""
    if key is not None:
        # A run may have been killed when its folder was in place, but not yet in the manifest.
        for path in (target, folder):
            if (path / _KEY).is_file() and (path / _KEY).read_bytes() == key.encode():
                os.replace(path, target)
                sync(target.parent)
                return
    remove(target)
    make_folder(target)
    if key is not None:
        write_text(target / _KEY, key)


def tidy(folder: Path) -> None:
    """Removes the hidden files of a stage's folder."""
    for path in folder.glob(".*"):
        remove(path)


def install(stage: Stage, target: Path, folder: Path, files: Mapping[str, Any]) -> None:
    """Moves the files of `target` to their place: replaces `folder`, or adds them to the files of another stage."""
    sync_tree(target)
    if stage.colocated_with:
        _move_files(target, folder, files)
    else:
        remove(folder)
        os.replace(target, folder)
        sync(folder.parent)
