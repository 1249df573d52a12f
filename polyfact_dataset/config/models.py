"""The configuration of models: their endpoint and budget, and how a model judges a release."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from polyfact_dataset.common.secrets import bare_url
from polyfact_dataset.config.base import Section

SystemRole = Literal["system", "developer", "none"]


class LlmConfig(Section):
    """The endpoint and the budget of a model. No setting except `seed` changes an answer."""

    # OpenAI-compatible endpoint, such as http://host:8000/v1. Without one, only cached answers are used.
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    # The environment variable that holds the key; the key itself is never a setting.
    api_key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Za-z_]\w*$")
    # SQLite file with every answer; by default in the build folder.
    cache: Path | None = None
    # Whether requests carry a seed; some servers reject it (vLLM on CPUs fails).
    seed: bool = True
    in_flight: int = Field(default=64, ge=1)
    # Time limits of one attempt, and of a request with all its attempts.
    timeout_s: float = Field(default=120.0, gt=0)
    deadline_s: float = Field(default=900.0, gt=0)
    # The first pause after a failure; it doubles with each further failure up to the maximum.
    first_wait_s: float = Field(default=0.5, gt=0)
    max_wait_s: float = Field(default=30.0, gt=0)
    # A server that accepts no connection for this long ends the run.
    max_down_s: float = Field(default=10.0, gt=0)
    # Number of unanswered requests at which the run stops; whether to continue without them at its end.
    max_unanswered: int = Field(default=20, ge=0)
    accept_unanswered: bool = False
    # Number of requests from which the cost of the rest is estimated before it is sent.
    probe_requests: int = Field(default=50, ge=1)
    # USD per million tokens, and the most that one run may spend.
    price_in_usd: float | None = Field(default=None, ge=0)
    price_out_usd: float | None = Field(default=None, ge=0)
    # USD per thousand calls of the provider's web search.
    price_search_usd: float | None = Field(default=None, ge=0)
    budget_usd: float | None = Field(default=None, gt=0)

    @field_validator("base_url")
    @classmethod
    def _without_key(cls, url: str | None) -> str | None:
        try:
            return bare_url(url)
        except ValueError as error:
            raise ValueError(f"{error}; put a key into the variable of api_key_env") from error

    @model_validator(mode="after")
    def _priced(self) -> LlmConfig:
        if (self.price_in_usd is None) != (self.price_out_usd is None):
            raise ValueError("give both price_in_usd and price_out_usd (--price-in, --price-out)")
        prices = self.price_in_usd, self.price_out_usd, self.price_search_usd
        if self.budget_usd is not None and not any(prices):
            raise ValueError("a budget needs prices: give --price-in and --price-out")
        return self


class VerificationConfig(Section):
    """Judging and reviewing a release (paper, appendix D.2). Nothing here changes a build."""

    # Items of each language; the paper judged 300 and had people review 100 of them.
    items: int = Field(default=300, ge=1)
    # The judge, and the revision that is served, where it is known.
    model: str = ""
    revision: str = ""
    # `responses` can search the web; `chat` is for servers that have no Responses API.
    api: Literal["responses", "chat"] = "responses"
    # The provider's tool for web search; empty for no search. Chat servers have none.
    search_tool: str = "web_search"
    # Make a chat server enforce the JSON schema of the answer.
    guided: bool = True
    # In place of the prompts' parameters (temperature, max_tokens, ...), for models that accept others.
    parameters: dict[str, float | int] | None = None
    system_role: SystemRole = "system"
    # A judge that finds fewer of the planted defects, or objects to more correct items, is not used.
    min_recall: float = Field(default=0.8, ge=0, le=1)
    max_false_alarms: float = Field(default=0.2, ge=0, le=1)

    @property
    def searches(self) -> bool:
        """Whether the judge can search the web."""
        return self.api == "responses" and bool(self.search_tool)
