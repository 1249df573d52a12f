"""The command `polyfact`: one subcommand per verb; no logic."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from polyfact_dataset import __version__
from polyfact_dataset.cli.options import (
    Budget,
    ConfigFile,
    Exclude,
    Force,
    ModelCache,
    Objections,
    Out,
    Previous,
    PriceIn,
    PriceOut,
    Quiet,
)
from polyfact_dataset.cli.questions import app as questions
from polyfact_dataset.common.errors import PolyFactError
from polyfact_dataset.common.escaping import printable
from polyfact_dataset.pipeline.stages import EXTRACT, LAST, QUESTIONS, STAGES, Stage

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
Facts = Annotated[
    Optional[int], typer.Option("--facts", min=1, help="Facts to release, over all relations and splits.")
]
Seed = Annotated[Optional[int], typer.Option("--seed", min=0, help="Seed of every random choice.")]
Workers = Annotated[
    Optional[int], typer.Option("--workers", min=1, help="Worker processes. The result does not depend on it.")
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
Source = Annotated[
    Optional[str], typer.Option("--questions", help="Who writes the questions: `template` (the default) or `model`.")
]
Model = Annotated[Optional[str], typer.Option("--model", help="Name under which the server knows the model.")]
BaseUrl = Annotated[
    Optional[str],
    typer.Option("--base-url", help="OpenAI-compatible endpoint, such as http://host:8000/v1. Default: none."),
]
Verification = Annotated[
    Optional[Path],
    typer.Option("--verification", help="Table of `polyfact verify report`: tiers follow what was judged."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another build in --out.")]


def _command(until: Stage) -> Callable[..., None]:
    """The command that builds up to a stage: all of them have the same options."""

    def command(
        context: typer.Context,
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
        questions: Source = None,
        model: Model = None,
        base_url: BaseUrl = None,
        model_cache: ModelCache = None,
        price_in: PriceIn = None,
        price_out: PriceOut = None,
        budget: Budget = None,
        objections: Objections = None,
        exclude: Exclude = None,
        verification: Verification = None,
        overwrite: Overwrite = False,
        force: Force = False,
        quiet: Quiet = False,
    ) -> None:
        if context.invoked_subcommand is not None:
            if any(getattr(context.get_parameter_source(name), "name", "") != "DEFAULT" for name in context.params):
                raise typer.BadParameter(f"give options after `{context.invoked_subcommand}`, not before it")
            return
        from polyfact_dataset.cli import build_commands as build

        build.run(
            until=until,
            dump=dump,
            out=out,
            config_file=config,
            previous=previous,
            objections=objections,
            exclude=exclude,
            verification=verification,
            overwrite=overwrite,
            force=force,
            quiet=quiet,
            facts=facts,
            seed=seed,
            extract__workers=workers,
            backfill__enabled=backfill,
            backfill__offline=offline,
            backfill__contact=contact,
            questions__source=questions,
            questions__model=model,
            llm__base_url=base_url,
            llm__cache=model_cache,
            llm__price_in_usd=price_in,
            llm__price_out_usd=price_out,
            llm__budget_usd=budget,
        )

    return command


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
    from polyfact_dataset.cli import build_commands as build

    build.run(
        until=EXTRACT,
        dump=source or dump,
        out=out,
        config_file=config,
        previous=previous,
        overwrite=overwrite,
        quiet=quiet,
        part=part,
        facts=facts,
        seed=seed,
        extract__workers=workers,
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
    from polyfact_dataset.cli import build_commands as build

    build.merge(parts, out=out, config_file=config, overwrite=overwrite, quiet=quiet, facts=facts, seed=seed)


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
    from polyfact_dataset.cli import build_commands as build

    build.audit(release, output, config, quiet)


Release = Annotated[str, typer.Argument(help="Release folder, or owner/name[@revision] on the Hub.")]
Folder = Annotated[Path, typer.Argument(help="Release folder.")]
Languages = Annotated[
    Optional[list[str]], typer.Option("--lang", help="Language code; may be repeated. Default: all languages.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PANEL = "Releases"


@app.command("card", rich_help_panel=PANEL)
def card_command(
    release: Folder = Path("build/release"),
    check: Annotated[bool, typer.Option("--check", help="Only compare; exit code 1 when one differs.")] = False,
) -> None:
    """Render card, datasheet, Croissant metadata and figures of a release anew, or check them against the data."""
    from polyfact_dataset.release import documents

    manifest = documents.check(release) if check else documents.render_again(release)
    said = "every document matches" if check else "documents rendered from"
    typer.echo(f"{release}: {said} content {manifest['content'][:16]}")


@app.command("stats", rich_help_panel=PANEL)
def stats_command(release: Release = "build/release", as_json: AsJson = False) -> None:
    """Show the figures of a release: relations, configs, tiers, labels, popularity."""
    from polyfact_dataset.cli import tables as show
    from polyfact_dataset.release import browse
    from polyfact_dataset.release import reader as source

    figures = browse.read_statistics(source.locate(release))
    show.as_json(figures) if as_json else show.stats(figures)


@app.command("show", rich_help_panel=PANEL)
def show_command(
    fact_id: Annotated[str, typer.Argument(help="Such as 'Q480|P50|Q5682' (in quotes).")],
    release: Annotated[str, typer.Option("--release", help="Folder, or owner/name[@revision].")] = "build/release",
    lang: Languages = None,
    as_json: AsJson = False,
) -> None:
    """Show one fact in every language, or in those named."""
    from polyfact_dataset.cli import tables as show
    from polyfact_dataset.release import browse
    from polyfact_dataset.release import reader as source

    row = browse.fact(source.locate(release), fact_id, lang or [])
    show.as_json(row) if as_json else show.fact(row)


@app.command("search", rich_help_panel=PANEL)
def search_command(
    text: Annotated[str, typer.Argument(help="Part of a question or an option, in any language.")],
    release: Annotated[str, typer.Option("--release", help="Folder, or owner/name[@revision].")] = "build/release",
    lang: Languages = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Items shown at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Find items by their text, whatever its case; exit code 1 when there is none."""
    from polyfact_dataset.cli import tables as show
    from polyfact_dataset.release import browse
    from polyfact_dataset.release import reader as source

    found, total = browse.search(source.locate(release), text, lang or [], limit)
    show.as_json(found) if as_json else show.hits(found, total)
    if not total:
        raise typer.Exit(1)


@app.command("diff", rich_help_panel=PANEL)
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


@app.command("rebuild", rich_help_panel=PANEL)
def rebuild_command(
    manifest: Annotated[Path, typer.Argument(help="manifest.json of a release, or its folder.")],
    dump: Dump = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the new build.")] = Path("rebuild"),
    previous: Previous = None,
    answers: Annotated[
        Optional[Path],
        typer.Option("--answers", help="Build folder whose caches hold what a model and Wikidata's API answered."),
    ] = None,
    objections: Objections = None,
    quiet: Quiet = False,
) -> None:
    """Build a release again from its manifest and compare every file; exit code 1 when one differs."""
    from polyfact_dataset.common.progress import Log
    from polyfact_dataset.pipeline.rebuild import rebuild

    made = rebuild(manifest, dump, previous, out, Log(quiet=quiet), answers, objections)
    typer.echo(f"{out / 'release'}: content {made['content'][:16]}, equal to the byte in {len(made['files'])} files")


@app.command("push", rich_help_panel=PANEL)
def push_command(
    release: Folder,
    repo: Annotated[str, typer.Option("--repo", help="owner/name on the Hub; made when it is not there.")],
    tag: Annotated[
        Optional[str], typer.Option("--tag", help="Must be v and the version, which is the default.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show each file and its size; send nothing.")] = False,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead; no tag.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
) -> None:
    """Push a release to the Hub in one commit, tag it, and load it back; refuses what does not prove itself."""
    from polyfact_dataset.cli import tables as show
    from polyfact_dataset.hub.push import push

    show.pushed(push(release, repo, tag, dry_run=dry_run, create_pr=create_pr, private=private), repo)


def _register_stages() -> None:
    app.command("build", help="Build a release from a Wikidata JSON dump, going on where an earlier run stopped.")(
        _command(LAST)
    )
    # Stages that work on a finished release as well, and `extract`, have a command of their own.
    own = {command.name for command in app.registered_commands}
    panel = "Stages of a build"
    for stage in (stage for stage in STAGES if stage.name not in own):
        text = f"Run the build up to stage `{stage.name}`: {stage.doc}."
        if stage is QUESTIONS:
            questions.callback()(_command(stage))
            app.add_typer(questions, name=stage.name, help=text, rich_help_panel=panel)
        else:
            app.command(stage.name, help=text, rich_help_panel=panel)(_command(stage))


def _register_verify() -> None:
    from polyfact_dataset.cli.verify import app as verify

    text = "Judge and review a release: sample, judge, people, agreement, and the table that tiers follow."
    app.add_typer(verify, name="verify", help=text)


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
        print(printable(f"polyfact: {error}"), file=sys.stderr)
        return error.exit_code
    return 0


def main() -> None:
    """Entry point of the installed command."""
    sys.exit(run())


_register_stages()
_register_verify()

if __name__ == "__main__":
    main()
