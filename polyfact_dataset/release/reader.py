"""Reads releases: from a folder, or from a dataset on the Hugging Face Hub at a revision.

Audit, verification, baselines and the commands all find and read releases through this module and `layout`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyfact_dataset.common.errors import ConfigError, DataError, RetryableError
from polyfact_dataset.common.files import read_parquet, read_schema, readable
from polyfact_dataset.common.secrets import hub_token
from polyfact_dataset.common.untrusted import read_validated, shown
from polyfact_dataset.config.release import ReleaseConfig
from polyfact_dataset.release.audit_report import AuditReport
from polyfact_dataset.release.layout import configs_by_folder, content_of, data_files, folder_of, is_data_file
from polyfact_dataset.release.models import ITEMS, About, Manifest
from polyfact_dataset.release.schema import ERRATA
from polyfact_dataset.schema import SPLITS

REPORT = "audit/report.json"
_REPOSITORY = re.compile(r"(?P<repo>[\w.\-]+/[\w.\-]+)(?:@(?P<revision>[\w.\-/]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Files that are fetched from the Hub in addition to data files.
_DESCRIPTIONS = ("*.json", "*.md", "*.cff", "splits.parquet", "errata.parquet", "leaderboard.parquet")
# The config of files that are not in a separate folder.
DEFAULT = "default"
# The default path of a release of `polyfact build`.
DEFAULT_RELEASE = "build/release"
_ADVICE = "rebuild or download the release again"
ERRATA_FILE = "errata.parquet"


def is_repository(name: str) -> bool:
    """Whether the Hub could have a dataset `owner/name`."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1


def require_plain(name: str, repo: str) -> None:
    """Raises `DataError` for a path in a listing of the Hub that could lead out of a folder."""
    if not name or name.startswith("/") or "\\" in name or not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise DataError(f"{repo}: the Hub lists {shown(name)!r}, which is not a path in a repository")


@contextmanager
def _hub_errors(release: str) -> Iterator[None]:
    """Converts errors of the Hub's client to `PolyFactError`."""
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    hub_token()
    try:
        yield
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ConfigError(f"{release}: no such dataset or revision on the Hub, or no access to it") from error
    except (HfHubHTTPError, OSError) as error:
        raise RetryableError(f"{release}: the Hub cannot be reached ({type(error).__name__}); try again") from error


def _names_on_hub(repo: str, commit: str, folder: Path, configs: Sequence[str]) -> list[str]:
    """The data files of configs: from the manifest that was fetched into `folder`, else by the names of folders."""
    if (folder / "manifest.json").is_file():
        listed = read_manifest(folder)["configs"]
        return [name for config in configs for paths in listed.get(config, {}).values() for name in paths]
    from huggingface_hub import HfApi

    names = HfApi().list_repo_files(repo, repo_type="dataset", revision=commit)
    for name in names:
        require_plain(name, repo)
    return [name for name in names if is_data_file(name) and (folder_of(name) or DEFAULT) in (*configs, DEFAULT)]


def locate(release: str, configs: Sequence[str] = ("parallel",)) -> Path:
    """The folder of a release: a local one, or `owner/name[@revision]` fetched from the Hub into its cache.

    From the Hub, only the descriptions and the data files of `configs` are fetched. Raises `ConfigError` when there is
    neither, `RetryableError` when the Hub cannot be reached.
    """
    folder = Path(release)
    if folder.is_dir():
        return folder
    if release == DEFAULT_RELEASE:
        raise ConfigError(f"{release} does not exist; build a release with `polyfact build`, or name one")
    match = _REPOSITORY.fullmatch(release)
    if match is None or folder.exists() or not is_repository(match["repo"]):
        raise ConfigError(f"{release}: neither a folder nor owner/name[@revision] on the Hub")
    from huggingface_hub import snapshot_download

    def fetch(revision: str | None, names: Sequence[str]) -> Path:
        with _hub_errors(release):
            return Path(
                snapshot_download(match["repo"], repo_type="dataset", revision=revision, allow_patterns=list(names))
            )

    snapshot = fetch(match["revision"], _DESCRIPTIONS)
    # The name of the snapshot's folder is the commit; the data files are fetched from the same commit.
    names = _names_on_hub(match["repo"], snapshot.name, snapshot, configs)
    return fetch(snapshot.name, [re.sub(r"([*?[])", r"[\1]", name) for name in names]) if names else snapshot


def commit_of(folder: Path) -> str | None:
    """The commit of a release that `locate` fetched from the Hub; None for a local folder."""
    return folder.name if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name) else None


def config_order(configs: Iterable[str], languages: Sequence[str]) -> list[str]:
    """Configs in the order in which users see them; the first one is the default.

    `clean_items`, `clean`, `clean_<lang>`, `parallel`, `<lang>`, then the others.
    """
    first = [ITEMS, "clean", *(f"clean_{code}" for code in languages), "parallel", *languages]
    places = {name: position for position, name in enumerate(first)}
    return sorted(
        configs, key=lambda name: (places.get(name, len(places)), name.removeprefix("clean_"), name.startswith("clean"))
    )


def default_config(manifest: Mapping[str, Any]) -> str:
    """The config that `load_dataset` loads without a name; `parallel` for releases without flat clean rows."""
    return ITEMS if ITEMS in manifest["configs"] else "parallel"


def source_of(manifest: Mapping[str, Any]) -> str:
    """The source of a release: `sample` (bundled) or `dump`."""
    return str(manifest["build"].get("source", "dump"))


def _ordered(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with configs and splits in their order, which its file does not keep."""
    order = config_order(manifest["configs"], manifest["build"]["config"]["languages"])
    for name in ("configs", "sizes"):
        splits = manifest[name]
        manifest[name] = {key: {split: splits[key][split] for split in SPLITS if split in splits[key]} for key in order}
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a release; every path in it is that of a data file inside the release.

    Raises `ConfigError` when there is none, `DataError` when it is not the manifest of a release.
    """
    path = folder / "manifest.json"
    if (folder / "stages").is_dir():
        raise ConfigError(f"{folder} is a build folder; give its release: {folder / 'release'}")
    if not path.is_file():
        raise ConfigError(f"{folder} contains no manifest.json: it is not a release that `polyfact build` wrote")
    return _ordered(read_validated(path, Manifest, _ADVICE))


def read_about(folder: Path) -> dict[str, Any]:
    """Version, content and settings of a finished release: `release.json`. Raises `ConfigError` without it."""
    path = folder / "release.json"
    if not path.is_file():
        raise ConfigError(f"{folder} has no release.json; finish it with `polyfact build`")
    about = read_validated(path, About, "render it again: polyfact build")
    # Settings that were added later have their defaults.
    about["release"] = ReleaseConfig.model_validate(about["release"]).model_dump(mode="json")
    return about


def files_of_config(folder: Path, config: str) -> dict[str, list[Path]]:
    """Split -> Parquet files of a config of a release, or of a dataset in the published layout.

    Raises `ConfigError` for an unknown config, `DataError` for files that are missing or cannot be read.
    """
    if (folder / "manifest.json").is_file():
        return config_files(folder, config)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))
    named = [name for name in names if is_data_file(name)]
    configs = configs_by_folder(folder, [name for name in named if folder_of(name)])
    # Files that are not in separate folders form one config of any type.
    for splits in configs_by_folder(folder, [name for name in named if not folder_of(name)]).values():
        for split, paths in splits.items():
            configs.setdefault(DEFAULT, {}).setdefault(split, []).extend(paths)
    if config not in configs:
        known = ", ".join(configs) or "no Parquet file"
        raise ConfigError(f"{folder} has no config {config!r}; it has {known}")
    return {split: configs[config][split] for split in SPLITS if split in configs[config]}


def config_files(folder: Path, config: str, manifest: dict[str, Any] | None = None) -> dict[str, list[Path]]:
    """Split -> Parquet files of a config, as the release's manifest lists them.

    Raises `DataError` when it names a file that is missing, `ConfigError` for an unknown config.
    """
    listed: dict[str, dict[str, list[str]]] = (manifest or read_manifest(folder))["configs"]
    if config not in listed:
        raise ConfigError(f"{folder} has no config {config!r}; it has {', '.join(listed)}")
    for path in (path for paths in listed[config].values() for path in paths):
        if not (folder / path).is_file():
            raise DataError(f"{folder / path} is missing; rebuild or download the release again")
    return {split: [folder / path for path in paths] for split, paths in listed[config].items()}


def check_content(folder: Path) -> dict[str, Any]:
    """The manifest of a release whose data files are exactly those it lists.

    Raises `DataError` naming the file that differs.
    """
    manifest = read_manifest(folder)
    digests, listed = data_files(folder), manifest["files"]
    for name in sorted(digests.keys() | listed.keys()):
        if digests.get(name) != listed.get(name):
            state = "missing" if name not in digests else "not listed" if name not in listed else "changed"
            raise DataError(f"{folder / name} is {state} since the build; rebuild the release")
    if content_of(digests) != manifest["content"]:
        raise DataError(f"{folder / 'manifest.json'}: its content digest does not match its files; rebuild the release")
    return manifest


@dataclass(frozen=True)
class Release:
    """A release that was read from its folder. `audit` is its report, `changes` its change log in Markdown.

    `errata` are rows of `release.schema.ERRATA`.
    """

    folder: Path
    manifest: dict[str, Any]
    about: dict[str, Any]
    audit: AuditReport
    changes: str
    errata: Sequence[Mapping[str, Any]] = ()

    @property
    def languages(self) -> list[str]:
        """The language codes, in the order of the configuration."""
        return list(self.manifest["build"]["config"]["languages"])

    def rows(self, config: str) -> int:
        """The number of rows of a config."""
        return sum(self.manifest["sizes"][config].values())

    def schema(self, config: str) -> Any:
        """The Arrow schema of a config's files."""
        return read_schema(next(paths[0] for paths in config_files(self.folder, config, self.manifest).values()))


def read_release(folder: Path) -> Release:
    """A finished release. Raises `ConfigError` or `DataError` naming the missing file."""
    changes = folder / "CHANGELOG.md"
    if not changes.is_file():
        raise DataError(f"{changes} is missing; finish the release with `polyfact build`")
    with readable(changes):
        text = changes.read_text(encoding="utf-8")
    parts = read_manifest(folder), read_about(folder), read_audit(folder)
    return Release(folder, *parts, text, read_errata(folder))


def read_errata(folder: Path) -> list[dict[str, Any]]:
    """The errata of a release, by fact and language; [] without any. Raises `DataError` for another table."""
    path = folder / ERRATA_FILE
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = read_parquet(path, ERRATA.schema.names).to_pylist()
    return sorted(rows, key=lambda row: (row["fact_id"], row["language"] or ""))


def read_audit(folder: Path) -> AuditReport:
    """The report of a release's audit. Raises `DataError` when there is none, or when it cannot be read."""
    path = folder / REPORT
    if not path.is_file():
        raise DataError(f"{folder} has no audit; run `polyfact audit {folder}`")
    return AuditReport.model_validate(read_validated(path, AuditReport, f"rerun `polyfact audit {folder}`"))
