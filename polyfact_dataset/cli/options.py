"""Options of the command line that several commands share, each with one name, one bound and one line of help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

ConfigFile = Annotated[Optional[Path], typer.Option("--config", help="TOML configuration; flags win over it.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress; errors still show.")]
Out = Annotated[Path, typer.Option("--out", help="Build folder; the release is written to its subfolder `release`.")]
Previous = Annotated[
    Optional[Path],
    typer.Option(
        "--previous",
        help="Earlier release, a folder or owner/name@tag on the Hub: its held-out facts never enter train, "
        "and version and change log follow from it.",
    ),
]
Objections = Annotated[
    Optional[Path],
    typer.Option("--objections", help="Parquet or CSV with fact_id, language: take the template's question there."),
]
Force = Annotated[bool, typer.Option("--force", help="Follow a --previous release that its own audit refused.")]
Exclude = Annotated[
    Optional[Path],
    typer.Option("--exclude", help="Facts to leave out: ids, one a line, or a table such as the audit's findings."),
]
ModelCache = Annotated[
    Optional[Path], typer.Option("--model-cache", help="SQLite file with all answers of models. Default: in --out.")
]
PriceIn = Annotated[Optional[float], typer.Option("--price-in", min=0, help="USD per million prompt tokens.")]
PriceOut = Annotated[Optional[float], typer.Option("--price-out", min=0, help="USD per million answered tokens.")]
Budget = Annotated[Optional[float], typer.Option("--budget", min=0, help="USD that this run may spend at most.")]

MaxRequests = Annotated[int, typer.Option("--max-requests", min=1, max=50_000, help="Requests in one file.")]
MaxMb = Annotated[int, typer.Option("--max-mb", min=1, max=200, help="Megabytes of one file.")]
Again = Annotated[bool, typer.Option("--again", help="Also what stands in earlier files and has no answer yet.")]
BatchFiles = Annotated[list[Path], typer.Argument(help="Output and error files, in any order, whole or partial.")]
# What the options of that name are without.
MAX_REQUESTS, MAX_MB = 20_000, 100


def limits(max_requests: int, max_mb: int) -> tuple[int, int]:
    """Requests and bytes of one batch file."""
    return max_requests, max_mb * 1_000_000
