"""`polyfact extract --executor`: the parts of a dump as tasks on many machines, and their merge as one more task."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.pipeline.executors import Executor, ExecutorConfig, Job, load_executor_config


def _polyfact(*arguments: str) -> None:
    """Runs the command line. Raises `RetryableError` with its last message."""
    command = [sys.executable, "-m", "polyfact_dataset.cli", *arguments]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    sys.stderr.write(result.stderr)
    if result.returncode:
        raise RetryableError((result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1])


def _folders(parts: Path, number: int) -> list[str]:
    return [str(parts / f"{part:05}") for part in range(1, number + 1)]


@dataclass(frozen=True)
class ExtractPart:
    """A step of datatrove: task r of n extracts part r + 1 of n; an interrupted part continues where it stopped."""

    parts: Path
    options: Sequence[str]

    def __call__(self, data: object = None, rank: int = 0, world_size: int = 1) -> None:
        del data  # The first step of a pipeline gets none.
        out = _folders(self.parts, world_size)[rank]
        _polyfact("extract", "--part", f"{rank + 1}/{world_size}", "--out", out, *self.options)


@dataclass(frozen=True)
class MergeParts:
    """A step of datatrove: merges the extractions of all parts."""

    parts: Path
    number: int
    options: Sequence[str]

    def __call__(self, data: object = None, rank: int = 0, world_size: int = 1) -> None:
        del data, rank, world_size
        _polyfact("merge", *_folders(self.parts, self.number), *self.options)


def extract_on_cluster(
    kind: Executor,
    tasks: int,
    cluster: Path | None,
    dump: Path | None,
    out: Path,
    *,
    config_file: Path | None,
    workers: int | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Extracts a dump in `tasks` parts, into the folder `<out>.parts-<tasks>`, and merges them into `out`.

    On SLURM both jobs are submitted, the second to begin when the first has succeeded. Raises `ConfigError` for a dump
    that is not a file, `RetryableError` when tasks stay unfinished; the same command then continues.
    """
    if dump is None or not dump.is_file():
        raise ConfigError("--executor needs --dump with a file that all machines see")
    settings = load_executor_config(cluster, ExecutorConfig).executor if cluster is not None else {}
    # The records of the extraction decide what is finished: they notice another dump or other settings.
    settings = {**settings, "skip_completed": False}
    config = ["--config", str(config_file.resolve())] if config_file is not None else []
    extract = ["--dump", str(dump.resolve()), "--quiet", *config]
    extract += ["--workers", str(workers)] if workers is not None else []
    merge = ["--out", str(out.resolve()), *config, *(["--overwrite"] if overwrite else [])]
    merge += ["--quiet"] if quiet else []
    # Next to the build folder, which must be empty before its first stage.
    parts = out.with_name(f"{out.name}.parts-{tasks}").resolve()
    jobs = Job(parts, tasks), Job(parts / "merge", 1)
    first = jobs[0].executor(kind, [ExtractPart(parts, extract)], settings)
    if kind == "slurm":
        jobs[1].run(kind, jobs[1].executor(kind, [MergeParts(parts, tasks, merge)], settings, after=first))
        print(f"submitted {tasks} parts and their merge; logs: {parts / 'logs'}")
        return
    jobs[0].run(kind, first)
    jobs[1].run(kind, jobs[1].executor(kind, [MergeParts(parts, tasks, merge)], settings))
