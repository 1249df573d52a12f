"""The configuration of the sources of Wikidata: the dump and the API."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from polyfact_dataset.common.secrets import bare_url
from polyfact_dataset.config.base import Section


class ExtractConfig(Section):
    """Reading the dump. `workers` and `memory_mb` do not change the result."""

    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=256)
    # For all processes together; where it is too little for all workers, fewer are started.
    memory_mb: int = Field(default=2000, ge=500)
    # Size of a worker's batch of text; for bz2, an eighth of it in compressed bytes.
    batch_bytes: int = Field(default=8 << 20, ge=1 << 10, le=1 << 28)
    # Number of batches in one durable part (half as many for bz2): about 1 GB of text.
    part_batches: int = Field(default=128, ge=1)
    max_line_bytes: int = Field(default=1 << 27, ge=1 << 10)
    # Largest ratio of text to compressed bytes, against decompression bombs; Wikidata's is about 20.
    max_expansion: float = Field(default=1000, ge=1)
    # Largest memory that a zst frame may require; the default allows files of `zstd --ultra -22 --long=27`.
    max_window_bytes: int = Field(default=1 << 27, ge=1 << 10, le=1 << 31)
    # Up to this many broken lines are always quarantined; beyond, only up to the share of all lines.
    max_broken_lines: int = Field(default=10, ge=0)
    max_broken_share: float = Field(default=1e-4, ge=0, le=1)


class BackfillConfig(Section):
    """Fetching labels that the dump lacks from Wikidata's API. Only the first two settings change the result."""

    enabled: bool = False
    # Languages in which both ends of a fact must have a label in the dump; the others are fetched from the API.
    min_languages: int = Field(default=8, ge=0)
    # Use cached answers only and send no requests.
    offline: bool = False
    # An e-mail address or URL for the User-Agent header, as Wikimedia's policy requires.
    contact: str = ""
    api: str = Field(default="https://www.wikidata.org/w/api.php", pattern=r"^https?://")
    # SQLite file with every answer ever received; by default in the build folder.
    cache: Path | None = None
    batch_ids: int = Field(default=50, ge=1, le=50)
    requests_per_s: float = Field(default=1.0, gt=0)
    maxlag_s: int = Field(default=5, ge=1)
    timeout_s: float = Field(default=60.0, gt=0)
    max_tries: int = Field(default=8, ge=1)
    # The first pause after a failure; it doubles with each further failure up to the maximum.
    first_wait_s: float = Field(default=1.0, gt=0)
    max_wait_s: float = Field(default=300.0, gt=0)

    _plain_api = field_validator("api")(bare_url)

    @field_validator("contact")
    @classmethod
    def _contact(cls, text: str) -> str:
        if text and not re.fullmatch(r"[!-~]+@[!-~]+|https?://[!-~]+", text):
            raise ValueError(f"{text!r} is neither an e-mail address nor a URL in ASCII")
        return text

    @model_validator(mode="after")
    def _reachable(self) -> BackfillConfig:
        if self.offline and not self.enabled:
            raise ValueError("offline applies to the backfill; enable it with --backfill or enabled = true")
        if self.enabled and not self.offline and not self.contact:
            raise ValueError("contact is empty: give an e-mail address or URL with --contact, as Wikimedia requires")
        return self
