"""The build commands: `build`, one for each stage, `extract` and `merge`; no logic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Optional

import typer

from polyfact_dataset.cli.option_groups import option_groups
from polyfact_dataset.cli.options import (
    BuildOptions,
    CostOptions,
    DumpOptions,
    Exclude,
    ExecutorName,
    Force,
    Objections,
    SourceOptions,
    Tasks,
    Verification,
    executor_kind,
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

    @option_groups
    def command(
        context: typer.Context,
        read: DumpOptions,
        build: BuildOptions,
        cost: CostOptions,
        sources: SourceOptions,
        objections: Objections = None,
        exclude: Exclude = None,
        force: Force = False,
        verification: Verification = None,
    ) -> None:
        if _leads_to_subcommand(context):
            return
        from polyfact_dataset.cli import build_commands

        build_commands.run(
            until=until,
            dump=read.dump,
            previous=read.previous,
            objections=objections,
            exclude=exclude,
            force=force,
            verification=verification,
            extract__workers=read.workers,
            **vars(build),
            **cost.settings,
            **sources.settings,
        )

    return command


@option_groups
def extract_command(
    read: DumpOptions,
    build: BuildOptions,
    source: Annotated[
        Optional[Path], typer.Argument(metavar="[DUMP]", help="The dump, as --dump; - reads standard input.")
    ] = None,
    part: Annotated[
        Optional[str], typer.Option("--part", help="Extract only the i-th of n parts of the file, as 2/8.")
    ] = None,
    executor: ExecutorName = None,
    tasks: Tasks = 1,
    cluster: Annotated[
        Optional[Path], typer.Option("--cluster", help="With --executor: TOML with [executor], its arguments.")
    ] = None,
) -> None:
    """Run stage `extract`: read the dump: labels, types, statements. With --executor, parts of it are tasks."""
    if executor is not None:
        from polyfact_dataset.cli.extract_on_cluster import extract_on_cluster

        if part is not None:
            raise typer.BadParameter("--executor makes the parts itself; leave out --part")
        extract_on_cluster(
            executor_kind(executor),
            tasks,
            cluster,
            source or read.dump,
            build.out,
            config_file=build.config_file,
            workers=read.workers,
            overwrite=build.overwrite,
            quiet=build.quiet,
        )
        return
    from polyfact_dataset.cli import build_commands

    build_commands.run(
        until=EXTRACT,
        dump=source or read.dump,
        previous=read.previous,
        part=part,
        extract__workers=read.workers,
        **vars(build),
    )


@option_groups
def merge_command(
    parts: Annotated[list[Path], typer.Argument(metavar="BUILD...", help="Build folders with extractions.")],
    build: BuildOptions,
) -> None:
    """Merge extractions of parts of a dump into one, with which `polyfact build` continues."""
    from polyfact_dataset.cli import build_commands

    build_commands.merge(parts, **vars(build))


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
