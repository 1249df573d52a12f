"""The base of every configuration: typed, frozen sections, read from a file, overridden by flags, checked as a whole.

It is shared by the build, the audit and the trainers. `common.validation` checks it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from polyfact_dataset.common.errors import ConfigError


class Section(BaseModel):
    """A part of a configuration: immutable, without unknown keys, with finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def read_file(
    path: Path, parse: Callable[[str], Any] = tomllib.loads, errors: tuple[type[Exception], ...] = ()
) -> dict[str, Any]:
    """The content of a configuration file, parsed by `parse`, whose `errors` are reported like those of TOML.

    Raises `ConfigError` naming the file when it is missing, unreadable, or not a table of sections.
    """
    failures: tuple[type[Exception], ...] = (OSError, ValueError, RecursionError, *errors)
    try:
        data = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"configuration {path} does not exist") from error
    except failures as error:
        raise ConfigError(f"configuration {path}: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"configuration {path} must be a table of settings and sections")
    return data


def override(data: dict[str, Any], keys: Sequence[str], value: Any, source: str = "configuration") -> None:
    """Sets the value at the path `keys`, creating missing sections.

    Raises `ConfigError` when one of these is a value. `source` names the origin of the settings in that message.
    """
    *sections, name = keys
    target = data
    for section in sections:
        if target.get(section) is None:
            target[section] = {}
        target = target[section]
        if not isinstance(target, dict):
            raise ConfigError(f"{source}: {section} must be a section, not a value")
    target[name] = value
