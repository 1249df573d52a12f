"""The command `polyfact`: its groups of commands, and its exit codes."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from polyfact_dataset import __version__
from polyfact_dataset.cli import build, explore, leaderboard, release
from polyfact_dataset.cli.guard import Group, guarded
from polyfact_dataset.cli.options import accept_replaced_names
from polyfact_dataset.cli.verify import app as verify

app = typer.Typer(
    name="polyfact",
    cls=Group,
    # Rich takes two thirds of the time of --help.
    rich_markup_mode=None,
    help="Builds parallel multilingual multiple-choice facts from a Wikidata JSON dump.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=accept_replaced_names(),
)
build.register(app)
release.register(app)
explore.register(app)
leaderboard.register(app)
app.add_typer(
    verify,
    name="verify",
    help="Judge and review a release: sample, judge, reviewers, agreement, and the table that decides tiers.",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"polyfact {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def run(call: Callable[..., Any] | None = None) -> int:
    """Runs the command line; an expected error is printed on one line and sets the exit code."""
    return guarded(call or app, "polyfact")


def main() -> None:
    """Entry point of the installed command."""
    # Tables in memory are many objects without cycles: by default, garbage collection takes a tenth of a build.
    gc.set_threshold(200_000, 20, 100)
    sys.exit(run())


if __name__ == "__main__":
    main()
