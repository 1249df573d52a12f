"""Tasks on many machines by datatrove's executors: local processes, a SLURM or a Ray cluster.

datatrove records each finished task in `logs/completions` of the job's folder, which all machines must see. A repeated
job runs only the tasks that are not finished.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.config.base import Section

Executor = Literal["local", "slurm", "ray"]


class ExecutorConfig(Section):
    """The arguments of datatrove's executor: partition, time, cpus_per_task, gpus_per_task, workers, ..."""

    executor: dict[str, Any] = Field(default_factory=dict)


C = TypeVar("C", bound=ExecutorConfig)


def load_executor_config(path: Path, kind: type[C]) -> C:
    """Reads a TOML file. Raises `ConfigError` naming the file and the key."""
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(f"configuration {path} does not exist") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"configuration {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"configuration {path}: {error}") from error


def missing_library(error: ImportError) -> ConfigError:
    """The error where the extra `cluster` is not installed."""
    return ConfigError(f'datatrove is missing ({error}); install it: pip install "polyfact[cluster]"')


class Job:
    """A number of tasks in a folder, each of which runs the same steps."""

    def __init__(self, folder: Path, tasks: int) -> None:
        self.folder, self.tasks = folder, tasks

    @property
    def finished_tasks(self) -> int:
        """The tasks that datatrove has recorded as completed."""
        return sum(1 for _ in (self.folder / "logs" / "completions").glob("*"))

    def executor(self, kind: Executor, steps: Sequence[Any], options: dict[str, Any], after: Any = None) -> Any:
        """datatrove's executor of the job, on SLURM after another. Raises `ConfigError` for arguments it rejects."""
        try:
            from datatrove.executor.local import LocalPipelineExecutor
            from datatrove.executor.ray import RayPipelineExecutor
            from datatrove.executor.slurm import SlurmPipelineExecutor
        except ImportError as error:
            raise missing_library(error) from error
        executors = {"local": LocalPipelineExecutor, "ray": RayPipelineExecutor, "slurm": SlurmPipelineExecutor}
        logs = str(self.folder.resolve() / "logs")
        shared = {"pipeline": list(steps), "tasks": self.tasks, "logging_dir": logs, **options}
        try:
            return executors[kind](**shared, **({"depends": after} if after is not None else {}))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"datatrove rejects the configuration: {error}") from error

    def run(self, kind: Executor, executor: Any) -> None:
        """Runs the unfinished tasks; on SLURM it submits them and returns.

        Raises `RetryableError` when tasks stay unfinished.
        """
        failure: Exception | None = None
        try:
            executor.run()
        except Exception as error:
            # datatrove raises the exception of the first failed task, which may have any type.
            failure = error
        if kind == "slurm" and failure is None:
            return
        if failure is not None or self.finished_tasks < self.tasks:
            left = self.tasks - self.finished_tasks
            raise RetryableError(
                f"{left} of {self.tasks} tasks did not finish ({failure or 'their machine was lost'}); logs: "
                f"{self.folder / 'logs'}. What is finished is kept: rerun the same command"
            ) from failure
