"""The configuration of a release's metadata, which is also in its `release.json`."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import Field

from polyfact_dataset.config.base import Section

# Semantic version, without pre-release parts: a released version is final.
VERSION = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$"


class ReleaseConfig(Section):
    """The metadata of a release. It does not change the data."""

    # Where it is published; the card's examples load from there.
    repository: str = Field(default="jvonrad/PolyFact", pattern=r"^[\w\-][\w.\-]*/[\w\-][\w.\-]*$")
    # By default 1.0.0, or computed from the changes since `--previous`.
    version: str | None = Field(default=None, pattern=VERSION)
    # Day of the dump; by default read from its file name (wikidata-20260105-all.json.bz2).
    dump_date: datetime.date | None = None
    # URL of the source code, linked from the card.
    code: str = Field(default="", pattern=r"^(https://\S+)?$")
    # Day of publication, if it is to be published.
    published: datetime.date | None = None
    # An e-mail address or URL for questions; by default the discussions of the repository.
    contact: str = ""
    # Licence of the question wordings; the facts are Wikidata's, under CC0.
    questions_licence: Literal["cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0"] = "cc0-1.0"
