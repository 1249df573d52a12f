"""The base of every configuration: typed, frozen sections, read from a file, overridden by flags, checked as a whole.

It is shared by the build, the audit and the trainers. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from polyfact_dataset.common.errors import ConfigError


class Section(BaseModel):
    """A part of a configuration: immutable, without unknown keys, with finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Kind = TypeVar("Kind", bound=BaseModel)


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


def validated(kind: type[Kind], data: dict[str, Any], source: str = "configuration") -> Kind:
    """`data` as a configuration. Raises `ConfigError` with `source`, the key and the problem with its value."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            reason = f"unknown setting; {_suggestion(str(first['loc'][-1]), setting_names(kind, first['loc'][:-1]))}"
        raise ConfigError(f"{source}: {where + ': ' if where else ''}{reason}") from error


def setting_names(kind: type[BaseModel], sections: Sequence[Any] = ()) -> list[str]:
    """The settings of a configuration, or of the section at `sections`, sorted; none where there is no such section."""
    for name in sections:
        if name not in kind.model_fields:
            return []
        annotation = kind.model_fields[name].annotation
        types = (annotation, *get_args(annotation))
        models = [one for one in types if isinstance(one, type) and issubclass(one, BaseModel)]
        if not models:
            return []
        kind = models[0]
    return sorted(kind.model_fields)


def _suggestion(name: str, known: Sequence[str]) -> str:
    """The nearest known name; all of them where none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known) or 'none here'}"
