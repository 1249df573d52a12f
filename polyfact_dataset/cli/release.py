"""The commands that work on a finished release; no logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from polyfact_dataset.cli.options import (
    AsJson,
    ConfigFile,
    Dump,
    Languages,
    Objections,
    Previous,
    Quiet,
    Release,
    ReleaseOption,
)

_PANEL = "Releases"
Folder = Annotated[Path, typer.Argument(help="Release folder.")]


def audit_command(
    release: Annotated[
        Path, typer.Argument(help="Release folder of `polyfact build`, or Parquet per config as published.")
    ],
    out: Annotated[
        Optional[Path], typer.Option("--out", help="Folder for the report. Default: `audit` in the release.")
    ] = None,
    config: ConfigFile = None,
    quiet: Quiet = False,
) -> None:
    """Audit whether a release tests recall. Exit code 1 when a gate is broken."""
    from polyfact_dataset.cli import build_commands as build

    build.audit(release, out, config, quiet)


def card_command(
    release: Folder = Path("build/release"),
    check: Annotated[bool, typer.Option("--check", help="Only compare; exit code 1 when one differs.")] = False,
    results: Annotated[
        Optional[list[str]], typer.Option("--results", help="Result file (or NAME=FILE) for the card's table.")
    ] = None,
    patch: Annotated[
        Optional[str],
        typer.Option("--patch", metavar="NOTE", help="Create the next patch version: new documents, equal data."),
    ] = None,
) -> None:
    """Render card, datasheet, Croissant metadata and figures of a release, or check them against the data."""
    from polyfact_dataset.cli.leaderboard import add_results
    from polyfact_dataset.release import documents

    if results:
        add_results(release, results)
    if patch is not None:
        documents.patch(release, patch)
    manifest = documents.check(release) if check else documents.render_again(release)
    outcome = "every document matches" if check else "documents rendered from"
    typer.echo(f"{release}: {outcome} content {manifest['content'][:16]}")


def stats_command(release: Release = "build/release", as_json: AsJson = False) -> None:
    """Show the figures of a release: relations, configs, tiers, labels, popularity."""
    from polyfact_dataset.cli import tables as show
    from polyfact_dataset.release.stats import read_statistics

    figures = read_statistics(release)
    show.as_json(figures) if as_json else show.stats(figures)


def show_command(
    fact_id: Annotated[str, typer.Argument(help="Fact id, such as 'Q480|P50|Q5682' (in quotes).")],
    release: ReleaseOption = "build/release",
    language: Languages = None,
    as_json: AsJson = False,
) -> None:
    """Show one fact in every language, or in the given ones."""
    from polyfact_dataset.cli import tables as show
    from polyfact_dataset.release.query import fact
    from polyfact_dataset.release.reader import locate

    row = fact(locate(release), fact_id, language or [])
    show.as_json(row) if as_json else show.fact(row)


def search_command(
    text: Annotated[str, typer.Argument(help="Part of a question or an option, in any language.")],
    release: ReleaseOption = "build/release",
    language: Languages = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Largest number of items to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Find items by their text, ignoring case; exit code 1 when there is none."""
    from polyfact_dataset.cli import tables as show
    from polyfact_dataset.release.query import search
    from polyfact_dataset.release.reader import locate

    items, total = search(locate(release), text, language or [], limit)
    show.as_json(items) if as_json else show.hits(items, total)
    if not total:
        raise typer.Exit(1)


def diff_command(
    old: Release,
    new: Release,
    changelog: Annotated[
        Optional[Path], typer.Option("--changelog", help="Write the entry for the change log into this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what changed between two releases; exit code 1 when a held-out subject entered train."""

    from polyfact_dataset.cli import release_commands

    release_commands.diff(old, new, changelog, as_json)


def rebuild_command(
    manifest: Annotated[Path, typer.Argument(help="manifest.json of a release, or its folder.")],
    dump: Dump = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the new build.")] = Path("rebuild"),
    previous: Previous = None,
    cache_from: Annotated[
        Optional[Path],
        typer.Option("--cache-from", help="Build folder with the cached answers of models and Wikidata's API."),
    ] = None,
    objections: Objections = None,
    quiet: Quiet = False,
) -> None:
    """Rebuild a release from its manifest and compare every file; exit code 1 when one differs."""
    from polyfact_dataset.common.progress import Log
    from polyfact_dataset.pipeline.rebuild import rebuild

    rebuilt = rebuild(manifest, dump, previous, out, Log(quiet=quiet), cache_from, objections)
    typer.echo(f"{out / 'release'}: content {rebuilt['content'][:16]}, identical in {len(rebuilt['files'])} files")


def push_command(
    release: Folder,
    repo: Annotated[str, typer.Option("--repo", help="owner/name on the Hub.")],
    tag: Annotated[
        Optional[str], typer.Option("--tag", help="Must be v and the version, which is the default.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show each file and its size; send nothing.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Create the repository if it does not exist.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete and overwrite files that others committed to the repository.")
    ] = False,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead; no tag.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Allow a release made from the bundled sample, not a dump.")
    ] = False,
) -> None:
    """Validate a release, upload it in one commit, tag it, and verify it by downloading it again."""
    from polyfact_dataset.cli import tables as show
    from polyfact_dataset.hub.push import Options, push

    show.pushed(push(release, repo, tag, Options(dry_run, create, replace, create_pr, private, sample)), repo)


def register(app: typer.Typer) -> None:
    """Adds the commands to the application."""
    commands = (
        audit_command,
        card_command,
        stats_command,
        show_command,
        search_command,
        diff_command,
        rebuild_command,
        push_command,
    )
    for command in commands:
        app.command(command.__name__.removesuffix("_command"), rich_help_panel=_PANEL)(command)
