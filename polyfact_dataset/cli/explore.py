"""`polyfact explore`, `space` and `errata`: browsing a release, publishing the explorer, and known errors."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Annotated, Optional

import typer

from polyfact_dataset.cli.options import Quiet

PANEL = "Releases"
Release = Annotated[str, typer.Argument(help="Release folder, or owner/name[@revision] on the Hub.")]
errata = typer.Typer(help="List and add known errors of a release.", no_args_is_help=True)


def explore_command(
    release: Release = "build/release",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 selects a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    quiet: Quiet = False,
) -> None:
    """Open the explorer of a release in the browser; it is served from this computer until Ctrl-C."""
    from polyfact_dataset.release.explorer.serve import explorer_files, serving

    with serving(explorer_files(release), port) as address:
        if not quiet:
            typer.echo(f"{address} (press Ctrl-C to stop)")
        if browser:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            Event().wait()


def space_command(
    release: Release = "build/release",
    out: Annotated[Path, typer.Option("--out", help="Folder for the files of the Space.")] = Path("space"),
) -> None:
    """Write the files of a static Space on the Hub that shows the explorer and the leaderboard of a release."""
    from polyfact_dataset.release.explorer.space import write_space

    names = write_space(release, out)
    typer.echo(f"{out}: {', '.join(names)}; upload it with: hf upload OWNER/NAME {out} . --repo-type space")


@errata.command("add")
def errata_add_command(
    release: Annotated[Path, typer.Argument(help="Release folder.")],
    fact_id: Annotated[str, typer.Argument(help="Fact id, such as 'Q480|P50|Q5682' (in quotes).")],
    reason: Annotated[str, typer.Option("--reason", help="What is wrong, in a sentence.")],
    lang: Annotated[
        Optional[str], typer.Option("--language", help="Language of the item. Default: the whole fact.")
    ] = None,
    link: Annotated[str, typer.Option("--link", help="Address of the report.")] = "",
) -> None:
    """Add an item to the errata of a release, and render its documents again."""
    from polyfact_dataset.release.documents import render_again
    from polyfact_dataset.release.errata import add_erratum

    row = add_erratum(release, fact_id, reason, lang, link)
    render_again(release)
    typer.echo(f"{release}: {fact_id} ({row['language'] or 'all languages'}): {row['reason']}")


@errata.command("list")
def errata_list_command(release: Release = "build/release") -> None:
    """List the errata of a release."""
    from polyfact_dataset.cli.tables import printed
    from polyfact_dataset.release.reader import locate, read_errata

    for row in read_errata(locate(release, ())):
        link = f"  {row['link']}" if row["link"] else ""
        printed(f"{row['fact_id']}  {row['language'] or 'all'}  {row['version']}  {row['reason']}{link}")


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command("explore", rich_help_panel=PANEL)(explore_command)
    app.command("space", rich_help_panel=PANEL)(space_command)
    app.add_typer(errata, name="errata", rich_help_panel=PANEL)
