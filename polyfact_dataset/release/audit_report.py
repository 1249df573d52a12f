"""The typed report of an audit, `audit/report.json`, which the card, the command line and the upload read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

EVERY = "all"


class GateResult(BaseModel):
    """A gate with its measured value; None where the release lacks data that the check needs."""

    model_config = ConfigDict(frozen=True)

    gate: str
    audit: str
    status: Literal["held", "broken", "not checked"]
    value: float | None
    at: Literal["most", "least"]
    limit: float
    # The limit of the default configuration.
    usual_limit: float
    reason: str
    detail: str


class Floor(BaseModel):
    """The accuracy of a rule or classifier that knows no fact, with which models must be compared.

    `split`, `language` and `relation` are `all` where it is pooled over them. Shares are 0 to 1. `expected` is what
    exchangeable options would give; `low` and `high` bound the accuracy at 95 %.
    """

    model_config = ConfigDict(frozen=True)

    rule: str
    takes: str
    sees: Literal["options", "question"]
    split: str
    language: str
    relation: str = EVERY
    # `clean` where only PolyFact-Clean (gold and silver) was scored.
    config: Literal["parallel", "clean"] = "parallel"
    facts: int = Field(ge=0)
    accuracy: float
    expected: float
    standard_error: float
    low: float
    high: float
    # Standard errors from the nearer one of expectation and chance.
    distance: float


class AuditReport(BaseModel):
    """The whole report. `audits` holds the tables and examples of each audit for readers."""

    model_config = ConfigDict(frozen=True)

    polyfact: str
    release: str
    content: str
    facts: int
    languages: list[str]
    splits: dict[str, int]
    passed: bool
    broken: list[str]
    not_checked: list[str]
    gates: list[GateResult]
    floors: list[Floor]
    audits: list[dict[str, Any]]

    def pooled(self, split: str, config: str = "parallel") -> list[Floor]:
        """The floors of a split over all languages and relations."""
        key = (split, EVERY, EVERY, config)
        return [floor for floor in self.floors if (floor.split, floor.language, floor.relation, floor.config) == key]
