"""Where a release is: a folder, or a dataset on the Hugging Face Hub at a revision."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from polyfact_dataset.errors import ConfigError, DataError, RetryableError

_REPOSITORY = re.compile(r"(?P<repo>[\w.\-]+/[\w.\-]+)(?:@(?P<revision>[\w.\-/]+))?")


def locate(release: str) -> Path:
    """The folder of a release: a local one, or `owner/name[@revision]` fetched from the Hub into its cache.

    Raises `ConfigError` when there is neither, `RetryableError` when the Hub cannot be reached.
    """
    folder = Path(release)
    if folder.is_dir():
        return folder
    match = _REPOSITORY.fullmatch(release)
    if match is None or folder.exists():
        raise ConfigError(f"{release}: neither a folder nor owner/name[@revision] on the Hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(snapshot_download(match["repo"], repo_type="dataset", revision=match["revision"]))
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ConfigError(f"{release}: no such dataset or revision on the Hub, or no access to it") from error
    except (HfHubHTTPError, OSError) as error:
        raise RetryableError(f"{release}: the Hub cannot be reached ({type(error).__name__}); try again") from error


def config_files(folder: Path, config: str) -> dict[str, list[Path]]:
    """Split -> Parquet files of a config, as the release's README.md lists them.

    Raises `DataError` when the card cannot be read or names a file that is missing or outside the folder,
    `ConfigError` for an unknown config.
    """
    card = folder / "README.md"
    try:
        block = card.read_text(encoding="utf-8").split("---\n", 2)[1]
        listed = {entry["config_name"]: entry["data_files"] for entry in yaml.safe_load(block)["configs"]}
    except (OSError, UnicodeDecodeError, IndexError, KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"{card} has no YAML block with configs: is {folder} a release?") from error
    if config not in listed:
        raise ConfigError(f"{folder} has no config {config!r}; it has {', '.join(listed)}")
    files: dict[str, list[Path]] = {}
    for entry in listed[config]:
        paths = [entry["path"]] if isinstance(entry["path"], str) else entry["path"]
        for path in paths:
            found = (folder / path).resolve()
            inside = folder.resolve() in found.parents or found.is_file() and (folder / path).is_symlink()
            if ".." in Path(path).parts or Path(path).is_absolute() or not inside:
                raise DataError(f"{card} names {path}, which is outside the release")
            if not found.is_file():
                raise DataError(f"{card} names {path}, which is missing; build or fetch the release again")
            files.setdefault(entry["split"], []).append(folder / path)
    return files
