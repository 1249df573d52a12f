"""The configuration of a build: typed, frozen, read from TOML, overridden by flags; unknown keys are errors."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any, Literal

import duckdb
from pydantic import (
    Field,
    StrictInt,
    field_validator,
    model_validator,
)

from polyfact_dataset.catalog.language import PAPER_LANGUAGES, chosen, known
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.validation import validated
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.config.base import Section, override, read_file
from polyfact_dataset.config.models import LlmConfig, SystemRole, VerificationConfig
from polyfact_dataset.config.release import ReleaseConfig
from polyfact_dataset.config.wikidata import BackfillConfig, ExtractConfig


@cache
def _check_pattern(pattern: str) -> None:
    """Raises `ValueError` for what is no expression of DuckDB (RE2: those of Python without look-around)."""
    try:
        with duckdb.connect() as connection:
            connection.execute("SELECT regexp_matches('', ?)", [pattern]).fetchall()
    except duckdb.Error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {str(error).splitlines()[0]}") from error


class CandidatesConfig(Section):
    """Which statements may become questions."""

    # Languages in which subject and object must have a label; fewer than all need a model to translate the rest.
    min_languages: int | None = Field(default=None, ge=1)
    # A relation's pool is limited to this many times its fair share of the facts.
    pool_factor: float = Field(default=4.0, ge=1)
    # Minimum size of a pool, so that a small release keeps enough facts where many are rejected.
    min_pool: int = Field(default=1000, ge=1)
    # English labels that are catalogue designations (asteroids, genes, stars, road numbers), not names.
    catalogue_patterns: tuple[str, ...] = (
        r"^\(\d+\) ",
        # Not years: "1955 Dodge" and "2017 Movistar Team" are names.
        r"^(1[0-7]\d\d|2[1-9]\d\d|[3-9]\d{3}|\d{5,}) [A-Z][a-z]+$",
        r"^[A-Z]{1,6}[ -]?[JG]?\d[\d.+\-]{5,}",
        r"^(NGC|IC|HD|HIP|HR|UGC|PGC|Messier|Gliese|Kepler|WASP|SDSS|2MASS|GRB|PSR|TYC|BD|CD|SN)[ -]?[J+-]?\d",
        r"^\d{4} [A-Z]{2}\d*$",
    )

    @field_validator("catalogue_patterns")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            _check_pattern(pattern)
        return patterns


class FeaturesConfig(Section):
    """The features that select wordings and match distractors."""

    # Persons born more than 110 years before this year are assumed to be dead. By default the latest year of births and
    # publications in the dump, without the last thousandth, which holds announcements and errors.
    reference_year: int | None = Field(default=None, ge=1, le=9999)


class LabelsConfig(Section):
    """Sources of labels other than Wikidata."""

    # Table of labels written by people (tab separated: qid, then a column per language), or a list of tables, of which
    # earlier ones take precedence. They are used after Wikidata's labels and never count as attested. Their content is
    # part of a build's identity.
    written: tuple[Path, ...] = ()

    @field_validator("written", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | Path) else value


class NamesakesConfig(Section):
    """Subjects of one relation that share a label."""

    # A namesake with fewer sitelinks than this share of the subject's does not make the name ambiguous. Measured:
    # cities above a million inhabitants lost 12.2 % of their facts at 0 and 3.2 % at 0.25.
    min_sitelinks_share: float = Field(default=0.25, ge=0)


"""The role of a prompt's instructions; with `none` they begin the user's message, for models without such a role."""


class QuestionsConfig(Section):
    """The source of the questions, and how a fact is treated for which a model fails."""

    source: Literal["template", "model"] = "template"
    # The model's name on the server, and the revision that is served, where it is known.
    model: str = ""
    revision: str = ""
    # `direct`: each language from the fact. `english_first`: English from the fact, the others from the English.
    mode: Literal["direct", "english_first"] = "direct"
    # A language for which the model fails twice: the fact is dropped (the paper), or has the template's question.
    fallback: Literal["drop", "template"] = "drop"
    # Make the server enforce the JSON schema of the answer.
    guided: bool = True
    # In place of the prompts' parameters (temperature, max_tokens, ...), for models that accept others.
    parameters: dict[str, float | int] | None = None
    system_role: SystemRole = "system"
    # Extra facts for which questions are generated, since some fail or have no distractors.
    spare_share: float = Field(default=0.05, ge=0)

    @model_validator(mode="after")
    def _named(self) -> QuestionsConfig:
        if self.source == "model" and not self.model:
            raise ValueError("model is empty: name the model that writes the questions with --model")
        if self.source == "template" and self.model:
            raise ValueError(f"model is {self.model!r}, but templates write the questions; add --questions model")
        return self


class SampleConfig(Section):
    """Balanced sampling and splits (paper, appendix D.1)."""

    validation_share: float = Field(default=0.025, gt=0, lt=0.5)
    test_share: float = Field(default=0.025, gt=0, lt=0.5)
    # A relation with at least `min_relation_facts` facts has at least `min_split_facts` in validation and in test.
    min_split_facts: int = Field(default=8, ge=4)
    min_relation_facts: int = Field(default=40, ge=12)
    # A relation that cannot have its minimum in every split is left out as a whole, or is only in train.
    small_relations: Literal["leave_out", "train"] = "leave_out"
    # In a release of fewer than `small_release_facts`, a relation with at least `test_relation_facts` facts has at
    # least `min_test_facts` in test: with fewer, an audit could not tell a bias from chance.
    small_release_facts: int = Field(default=20_000, ge=0)
    test_relation_facts: int = Field(default=500, ge=12)
    min_test_facts: int = Field(default=100, ge=4)
    # Largest share of one answer in a relation's facts of a split: exchangeable distractors exist up to 25 %.
    answer_share_cap: float = Field(default=0.25, gt=0, le=0.25)

    @model_validator(mode="after")
    def _possible(self) -> SampleConfig:
        if self.validation_share + self.test_share > 0.5:
            raise ValueError("validation_share and test_share may contain at most half of the facts")
        if 4 * self.min_split_facts > self.min_relation_facts:
            raise ValueError("min_relation_facts must be at least 4 times min_split_facts: train needs the larger part")
        if 2 * self.min_test_facts > self.test_relation_facts:
            raise ValueError("test_relation_facts must be at least 2 times min_test_facts: train needs the larger part")
        return self


class DistractConfig(Section):
    """Exchangeable distractors."""

    # `blocks`: blocks of four facts, matched in what their questions give away. `strata`: permutations of the golds of
    # facts with the same kind of subject, and type and length of answer.
    design: Literal["blocks", "strata"] = "blocks"
    # Of blocks: up to so many times as many facts are matched as are asked for, of which the best are kept.
    oversample: float = Field(default=3.0, ge=1)
    # The share of a relation's blocks that is left out in any case, those whose questions give away most.
    drop_share: float = Field(default=0.01, ge=0, lt=0.5)
    # Facts that agree in kind of subject, wording and type of answer are matched among themselves from so many on.
    min_cell_facts: int = Field(default=24, ge=4)
    # Facts that are matched at a time, and rounds of exchanging them between blocks.
    chunk_facts: int = Field(default=480, ge=8)
    rounds: int = Field(default=15, ge=0)
    # Of strata: golds whose English labels differ in length by at most this ratio are in one stratum.
    length_ratio: float = Field(default=1.5, gt=1)
    min_stratum_facts: int = Field(default=8, ge=4)


class TiersConfig(Section):
    """PolyFact-Clean excludes relations above this ambiguity (paper, Table 7)."""

    max_ambiguity: float = Field(default=0.20, ge=0, le=1)
    # A relation with fewer judged items keeps the ambiguity of `relations.toml`.
    min_judged_items: int = Field(default=30, ge=1)
    # The share measured in a relation is shrunk towards that of all relations, with this many items as the prior.
    prior_items: float = Field(default=10, ge=0)


class ExportConfig(Section):
    """Parquet layout. Rows per group are fixed, so that the files do not depend on the machine."""

    row_group_rows: int = Field(default=1000, ge=1)
    # Largest size of a file's rows in memory: compressed on disk, a file is well below the Hub's 500 MB.
    shard_bytes: int = Field(default=450_000_000, ge=1)


class Config(Section):
    """A whole build."""

    seed: StrictInt = Field(default=42, ge=0)
    facts: StrictInt = Field(default=100_000, ge=1)
    # `paper` (the paper's twelve), `all` (every language that has a file), or codes.
    languages: tuple[str, ...] = PAPER_LANGUAGES
    relations: tuple[str, ...] = Field(default_factory=lambda: tuple(all_relations()))
    # The number of cores is that of the machine which builds, when it builds.
    extract: ExtractConfig = Field(default_factory=ExtractConfig)
    candidates: CandidatesConfig = CandidatesConfig()
    backfill: BackfillConfig = BackfillConfig()
    features: FeaturesConfig = FeaturesConfig()
    labels: LabelsConfig = LabelsConfig()
    namesakes: NamesakesConfig = NamesakesConfig()
    questions: QuestionsConfig = QuestionsConfig()
    llm: LlmConfig = LlmConfig()
    verification: VerificationConfig = VerificationConfig()
    sample: SampleConfig = SampleConfig()
    distract: DistractConfig = DistractConfig()
    tiers: TiersConfig = TiersConfig()
    export: ExportConfig = ExportConfig()
    audit: AuditConfig = AuditConfig()
    release: ReleaseConfig = ReleaseConfig()

    def identity(self) -> dict[str, Any]:
        """The settings on which the result depends, as JSON."""
        backfill = set(BackfillConfig.model_fields) - {"enabled", "min_languages"}
        ignored: Any = {
            "extract": {"workers", "memory_mb", "max_expansion", "max_window_bytes"},
            "backfill": backfill,
            "labels": {"written"},
            "llm": True,
            "verification": True,
            "audit": True,
            "release": True,
        }
        settings = self.model_dump(mode="json", exclude=ignored)
        # Settings added after 1.0 are omitted at their defaults, so that earlier builds keep their identity.
        for name, default in (("parameters", None), ("system_role", "system")):
            if settings["questions"][name] == default:
                del settings["questions"][name]
        # Where all languages are required, their number was once written, and at least the paper's twelve.
        if settings["candidates"]["min_languages"] is None:
            settings["candidates"]["min_languages"] = max(len(PAPER_LANGUAGES), len(self.languages))
        return settings if self.llm.seed else {**settings, "llm": {"seed": False}}

    @property
    def min_languages(self) -> int:
        """Languages in which both ends of a candidate must have a label in the dump."""
        requested = min(self.candidates.min_languages or len(self.languages), len(self.languages))
        return min(requested, self.backfill.min_languages) if self.backfill.enabled else requested

    @field_validator("languages", mode="before")
    @classmethod
    def _named_languages(cls, languages: Any) -> Any:
        if isinstance(languages, str) and languages not in ("paper", "all"):
            raise ValueError(f"{languages!r} must be 'paper', 'all' or a list of codes; known are {', '.join(known())}")
        return chosen(languages) if isinstance(languages, str) else languages

    @field_validator("languages")
    @classmethod
    def _languages(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        _check_names("languages", codes, known())
        if "en" not in codes:
            raise ValueError("English (en) must be among the languages: label lengths are matched in it")
        return codes

    @field_validator("relations")
    @classmethod
    def _relations(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        _check_names("relations", ids, all_relations())
        return ids


def _check_names(what: str, names: tuple[str, ...], among: Collection[str]) -> None:
    """Raises `ValueError` unless the names are some of `among`, each named once."""
    unknown = [name for name in names if name not in among]
    if unknown or not names or len(set(names)) != len(names):
        raise ValueError(f"unknown or repeated {what} {unknown or names}; known are {', '.join(among)}")


def load_config(path: Path | None = None, **overrides: Any) -> Config:
    """Reads the TOML file, lets `overrides` that are not None win, and checks everything.

    An override of a setting in a section is named `section__setting`. Raises `ConfigError` naming the file and the key.
    """
    source = f"configuration {path}" if path is not None else "configuration"
    data = read_file(path) if path is not None else {}
    for key, value in overrides.items():
        if value is not None:
            override(data, key.split("__"), value, source)
    return validated(Config, data, source)
