"""`polyfact questions export-batches`, `import-batches`, `run` and `status`; no logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyfact_dataset.cli.option_groups import option_groups
from polyfact_dataset.cli.options import (
    BatchFiles,
    BatchOptions,
    ExecutorName,
    ModelCache,
    Out,
    QuestionOptions,
    Tasks,
    executor_kind,
)

app = typer.Typer(invoke_without_command=True)


@app.command("export-batches")
@option_groups
def export_batches_command(build: QuestionOptions, batches: BatchOptions) -> None:
    """Write a model's next requests as OpenAI Batch files (JSON lines)."""
    from polyfact_dataset.cli import question_commands as commands

    commands.write_batches(build, batches.to, batches.max_requests, batches.max_bytes, batches.include_pending)


@app.command("import-batches")
def import_batches_command(
    files: BatchFiles,
    out: Out = Path("build"),
    model_cache: ModelCache = None,
) -> None:
    """Import the answers of batch files; answers that are already stored are skipped."""
    from polyfact_dataset.cli import question_commands as commands

    commands.read_batches(files, out, model_cache)


@app.command("run")
@option_groups
def run_command(
    config: Annotated[Path, typer.Option("--config", help="TOML with [inference] and [executor] for datatrove.")],
    build: QuestionOptions,
    executor: ExecutorName = "local",
    tasks: Tasks = 1,
) -> None:
    """Answer the remaining requests with datatrove, on this machine or a cluster; an interrupted run is resumed.

    Each task has a model server.
    """
    from polyfact_dataset.cli import question_commands as commands

    commands.run_cluster(build, executor_kind(executor or "local"), tasks, config)


@app.command("status")
@option_groups
def status_command(build: QuestionOptions) -> None:
    """Show finished, failed (by reason) and remaining requests, tokens, speed and expected end, also during a build."""
    from polyfact_dataset.cli import question_commands as commands

    commands.status(build)
