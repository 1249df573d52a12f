"""Result files: the inputs, settings and metrics of an evaluation, and the scores of every item.

A result is a JSON file and a Parquet file of scores (`r.json` and `r.scores.parquet`), joined by a digest, so that
every metric can be recomputed without a model.
`SCHEMA` counts the versions of this layout; a result of another version is refused.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import digest, digest_json, read_parquet, write_parquet, write_text
from polyfact_dataset.schema import STRING, STRINGS, Column, Table

SCHEMA = 2
Kind = Literal["mcq", "open", "klar", "klar_ranked", "bmlama", "global_mmlu"]
GENERATED: tuple[Kind, ...] = ("open", "klar")
_PACKAGES = (
    *("polyfact", "torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy", "lm_eval", "peft", "trl"),
)

# The item that is scored.
KEY = (
    Column("fact_id", STRING, "fact, question of another benchmark, or `relation|index` of KLAR"),
    Column("group", STRING, "relation: Wikidata id, or KLAR's name; subject of another benchmark"),
    Column("language", STRING, "language code"),
)
# What the results of an item are split by; null where the data do not say.
ITEM = (
    Column("domain", STRING, "domain of the relation", nullable=True),
    Column("popularity", pa.int32(), "number of Wikimedia sitelinks of the subject", nullable=True),
    Column("subject_articles", STRINGS, "languages in whose Wikipedia the subject has an article", nullable=True),
    Column("script_match", pa.bool_(), "the subject's label is in a script of the language", nullable=True),
    Column("prompt_bytes", pa.int32(), "UTF-8 bytes of the prompt", nullable=True),
    Column("prompt_tokens", pa.int32(), "tokens of the prompt", nullable=True),
)

CHOICES = Table(
    "choices",
    (
        *KEY,
        Column("option", pa.int16(), "position of the option as shown, from 0"),
        Column("option_id", STRING, "Wikidata id of the option, its letter, or its name in English"),
        Column("name", STRING, "text scored for the option; several rows where accepted names were scored"),
        Column("gold", pa.bool_(), "whether the option is correct in this language"),
        Column("logprob", pa.float64(), "summed log-probability of the answer given the prompt, natural log"),
        Column("tokens", pa.int32(), "tokens of the answer", nullable=True),
        Column("characters", pa.int32(), "Unicode characters of the text scored"),
        Column("bytes", pa.int32(), "UTF-8 bytes of the text scored"),
        *ITEM,
    ),
)

MODES = ("correct", "wrong_language", "wrong_fact", "incoherent", "declined")
GENERATIONS = Table(
    "generations",
    (
        *KEY,
        Column("sample", pa.int16(), "number of the sample of this item, from 0"),
        Column("prediction", STRING, "first line generated, without reasoning"),
        Column("accepted", STRINGS, "answers that count as correct, the gold label first"),
        Column("exact", pa.bool_(), "equal to an accepted answer after folding"),
        Column("lenient", pa.bool_(), "matches an accepted answer by the paper's rule and normalisation"),
        Column("folded", pa.bool_(), "matches an accepted answer by the paper's rule after folding"),
        Column("mode", STRING, "`correct`, `declined`, `wrong_language`, `wrong_fact` or `incoherent`"),
        Column("logprob", pa.float64(), "summed log-probability of the generated tokens, natural log", nullable=True),
        Column("tokens", pa.int32(), "tokens generated, without reasoning", nullable=True),
        Column("thinking_tokens", pa.int32(), "tokens of reasoning that was removed", nullable=True),
        Column("contaminated", pa.bool_(), "the triple is in the training split", nullable=True),
        *ITEM,
    ),
)
TABLES: dict[str, Table] = {kind: GENERATIONS if kind in GENERATED else CHOICES for kind in get_args(Kind)}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(_Section):
    """The items. `digests`: language code -> SHA-256 of the items; equal digests mean equal items."""

    source: str
    config: str
    split: str
    revision: str | None
    content: str | None
    facts: int
    languages: tuple[str, ...]
    digests: dict[str, str]


class Prompt(_Section):
    """The prompt. `sha256` covers the wording in all languages."""

    style: str
    sha256: str


class Speed(_Section):
    """`items` are (fact, language) pairs; `seconds` are summed over `processes`; latency is of one item alone."""

    items: int
    seconds: float
    processes: int
    items_per_s: float
    latency_median_s: float | None = None
    latency_p95_s: float | None = None


class Scores(_Section):
    """The Parquet file of the result."""

    file: str
    sha256: str
    rows: int


class Result(_Section):
    """A whole result."""

    schema_version: int = SCHEMA
    kind: Kind
    label: str
    data: Data
    model: dict[str, Any]
    prompt: Prompt
    settings: dict[str, Any]
    counts: dict[str, int]
    seed: int
    software: dict[str, str]
    hardware: dict[str, Any]
    speed: Speed
    metrics: dict[str, Any]
    scores: Scores


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def software() -> dict[str, str]:
    """Versions of the packages that computed the result."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        if (installed := _version(package)) is not None:
            versions[package] = installed
    return versions


def hardware() -> dict[str, Any]:
    """Processor, cores and accelerators."""
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerators": devices,
    }


def table_of(kind: str, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Rows in the layout of the kind's scores."""
    return pa.table(dict(columns), schema=TABLES[kind].schema)


def save(path: Path, scores: pa.Table, **fields: Any) -> Result:
    """Writes the scores, then the result that names them; either file is whole or absent."""
    scores_path = path.with_name(f"{path.stem}.scores.parquet")
    write_parquet(scores_path, scores)
    entry = Scores(file=scores_path.name, sha256=digest(scores_path), rows=len(scores))
    result = Result(scores=entry, **fields)
    write_text(path, json.dumps(result.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n")
    return result


def load_result(path: Path) -> Result:
    """Reads a result. Raises `DataError` for a file that is no result, or one of another schema version."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"result {path} cannot be read: {error}") from error
    schema_version = content.get("schema_version") if isinstance(content, dict) else None
    if schema_version is None:
        raise DataError(f"{path} is no result of these evaluators: it has no schema_version")
    if schema_version != SCHEMA:
        raise DataError(
            f"result {path} has schema version {schema_version}, this version reads {SCHEMA}; evaluate again"
        )
    try:
        return Result.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"result {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def load_scores(path: Path, result: Result) -> pa.Table:
    """The scores of the result at `path`. Raises `DataError` when they are missing or have another digest."""
    try:
        scores_path = path.with_name(result.scores.file)
        is_there = scores_path.is_file()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {result.scores.file[:80]!r} (scores.file) is no name of a file") from error
    if not is_there:
        raise DataError(f"{scores_path} is missing: the scores of {path.name} must be in the same folder")
    if digest(scores_path) != result.scores.sha256:
        raise DataError(f"{scores_path} is not the file that {path.name} was written with (its digest differs)")
    table = read_parquet(scores_path)
    expected = TABLES[result.kind].schema
    if (table.schema.names, table.schema.types) != (expected.names, expected.types):
        raise DataError(f"{scores_path} has columns {_columns(table.schema)}; expected {_columns(expected)}")
    return table


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)


def refuse_mixing(results: Mapping[str, Result], languages: Sequence[str]) -> None:
    """Raises `DataError` when results of one kind are of different items in `languages`. Keys name the files."""
    first_name, first = next(iter(results.items()))
    for name, other in results.items():
        if digest_json(_digests(first, languages)) != digest_json(_digests(other, languages)):
            wrong = next(c for c in languages if first.data.digests.get(c) != other.data.digests.get(c))
            raise DataError(
                f"{first_name} and {name} have different items in {wrong}: "
                f"{_data_name(first.data)} against {_data_name(other.data)}; evaluate both on the same data"
            )


def _digests(result: Result, languages: Sequence[str]) -> dict[str, str | None]:
    return {code: result.data.digests.get(code) for code in languages}


def _data_name(data: Data) -> str:
    content = (data.content or data.revision or "unversioned")[:12]
    return f"{data.source} {data.config}/{data.split} ({data.facts} facts, {content})"


def refuse_overwriting(path: Path, overwrite: bool) -> None:
    """Raises `ConfigError` when `path` exists, unless it may be overwritten."""
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists; choose another --output or add --overwrite")
