"""A section of the configuration: typed, frozen, and without unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """What every section of the configuration is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
