"""Where a release is, and what stands in it: a folder, or a dataset on the Hugging Face Hub at a revision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from polyfact_dataset.common.errors import ConfigError, DataError, RetryableError
from polyfact_dataset.common.files import read_json, readable
from polyfact_dataset.release.audit_report import AuditReport
from polyfact_dataset.release.content import content_of, data_files
from polyfact_dataset.schema import SPLITS

REPORT = "audit/report.json"
Split = Literal["train", "validation", "test"]
_REPOSITORY = re.compile(r"(?P<repo>[\w.\-]+/[\w.\-]+)(?:@(?P<revision>[\w.\-/]+))?")
# Of plain parts alone: what a manifest names stays inside the release (the Hub's cache has links, which is fine).
_DATA_FILE = re.compile(r"data/\w[\w\-]*/\w[\w\-]*\.parquet", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]+)*")
# What is fetched from the Hub beside the data: everything that describes it.
_DESCRIPTION = ("*.json", "*.md", "*.cff", "splits.parquet")


def is_repository(name: str) -> bool:
    """Whether the Hub could have a dataset `owner/name`."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1


def locate(release: str, tables: Sequence[str] = ("parallel",)) -> Path:
    """The folder of a release: a local one, or `owner/name[@revision]` fetched from the Hub into its cache.

    Of one on the Hub, only the description and the data of `tables` are fetched. Raises `ConfigError` when there is
    neither, `RetryableError` when the Hub cannot be reached.
    """
    folder = Path(release)
    if folder.is_dir():
        return folder
    match = _REPOSITORY.fullmatch(release)
    if match is None or folder.exists() or not is_repository(match["repo"]):
        raise ConfigError(f"{release}: neither a folder nor owner/name[@revision] on the Hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    wanted = [*_DESCRIPTION, *(f"data/{table}/*.parquet" for table in tables)]
    try:
        return Path(
            snapshot_download(match["repo"], repo_type="dataset", revision=match["revision"], allow_patterns=wanted)
        )
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ConfigError(f"{release}: no such dataset or revision on the Hub, or no access to it") from error
    except (HfHubHTTPError, OSError) as error:
        raise RetryableError(f"{release}: the Hub cannot be reached ({type(error).__name__}); try again") from error


class _Settings(BaseModel):
    languages: list[str]


class _Build(BaseModel):
    config: _Settings


class _Manifest(BaseModel):
    """What readers of a manifest rely on; its names are built into queries."""

    model_config = ConfigDict(strict=True)

    build: _Build
    configs: dict[str, dict[Split, Annotated[list[str], Field(min_length=1)]]]
    content: str
    files: dict[str, str]
    sizes: dict[str, dict[Split, int]]
    stages: dict[str, Any]

    @model_validator(mode="after")
    def _same(self) -> _Manifest:
        if self.configs.keys() != self.sizes.keys() or not self.configs.get("parallel"):
            raise ValueError("configs and sizes must name the same configs, parallel among them")
        return self


def _ordered(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with configs as readers expect them: `parallel`, `clean`, languages, their clean ones, the rest."""
    languages = list(manifest["build"]["config"]["languages"])

    def place(config: str) -> tuple[int, int, int, str]:
        table = config.removeprefix("clean_")
        if config in ("parallel", "clean"):
            return 0, config == "clean", 0, config
        own = table in languages
        return 1 if own else 2, config.startswith("clean_"), languages.index(table) if own else -1, table

    order = sorted(manifest["configs"], key=place)
    for name in ("configs", "sizes"):
        splits = manifest[name]
        manifest[name] = {key: {split: splits[key][split] for split in SPLITS if split in splits[key]} for key in order}
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a release, which names data files inside it alone.

    Raises `ConfigError` when there is none, `DataError` when it is no manifest.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise ConfigError(f"{folder} holds no manifest.json: it is no release that `polyfact build` wrote")
    manifest = _object(path)
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {where}: {first['msg']}; build or fetch the release again") from error
    named = [name for splits in manifest["configs"].values() for paths in splits.values() for name in paths]
    for name in (*named, *manifest["files"]):
        if not _DATA_FILE.fullmatch(name):
            raise DataError(f"{path} names {name!r}, which is no data file of a release")
    for code in manifest["build"]["config"]["languages"]:
        if not _LANGUAGE.fullmatch(code):
            raise DataError(f"{path}: {code!r} is no language code")
    return _ordered(manifest)


def read_about(folder: Path) -> dict[str, Any]:
    """What a finished release says of itself: `release.json`. Raises `ConfigError` when the release has none."""
    path = folder / "release.json"
    if not path.is_file():
        raise ConfigError(f"{folder} has no release.json; finish it with `polyfact build`")
    about = _object(path)
    missing = [name for name in ("version", "content", "release") if name not in about]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; render it again: polyfact build")
    return about


def config_files(folder: Path, config: str, manifest: dict[str, Any] | None = None) -> dict[str, list[Path]]:
    """Split -> Parquet files of a config, as the release's manifest lists them.

    Raises `DataError` when it names a file that is missing, `ConfigError` for an unknown config.
    """
    listed: dict[str, dict[str, list[str]]] = (manifest or read_manifest(folder))["configs"]
    if config not in listed:
        raise ConfigError(f"{folder} has no config {config!r}; it has {', '.join(listed)}")
    for path in (path for paths in listed[config].values() for path in paths):
        if not (folder / path).is_file():
            raise DataError(f"{folder / path} is missing; build or fetch the release again")
    return {split: [folder / path for path in paths] for split, paths in listed[config].items()}


def check_content(folder: Path) -> dict[str, Any]:
    """The manifest of a release whose data files are exactly those it lists. Raises `DataError` naming what differs."""
    manifest = read_manifest(folder)
    found = data_files(folder)
    for name in sorted(found.keys() | manifest["files"].keys()):
        if found.get(name) != manifest["files"].get(name):
            state = "missing" if name not in found else "not listed" if name not in manifest["files"] else "changed"
            raise DataError(f"{folder / name} is {state} since the build; build the release again")
    if content_of(found) != manifest["content"]:
        raise DataError(f"{folder / 'manifest.json'}: its content digest is not that of its files; build again")
    return manifest


@dataclass(frozen=True)
class Release:
    """A release read from its folder. `audit` is its report, `changes` its change log in Markdown."""

    folder: Path
    manifest: dict[str, Any]
    about: dict[str, Any]
    audit: AuditReport
    changes: str

    @property
    def languages(self) -> list[str]:
        """The language codes, in the order of the configuration."""
        return list(self.manifest["build"]["config"]["languages"])

    def rows(self, config: str) -> int:
        """The number of rows of a config."""
        return sum(self.manifest["sizes"][config].values())

    def schema(self, config: str) -> Any:
        """The Arrow schema of a config's files."""
        return pq.read_schema(next(paths[0] for paths in config_files(self.folder, config, self.manifest).values()))


def read_release(folder: Path) -> Release:
    """A finished release. Raises `ConfigError` or `DataError` naming what it lacks."""
    changes = folder / "CHANGELOG.md"
    if not changes.is_file():
        raise DataError(f"{changes} is missing; finish the release with `polyfact build`")
    with readable(changes):
        text = changes.read_text(encoding="utf-8")
    return Release(folder, read_manifest(folder), read_about(folder), read_audit(folder), text)


def read_audit(folder: Path) -> AuditReport:
    """The report of a release's audit. Raises `DataError` when there is none, or when it cannot be read."""
    path = folder / REPORT
    if not path.is_file():
        raise DataError(f"{folder} has no audit; run `polyfact audit {folder}`")
    try:
        return AuditReport.model_validate(_object(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {where}: {first['msg']}; run `polyfact audit {folder}` again") from error


def _object(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise DataError(f"{path} is no JSON object; build or fetch the release again")
    return found
