"""The configuration of a build: typed, frozen, read from TOML, overridden by flags; unknown keys are errors."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from polyfact_dataset.errors import ConfigError
from polyfact_dataset.languages import PAPER_LANGUAGES, known
from polyfact_dataset.relations import all_relations


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExtractConfig(_Section):
    """Reading the dump. `workers` and `memory_mb` do not change the result."""

    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=256)
    # All processes together; where it is too little for the workers, there are fewer of them.
    memory_mb: int = Field(default=2000, ge=500)
    # Text that a worker gets at a time; of bz2 half as many compressed bytes.
    batch_bytes: int = Field(default=8 << 20, ge=1 << 10, le=1 << 28)
    # So many batches (of bz2 an eighth of that) become durable at once: about 1 GB of text.
    part_batches: int = Field(default=128, ge=1)
    max_line_bytes: int = Field(default=1 << 27, ge=1 << 10)
    # Up to this many broken lines are always quarantined; beyond, only up to the share of all lines.
    max_broken_lines: int = Field(default=10, ge=0)
    max_broken_share: float = Field(default=1e-4, ge=0, le=1)


class CandidatesConfig(_Section):
    """Which statements may become questions."""

    # Languages in which subject and object must have a label; below 12 needs a model to translate the rest.
    min_languages: int = Field(default=12, ge=1)
    # A relation's pool is cut to this many times its fair share of the facts: later stages see no more.
    pool_factor: float = Field(default=4.0, ge=1)
    # English labels that are catalogue designations (asteroids, genes, stars, road numbers), not names.
    catalogue_patterns: tuple[str, ...] = (
        r"^\(\d+\) ",
        r"^\d{3,} [A-Z][a-z]+$",
        r"^[A-Z]{1,6}[ -]?[JG]?\d[\d.+\-]{5,}",
        r"^(NGC|IC|HD|HIP|HR|UGC|PGC|Messier|Gliese|Kepler|WASP|SDSS|2MASS|GRB|PSR|TYC|BD|CD|SN)[ -]?[\dJ+-]",
        r"^\d{4} [A-Z]{2}\d*$",
    )


class SampleConfig(_Section):
    """Balanced sampling and splits (paper, appendix D.1)."""

    validation_share: float = Field(default=0.025, gt=0, lt=0.5)
    test_share: float = Field(default=0.025, gt=0, lt=0.5)
    # A relation with at least `min_relation_facts` facts has at least `min_split_facts` in validation and in test.
    min_split_facts: int = Field(default=8, ge=4)
    min_relation_facts: int = Field(default=40, ge=12)
    # No answer holds more of a relation's facts in a split: exchangeable distractors exist up to 25 %.
    answer_share_cap: float = Field(default=0.25, gt=0, le=0.25)


class DistractConfig(_Section):
    """Exchangeable distractors (reference: lessons, Exchangeable distractors)."""

    # Golds whose English labels are as long to within this ratio fall into one stratum.
    length_ratio: float = Field(default=1.5, gt=1)
    min_stratum_facts: int = Field(default=24, ge=4)


class TiersConfig(_Section):
    """PolyFact-Clean leaves out relations above this ambiguity (paper, Table 7)."""

    max_ambiguity: float = Field(default=0.20, ge=0, le=1)


class ExportConfig(_Section):
    """Parquet layout. Rows per group are fixed, so that the files do not depend on the machine."""

    row_group_rows: int = Field(default=1000, ge=1)
    shard_rows: int = Field(default=100_000, ge=1)


class Config(_Section):
    """A whole build."""

    seed: int = Field(default=42, ge=0)
    facts: int = Field(default=100_000, ge=1)
    languages: tuple[str, ...] = PAPER_LANGUAGES
    relations: tuple[str, ...] = Field(default_factory=lambda: tuple(all_relations()))
    extract: ExtractConfig = ExtractConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    sample: SampleConfig = SampleConfig()
    distract: DistractConfig = DistractConfig()
    tiers: TiersConfig = TiersConfig()
    export: ExportConfig = ExportConfig()

    @field_validator("languages")
    @classmethod
    def _languages(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [code for code in codes if code not in known()]
        if unknown or not codes or len(set(codes)) != len(codes):
            raise ValueError(f"unknown or repeated languages {unknown or codes}; known are {', '.join(known())}")
        if "en" not in codes:
            raise ValueError("English (en) must be among the languages: label lengths are matched in it")
        return codes

    @field_validator("relations")
    @classmethod
    def _relations(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [relation for relation in ids if relation not in all_relations()]
        if unknown or not ids or len(set(ids)) != len(ids):
            raise ValueError(f"unknown or repeated relations {unknown or ids}; known are {', '.join(all_relations())}")
        return ids


def load_config(path: Path | None = None, **overrides: Any) -> Config:
    """Reads the TOML file, lets `overrides` that are not None win, and checks everything.

    Raises `ConfigError` naming the file and the key.
    """
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(f"configuration {path} does not exist") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"configuration {path}: {error}") from error
    for key, value in overrides.items():
        if value is None:
            continue
        *sections, name = key.split("__")
        target = data
        for section in sections:
            target = target.setdefault(section, {})
        target[name] = value
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        source = f"configuration {path}" if path else "configuration"
        raise ConfigError(f"{source}: {where}: {first['msg']}") from error
