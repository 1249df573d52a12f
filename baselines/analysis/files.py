"""The files of an analysis: `<output>.json` (inputs, settings, metrics) and `<output>.npz` (arrays).

The JSON names the digest of the arrays and of all inputs; results computed from different inputs are never compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from baselines.evaluate.results import hardware, software
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import atomic, digest, write_json

SCHEMA = 1
Kind = Literal["lape", "lahis", "layer_rank", "failure_modes", "uncertainty", "drift"]
Arrays = Mapping[str, NDArray[Any]]


class Result(BaseModel):
    """One analysis of one model (drift: of `models[1]` against `models[0]`; failure modes: of a result file).

    `inputs`: name -> digest or revision of everything that was read; `arrays`: SHA-256 of the .npz file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA
    kind: Kind
    label: str
    languages: tuple[str, ...]
    models: list[dict[str, Any]]
    inputs: dict[str, Any]
    settings: dict[str, Any]
    metrics: dict[str, Any]
    seconds: float
    software: dict[str, str]
    hardware: dict[str, Any]
    arrays: str


def save(path: Path, arrays: Arrays, **fields: Any) -> Result:
    """Writes the arrays, then the result that names them; either file is whole or absent."""
    with atomic(path.with_suffix(".npz")) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, allow_pickle=False, **{name: np.asarray(values) for name, values in arrays.items()})
    sha256 = digest(path.with_suffix(".npz"))
    result = Result(arrays=sha256, software=software(), hardware=hardware(), **fields)
    write_json(path, result.model_dump(mode="json"))
    return result


def load(path: Path) -> tuple[Result, dict[str, NDArray[Any]]]:
    """Reads a result and its arrays. Raises `DataError` for anything else, also for arrays of another digest."""
    try:
        result = Result.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        detail = f"{'.'.join(map(str, first['loc']))}: {first['msg']}, not {str(first['input'])[:40]!r}"
        raise DataError(f"{path} is no result of an analysis: {detail}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if result.schema_version != SCHEMA:
        raise DataError(f"{path} has schema version {result.schema_version}, this version reads {SCHEMA}; run it again")
    arrays_path = path.with_suffix(".npz")
    if not arrays_path.is_file() or digest(arrays_path) != result.arrays:
        raise DataError(f"{arrays_path} is missing or is not the file that {path.name} was written with; run it again")
    with np.load(arrays_path, allow_pickle=False) as arrays:
        return result, dict(arrays)


def plain(values: NDArray[Any]) -> Any:
    """Nested lists for JSON, None for NaN."""
    nested = values.astype(object)
    nested[np.isnan(values)] = None
    return nested.tolist()


def slug(label: str) -> str:
    """A label as part of a file name."""
    return re.sub(r"[^\w.-]+", "-", label).strip("-.") or "model"


def prepare(output: Path, overwrite: bool) -> None:
    """Fails before any work when the result could not be written."""
    if output.suffix != ".json":
        raise ConfigError(f"--output {output} must end in .json")
    if output.exists() and not overwrite:
        raise ConfigError(f"{output} is there already; choose another --output or add --overwrite")


def refuse_mixing(results: Sequence[Result]) -> None:
    """Raises `DataError` when results of one kind have other inputs, settings or languages than the first."""
    first = results[0]
    for other in results[1:]:
        for name in ("inputs", "settings", "languages"):
            if getattr(other, name) != getattr(first, name):
                raise DataError(
                    f"{first.kind} of {first.label!r} and {other.label!r} differ in {name} and cannot be compared; "
                    "run both on the same data with the same settings"
                )
