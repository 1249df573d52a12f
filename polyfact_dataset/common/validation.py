"""Settings and data files as typed models: the first problem in one line that names the source and the entry.

An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from polyfact_dataset.common.errors import ConfigError

Kind = TypeVar("Kind", bound=BaseModel)


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
