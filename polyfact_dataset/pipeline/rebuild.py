"""Rebuild a release from its manifest and compare the result with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from polyfact_dataset import __version__
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.progress import Log
from polyfact_dataset.common.validation import validated
from polyfact_dataset.config.build import Config
from polyfact_dataset.facts import backfill
from polyfact_dataset.llm.cache import CACHE_NAME as MODEL_CACHE
from polyfact_dataset.pipeline import runner as pipeline
from polyfact_dataset.pipeline.inputs import read_objections, read_verification, resolve_inputs
from polyfact_dataset.release.reader import read_about, read_manifest
from polyfact_dataset.schema import VERIFICATION


def configuration(manifest_file: Path) -> tuple[dict[str, Any], Config]:
    """The manifest of a release and the configuration that it was built with.

    The section `release` is read from `release.json` next to it, if that exists. Raises `ConfigError` when this version
    does not know a setting.
    """
    if manifest_file.is_dir():
        manifest_file = manifest_file / "manifest.json"
    manifest = read_manifest(manifest_file.parent) if manifest_file.name == "manifest.json" else None
    if manifest is None:
        raise ConfigError(f"{manifest_file}: give the manifest.json of a release, or its folder")
    settings = manifest["build"]["config"]
    if (manifest_file.parent / "release.json").is_file():
        settings = {**settings, "release": read_about(manifest_file.parent)["release"]}
    config = _offline(settings, manifest_file)
    # A build writes no endpoints, caches or names of keys to a manifest; they are ignored in a manifest from elsewhere.
    return manifest, _offline({**config.identity(), "release": config.release.model_dump(mode="json")}, manifest_file)


def _offline(settings: dict[str, Any], manifest_file: Path) -> Config:
    """The settings of a build, with a backfill from cached answers only."""
    config, backfill = dict(settings), settings.get("backfill")
    if isinstance(backfill, dict):
        config["backfill"] = {**backfill, "offline": bool(backfill.get("enabled"))}
    return validated(Config, config, f"{manifest_file}: build.config")


def _answered(config: Config, answers: Path | None) -> Config:
    """The configuration with the caches of models and Wikidata's API from a build folder.

    Raises `ConfigError` where one was used and its cache is missing: a new answer would differ.
    """
    used = {}
    if config.questions.source == "model":
        used[MODEL_CACHE] = f"{config.questions.model} wrote the questions"
    if config.backfill.enabled:
        used[backfill.CACHE_NAME] = "Wikidata's API supplied labels that the dump lacks"
    for name, reason in used.items():
        if answers is None or not (answers / name).is_file():
            raise ConfigError(f"{reason}; give the build folder with the cached answers ({name}) by --cache-from")
    if answers is None:
        return config
    if not used:
        raise ConfigError("--cache-from is not needed: no model or API was used")
    caches = {name: answers / name if name in used else None for name in (MODEL_CACHE, backfill.CACHE_NAME)}
    return config.model_copy(
        update={
            "llm": config.llm.model_copy(update={"cache": caches[MODEL_CACHE]}),
            "backfill": config.backfill.model_copy(update={"cache": caches[backfill.CACHE_NAME]}),
        }
    )


def rebuild(
    manifest_file: Path,
    dump: Path | None,
    previous: Path | None,
    out: Path,
    log: Log,
    answers: Path | None = None,
    objections: Path | None = None,
) -> dict[str, Any]:
    """Builds into `out` what the manifest describes, and returns the new manifest of the release.

    `answers` is a build folder with the answers of models and of Wikidata's API, `objections` the file that was passed
    to the build. Raises `ConfigError` when the dump, the earlier release or the objections are not those it was built
    from, `DataError` with the names of the files that differ.
    """
    manifest, config = configuration(manifest_file)
    inputs = resolve_inputs(_answered(config, answers), dump, out, previous)
    if objections is not None:
        inputs = replace(inputs, objections=read_objections(objections))
    made_from = manifest["build"]
    inputs = replace(inputs, excluded=made_from.get("excluded", {}))
    identity = inputs.identity()
    if identity["dump"] != made_from["dump"]:
        raise ConfigError(
            f"{dump or 'the sample dump'} is {identity['dump'][:16]}, the release was built from "
            f"{made_from['dump'][:16]}; give that dump by --dump"
        )
    previous_release = made_from.get("previous_release")
    if identity["previous_release"] != previous_release or identity["previous"] != made_from.get("previous"):
        raise ConfigError(f"the release was built on {_release_name(previous_release)}; give it by --previous")
    if identity["objections"] != made_from.get("objections"):
        raise ConfigError(
            "the release was built with other objections; give the file by --objections"
            if made_from.get("objections")
            else "the release was built without --objections"
        )
    judged = (manifest_file if manifest_file.is_dir() else manifest_file.parent) / "data" / VERIFICATION.name
    if made_from.get("verification"):
        # It contains the items that affected the release; other judged items changed nothing.
        inputs = replace(inputs, verification=read_verification(judged) if judged.is_dir() else None)
    pipeline.run(inputs, out, log)
    rebuilt = read_manifest(out / "release")
    _compare(manifest, rebuilt)
    return rebuilt


def _release_name(release: dict[str, str] | None) -> str:
    return f"version {release['version']} (content {release['content'][:16]})" if release else "no earlier release"


def _compare(manifest: dict[str, Any], rebuilt: dict[str, Any]) -> None:
    """Raises `DataError` when two releases differ in their data."""
    if manifest["content"] == rebuilt["content"]:
        return
    names = sorted(manifest["files"].keys() | rebuilt["files"].keys())
    differing = [name for name in names if manifest["files"].get(name) != rebuilt["files"].get(name)]
    same_code = manifest["code"] == rebuilt["code"]
    reason = (
        "the code is the same, so a library differs: install the library versions of the original build"
        if same_code
        else f"the code differs (polyfact {manifest['polyfact']} then, {__version__} now): use the code of "
        "the original build"
    )
    raise DataError(
        f"the rebuilt release differs in {len(differing)} of {len(names)} files ({', '.join(differing[:3])}); {reason}"
    )
