"""The JSON files of a release as pydantic models with bounds. They validate what is written and what is read.

A release may come from anybody. Names in `manifest.json` become paths and parts of SQL queries, so that each is a
plain name of a table that the release can have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from polyfact_dataset.common.untrusted import Untrusted, shown
from polyfact_dataset.config.release import ReleaseConfig

Split = Literal["train", "validation", "test"]
Count = Annotated[int, Field(ge=0, le=10**12)]
Text = Annotated[str, Field(max_length=1000)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]
Tallied = dict[Text, Count]
# The config with a row for every clean item in every language.
ITEMS = "clean_items"
# Statistics take a query for each language.
_MOST_LANGUAGES = 100
_MOST_FILES = 100_000
# Path components are plain names, so that a manifest cannot lead out of the release.
_DATA_FILE = re.compile(r"data/(\w[\w\-]*)/\w[\w\-]*\.parquet", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]+)*")


def table_of(path: str) -> str:
    """The table of a data file. Raises `ValueError` for a path that is not one of a data file."""
    match = _DATA_FILE.fullmatch(path)
    if match is None:
        raise ValueError(f"names {shown(path)!r}, which is not a data file of a release")
    return match[1]


def tables_of(config: str, languages: Sequence[str]) -> tuple[str, ...]:
    """The tables whose files a config may list. Raises `ValueError` for a config that no release has."""
    if config == ITEMS:
        return tuple(languages)
    table = config.removeprefix("clean").removeprefix("_") or "parallel"
    if table not in ("parallel", "open", "verification", *languages):
        raise ValueError(f"{shown(config)!r} is not a config of a release")
    return (table,)


class _Tiers(Untrusted):
    max_ambiguity: float = Field(ge=0, le=1)
    min_judged_items: int = Field(ge=0)


class _Settings(Untrusted):
    languages: list[str] = Field(min_length=1, max_length=_MOST_LANGUAGES)
    tiers: _Tiers | None = None

    @field_validator("languages")
    @classmethod
    def _codes(cls, codes: list[str]) -> list[str]:
        for code in codes:
            if not _LANGUAGE.fullmatch(code):
                raise ValueError(f"{shown(code)!r} is not a language code")
        if len(set(codes)) < len(codes):
            raise ValueError("a language is named twice")
        return codes


class Named(Untrusted):
    """A version by its number and content."""

    version: Text
    content: Text


class _Build(Untrusted):
    config: _Settings
    dump: Text = ""
    source: Literal["sample", "dump"] = "dump"
    previous: Text | None = None
    previous_release: Named | None = None
    objections: Text | None = None
    errata: Text | None = None
    verification: Text | None = None
    written_labels: Text | None = None
    excluded: dict[Text, Text] = {}


class _Tally(Untrusted):
    input: Count
    kept: Count
    rejected: Tallied


class _Counts(Untrusted):
    """The counts that documents state, each by one stage."""

    statements: Count = 0
    candidates: Count = 0
    valid_candidates: Count = 0


class _Stage(Untrusted):
    counts: _Counts
    tally: dict[Text, _Tally] | None


class _Evidence(Untrusted):
    judged: Count
    ambiguity: float | None = Field(ge=0, le=1)


class _TierCounts(_Counts):
    attested: dict[Text, Tallied] = {}
    relations: dict[Text, _Evidence] = {}
    verification: dict[str, Any] | None = None


class _TierStage(_Stage):
    counts: _TierCounts


class _Stages(Untrusted):
    __pydantic_extra__: dict[str, _Stage]

    tier: _TierStage = Field(default=_TierStage(counts=_TierCounts(), tally=None))


class Manifest(Untrusted):
    """`manifest.json`: inputs, configuration, counts and digests."""

    polyfact: Text = ""
    code: Text = ""
    build: _Build
    content: Text
    files: dict[str, Digest] = Field(max_length=_MOST_FILES)
    configs: dict[str, dict[Split, Annotated[list[str], Field(min_length=1, max_length=_MOST_FILES)]]]
    sizes: dict[str, dict[Split, Count]]
    relations: dict[Text, dict[Split, Count]] = {}
    stages: _Stages

    @model_validator(mode="after")
    def _listed(self) -> Manifest:
        if self.configs.keys() != self.sizes.keys() or not self.configs.get("parallel"):
            raise ValueError("configs and sizes must name the same configs, parallel among them")
        for config, splits in self.configs.items():
            tables = tables_of(config, self.build.config.languages)
            if not splits or splits.keys() != self.sizes[config].keys():
                raise ValueError(f"sizes of {config} must name its splits")
            for split, paths in splits.items():
                for path in paths:
                    if table_of(path) not in tables or re.split("[-.]", path.rpartition("/")[2])[0] != split:
                        raise ValueError(f"{config}.{split} lists {path}, which is of another table or split")
        for path in self.files:
            table_of(path)
        return self


class ListedFiles(Untrusted):
    """The part of a manifest that an audit of any layout reads."""

    files: dict[str, Text] = Field(default={}, max_length=_MOST_FILES)
    build: _Build | None = None


class About(Untrusted):
    """`release.json`: version, content and settings of a finished release."""

    version: Text
    content: Text
    previous: Named | None = None
    dump_date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")] | None = None
    release: Annotated[ReleaseConfig, Field(strict=False)]


class _BySplit(Untrusted):
    train: Count
    validation: Count
    test: Count


class _ByTier(Untrusted):
    gold: Count
    silver: Count
    bronze: Count


class _Relation(Untrusted):
    label: Text
    domain: Text
    answers: Count
    splits: _BySplit
    tiers: _ByTier


class _Language(Untrusted):
    subject_provenance: Tallied
    answer_provenance: Tallied
    option_provenance: Tallied
    question_source: Tallied
    questions: Count


_Bins = Annotated[list[Count], Field(min_length=9, max_length=9)]


class _TierBins(Untrusted):
    gold: _Bins
    silver: _Bins
    bronze: _Bins


class _Popularity(Untrusted):
    percentiles: Tallied
    bins: _TierBins


class Statistics(Untrusted):
    """`statistics.json`: the figures of a release."""

    content: Text
    source: Literal["sample", "dump"] = "dump"
    facts: Count
    items: Count
    subjects: Count
    answers: Count
    sizes: dict[Text, dict[Split, Count]]
    splits: _BySplit
    tiers: _ByTier
    relations: dict[Text, _Relation]
    domains: Tallied
    verification: Tallied
    popularity: _Popularity
    languages: Annotated[dict[Text, _Language], Field(max_length=_MOST_LANGUAGES)]


_FourTexts = Annotated[list[str], Field(min_length=4, max_length=4)]


class _ShownItem(Untrusted):
    question: str
    option_a: str
    option_b: str
    option_c: str
    option_d: str
    answer_index: Annotated[int, Field(ge=0, le=3)]
    option_ids: _FourTexts
    option_provenance: _FourTexts


class ShownFact(Untrusted):
    """What is shown of a row of `parallel`."""

    fact_id: str
    translations: dict[Text, _ShownItem]
