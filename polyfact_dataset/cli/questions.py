"""`polyfact questions export-batches`, `import-batches`, `run` and `status`; no logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from polyfact_dataset.cli.options import (
    MAX_MB,
    MAX_REQUESTS,
    BatchFiles,
    IncludePending,
    MaxMb,
    MaxRequests,
    ModelCache,
    Objections,
    Out,
    Previous,
    limits,
)

app = typer.Typer(invoke_without_command=True)


@app.command("export-batches")
def export_batches_command(
    out: Out = Path("build"),
    to: Annotated[
        Optional[Path], typer.Option("--to", help="New folder for the files. Default: next in `batches` of --out.")
    ] = None,
    max_requests: MaxRequests = MAX_REQUESTS,
    max_mb: MaxMb = MAX_MB,
    include_pending: IncludePending = False,
    previous: Previous = None,
    objections: Objections = None,
    model_cache: ModelCache = None,
) -> None:
    """Write a model's next requests as OpenAI Batch files (JSON lines)."""
    from polyfact_dataset.cli import question_commands as commands

    commands.write_batches(out, to, *limits(max_requests, max_mb), include_pending, previous, objections, model_cache)


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
def run_command(
    config: Annotated[Path, typer.Option("--config", help="TOML with [inference] and [executor] for datatrove.")],
    out: Out = Path("build"),
    executor: Annotated[str, typer.Option("--executor", help="`local`, `slurm` or `ray`.")] = "local",
    tasks: Annotated[int, typer.Option("--tasks", min=1, help="Tasks, each with a model server.")] = 1,
    previous: Previous = None,
    objections: Objections = None,
    model_cache: ModelCache = None,
) -> None:
    """Answer the remaining requests with datatrove, on this machine or a cluster; an interrupted run is resumed."""
    from polyfact_dataset.cli import question_commands as commands

    if executor not in ("local", "slurm", "ray"):
        raise typer.BadParameter(f"{executor!r} is not one of local, slurm, ray", param_hint="--executor")
    commands.run_cluster(out, executor, tasks, config, previous, objections, model_cache)  # type: ignore[arg-type]


@app.command("status")
def status_command(
    out: Out = Path("build"),
    previous: Previous = None,
    objections: Objections = None,
    model_cache: ModelCache = None,
) -> None:
    """Show finished, failed (by reason) and remaining requests, tokens, speed and expected end, also during a build."""
    from polyfact_dataset.cli import question_commands as commands

    commands.status(out, previous, objections, model_cache)
