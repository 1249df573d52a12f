"""The build commands: `build`, one for each stage, `extract` and `merge`; no logic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Optional

import typer

from polyfact_dataset.cli.options import (
    Backfill,
    BaseUrl,
    Budget,
    ConfigFile,
    Contact,
    Dump,
    Exclude,
    Facts,
    Force,
    Model,
    ModelCache,
    Objections,
    Offline,
    Out,
    Overwrite,
    Previous,
    PriceIn,
    PriceOut,
    Quiet,
    Seed,
    Source,
    Verification,
    Workers,
    WrittenLabels,
)
from polyfact_dataset.cli.questions import app as questions
from polyfact_dataset.pipeline.stages import AUDIT, CARD, EXTRACT, LAST, QUESTIONS, STAGES, Stage

_PANEL = "Stages of a build"


def _leads_to_subcommand(context: typer.Context) -> bool:
    """Whether a subcommand follows, which has the options itself."""
    if context.invoked_subcommand is None:
        return False
    if any(getattr(context.get_parameter_source(name), "name", "") != "DEFAULT" for name in context.params):
        raise typer.BadParameter(f"give options after `{context.invoked_subcommand}`, not before it")
    return True


def _command(until: Stage) -> Callable[..., None]:
    """The command that builds up to a stage; all of these have the same options."""

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
        labels: WrittenLabels = None,
        objections: Objections = None,
        exclude: Exclude = None,
        force: Force = False,
        verification: Verification = None,
        overwrite: Overwrite = False,
        quiet: Quiet = False,
    ) -> None:
        if _leads_to_subcommand(context):
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
            force=force,
            verification=verification,
            overwrite=overwrite,
            quiet=quiet,
            facts=facts,
            seed=seed,
            extract__workers=workers,
            labels__written=labels or None,
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


def merge_command(
    parts: Annotated[list[Path], typer.Argument(metavar="BUILD...", help="Build folders with extractions.")],
    out: Out = Path("build"),
    facts: Facts = None,
    seed: Seed = None,
    config: ConfigFile = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Merge extractions of parts of a dump into one, with which `polyfact build` continues."""
    from polyfact_dataset.cli import build_commands as build

    build.merge(parts, out=out, config_file=config, overwrite=overwrite, quiet=quiet, facts=facts, seed=seed)


def register(app: typer.Typer) -> None:
    """Adds the commands to the application."""
    app.command("extract", rich_help_panel=_PANEL)(extract_command)
    app.command("merge")(merge_command)
    app.command("build", help="Build a release from a Wikidata JSON dump, continuing where an earlier run stopped.")(
        _command(LAST)
    )
    # Stages that also apply to a finished release have a separate command for that.
    for stage in (stage for stage in STAGES if stage not in (EXTRACT, AUDIT, CARD)):
        text = f"Run the build up to stage `{stage.name}`: {stage.doc}."
        if stage is QUESTIONS:
            questions.callback()(_command(stage))
            app.add_typer(questions, name=stage.name, help=text, rich_help_panel=_PANEL)
        else:
            app.command(stage.name, help=text, rich_help_panel=_PANEL)(_command(stage))
