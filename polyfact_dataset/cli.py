"""The command `polyfact`: one subcommand per verb; no logic."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from polyfact_dataset import __version__
from polyfact_dataset.errors import PolyFactError

app = typer.Typer(
    name="polyfact",
    help="Builds parallel multilingual multiple-choice facts from a Wikidata JSON dump.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SampleDump = "the bundled sample dump"
Dump = Annotated[
    Optional[Path],
    typer.Option(
        "--dump", help="Wikidata JSON dump: .json, .bz2, .gz or .zst; - is standard input. Default: " + SampleDump + "."
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Build folder; the release is written to its subfolder `release`.")]
Facts = Annotated[
    Optional[int], typer.Option("--facts", min=1, help="Facts to release, over all relations and splits.")
]
Seed = Annotated[Optional[int], typer.Option("--seed", min=0, help="Seed of every random choice.")]
ConfigFile = Annotated[Optional[Path], typer.Option("--config", help="TOML configuration; flags win over it.")]
Workers = Annotated[
    Optional[int], typer.Option("--workers", min=1, help="Worker processes. The result does not depend on it.")
]
Previous = Annotated[
    Optional[Path], typer.Option("--previous", help="Earlier release folder: its held-out facts never enter train.")
]
Backfill = Annotated[
    Optional[bool],
    typer.Option("--backfill", help="Ask Wikidata's API for labels that the dump lacks; answers are cached in --out."),
]
Offline = Annotated[
    Optional[bool], typer.Option("--offline", help="With --backfill: take answers from the cache, ask for nothing.")
]
Contact = Annotated[
    Optional[str], typer.Option("--contact", help="With --backfill: e-mail address or URL shown to Wikimedia.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another build in --out.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress; errors still show.")]


def _build(
    until: str,
    dump: Path | None,
    out: Path,
    facts: int | None,
    seed: int | None,
    config: Path | None,
    workers: int | None,
    previous: Path | None,
    backfill: bool | None,
    offline: bool | None,
    contact: str | None,
    overwrite: bool,
    quiet: bool,
    part: str | None = None,
) -> None:
    from polyfact_dataset import build

    build.run(
        until=until,
        dump=dump,
        out=out,
        config_file=config,
        previous=previous,
        overwrite=overwrite,
        quiet=quiet,
        facts=facts,
        seed=seed,
        part=part,
        extract__workers=workers,
        backfill__enabled=backfill,
        backfill__offline=offline,
        backfill__contact=contact,
    )


def _stage_command(name: str, doc: str) -> None:
    @app.command(name, help=f"Run the build up to stage `{name}`: {doc}.", rich_help_panel="Stages of a build")
    def command(
        dump: Dump = None,
        out: Out = Path("build"),
        facts: Facts = None,
        seed: Seed = None,
        config: ConfigFile = None,
        workers: Workers = None,
        previous: Previous = None,
        backfill: Backfill = None,
        offline: Offline = None,
        contact: Contact = None,
        overwrite: Overwrite = False,
        quiet: Quiet = False,
    ) -> None:
        _build(name, dump, out, facts, seed, config, workers, previous, backfill, offline, contact, overwrite, quiet)


@app.command("extract", rich_help_panel="Stages of a build")
def extract_command(
    source: Annotated[
        Optional[Path], typer.Argument(metavar="[DUMP]", help="The dump, as --dump; - reads standard input.")
    ] = None,
    part: Annotated[
        Optional[str], typer.Option("--part", help="Extract only the i-th of n parts of the file, as 2/8.")
    ] = None,
    dump: Dump = None,
    out: Out = Path("build"),
    facts: Facts = None,
    seed: Seed = None,
    config: ConfigFile = None,
    workers: Workers = None,
    previous: Previous = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Run stage `extract`: read the dump: labels, types, statements."""
    _build(
        "extract", source or dump, out, facts, seed, config, workers, previous, None, None, None, overwrite, quiet, part
    )


@app.command("merge")
def merge_command(
    parts: Annotated[list[Path], typer.Argument(metavar="BUILD...", help="Build folders with extractions.")],
    out: Out = Path("build"),
    facts: Facts = None,
    seed: Seed = None,
    config: ConfigFile = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Merge extractions of parts of a dump into one, for `polyfact build` to go on with."""
    from polyfact_dataset import build

    build.merge(parts, out=out, config_file=config, overwrite=overwrite, quiet=quiet, facts=facts, seed=seed)


@app.command("build")
def build_command(
    dump: Dump = None,
    out: Out = Path("build"),
    facts: Facts = None,
    seed: Seed = None,
    config: ConfigFile = None,
    workers: Workers = None,
    previous: Previous = None,
    backfill: Backfill = None,
    offline: Offline = None,
    contact: Contact = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Build a release from a Wikidata JSON dump, going on where an earlier run stopped."""
    from polyfact_dataset.pipeline import LAST

    _build(LAST, dump, out, facts, seed, config, workers, previous, backfill, offline, contact, overwrite, quiet)


@app.command("audit")
def audit_command(
    release: Annotated[Path, typer.Argument(help="Release folder: ours, or Parquet per config as published.")],
    output: Annotated[
        Optional[Path], typer.Option("--output", help="Folder for the report. Default: `audit` in the release.")
    ] = None,
    config: ConfigFile = None,
    quiet: Quiet = False,
) -> None:
    """Measure whether a release tests recall; exit code 1 when a gate is broken."""
    from polyfact_dataset import build

    build.audit(release, output, config, quiet)


def _register_stages() -> None:
    from polyfact_dataset.pipeline import STAGES

    # `extract` has arguments of its own; the last stage, `audit`, is a whole build, and its name is the command for
    # any release.
    for stage in STAGES[1:-1]:
        _stage_command(stage.name, stage.doc)


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
    """Runs the command line; an expected error becomes one line and its exit code."""
    try:
        (call or app)(standalone_mode=True)
    except PolyFactError as error:
        print(f"polyfact: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def main() -> None:
    """Entry point of the installed command."""
    sys.exit(run())


_register_stages()

if __name__ == "__main__":
    main()
