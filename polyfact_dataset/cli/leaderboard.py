"""`polyfact leaderboard`: a table and a page from result files, for a release or separately."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from polyfact_dataset.common.errors import ConfigError


def rows_from(results: list[str]) -> list[dict[str, Any]]:
    """The rows of result files, each given as FILE or NAME=FILE. Raises as `baselines.evaluate.leaderboard` does."""
    from baselines.evaluate.leaderboard import rows_of

    rows = []
    for argument in results:
        label, separator, path = argument.partition("=")
        file = Path(path if separator else argument)
        if not file.is_file():
            raise ConfigError(f"{argument}: no such result file; give FILE or NAME=FILE")
        rows += rows_of(file, label if separator else None)
    return rows


def add_results(release: Path, results: list[str]) -> None:
    """Replaces the leaderboard of a release. Raises `ConfigError` for results of other content."""
    from polyfact_dataset.release import leaderboard
    from polyfact_dataset.release.reader import read_manifest

    rows, content = rows_from(results), read_manifest(release)["content"]
    other = sorted({row["model"] for row in rows if row["content"] not in (None, content)})
    if other:
        raise ConfigError(f"{', '.join(other)}: the result is of another release than {release}; evaluate again")
    leaderboard.write(release, rows)


def leaderboard_command(
    results: Annotated[list[str], typer.Argument(metavar="RESULT...", help="Result files (.json), or NAME=FILE.")],
    release: Annotated[
        Optional[Path], typer.Option("--release", help="Release folder to which the leaderboard is added.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the page and table without --release.")] = Path("."),
) -> None:
    """Write a static page and a Parquet table from result files.

    With --release, the card and the explorer show them.
    """
    from polyfact_dataset.common.files import write_text
    from polyfact_dataset.release import leaderboard
    from polyfact_dataset.release.documents import render_again

    if release is not None:
        add_results(release, results)
        render_again(release)
        typer.echo(f"{release}: {leaderboard.PAGE}, {leaderboard.FILE}; card and explorer rendered again")
        return
    rows = rows_from(results)
    leaderboard.write(out, rows)
    write_text(out / leaderboard.PAGE, leaderboard.page(rows, "results"))
    typer.echo(f"{out / leaderboard.PAGE}, {out / leaderboard.FILE}")


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("leaderboard", rich_help_panel="Releases")(leaderboard_command)
