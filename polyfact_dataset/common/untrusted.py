"""JSON that others may have written: read, validated by the model that also writes it, and refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import read_json

Kind = TypeVar("Kind", bound=BaseModel)
_SHOWN_CHARACTERS = 120


class Untrusted(BaseModel):
    """A part of such a file: exact types, finite numbers; keys of other versions are allowed."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)


def shown(text: object) -> str:
    """A foreign text for a message: printable, on one line, and short."""
    line = ascii(str(text)[: _SHOWN_CHARACTERS + 1])[1:-1]
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}..."


def reason(error: ValidationError) -> str:
    """The first problem of a validation: its place and its message."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    return f"{shown(where)}: {message[:300]}" if where else message[:300]


def validate(model: type[BaseModel], value: Any, path: Path, advice: str) -> None:
    """Raises `DataError` that names the file, the place and the problem, with `advice`, unless `model` accepts it."""
    if not isinstance(value, dict):
        raise DataError(f"{path} is not a JSON object; {advice}")
    try:
        model.model_validate(value)
    except ValidationError as error:
        raise DataError(f"{path}: {reason(error)}; {advice}") from error


def read_validated(path: Path, model: type[BaseModel], advice: str) -> dict[str, Any]:
    """The object in a JSON file that `model` accepts, as it was written.

    Raises `DataError` when it is missing, broken, or has other content.
    """
    value: dict[str, Any] = read_json(path)
    validate(model, value, path, advice)
    return value
