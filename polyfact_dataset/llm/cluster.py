"""Batch files answered on many machines by datatrove's `InferenceRunner`: local processes, a SLURM or a Ray cluster.

A run is a folder. `answers/` gets the lines of batch output files, which `batch.read_answers` imports like those of a
batch service; the cache stays the only source of answers. datatrove keeps `logs/` with the finished tasks and
`checkpoints/` with every answer of an unfinished one, so that an interrupted run, or a task of a lost machine, repeats
no request that was answered. What datatrove does not record is absent from these answers: `system_fingerprint`, and
responses that ended a task by an error.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.common.files import read_json, write_json
from polyfact_dataset.config.base import Section

Executor = Literal["local", "slurm", "ray"]


class ClusterConfig(Section):
    """`inference.toml`: the arguments of datatrove's `InferenceConfig`, and those of its executor."""

    # server_type, model_name_or_path, endpoint_url, model_kwargs, max_concurrent_generations, ...
    inference: dict[str, Any]
    # partition, time, cpus_per_task, gpus_per_task, workers, ...
    executor: dict[str, Any] = Field(default_factory=dict)


def load_cluster_config(path: Path) -> ClusterConfig:
    """Reads the file. Raises `ConfigError` naming the file and the key."""
    try:
        return ClusterConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(f"configuration {path} does not exist") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"configuration {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"configuration {path}: {error}") from error


class ClusterRun:
    """A run in a folder. `begin` records its files and number of tasks, which must stay the same until it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def begin(cls, folder: Path, files: Sequence[Path], tasks: int) -> ClusterRun:
        """Records a new run over batch files."""
        write_json(folder / "run.json", {"files": [str(path.resolve()) for path in files], "tasks": tasks})
        return cls(folder)

    @property
    def files(self) -> list[Path]:
        """The batch files."""
        return [Path(path) for path in read_json(self.folder / "run.json")["files"]]

    @property
    def tasks(self) -> int:
        """The number of tasks; request i belongs to task i modulo this number."""
        return int(read_json(self.folder / "run.json")["tasks"])

    @property
    def finished_tasks(self) -> int:
        """The tasks that datatrove has recorded as completed."""
        return sum(1 for _ in (self.folder / "logs" / "completions").glob("*"))

    @property
    def answers(self) -> list[Path]:
        """The answer files so far."""
        return sorted((self.folder / "answers").glob("*.jsonl"))

    def execute(self, kind: Executor, config: ClusterConfig) -> None:
        """Runs the unfinished tasks; on SLURM it submits them and returns.

        Raises `ConfigError` for arguments that datatrove rejects or a missing library, `RetryableError` when tasks
        stay unfinished.
        """
        try:
            from polyfact_dataset.llm.cluster_steps import executor_of
        except ImportError as error:
            raise ConfigError(f'datatrove is missing ({error}); install it: pip install "polyfact[cluster]"') from error
        try:
            executor = executor_of(
                kind, config.inference, config.executor, self.files, self.folder.resolve(), self.tasks
            )
        except (TypeError, ValueError) as error:
            raise ConfigError(f"datatrove rejects the configuration: {error}") from error
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
                f"{self.folder / 'logs'}. All answers are kept: rerun the same command"
            ) from failure


def latest_run(parent: Path) -> ClusterRun | None:
    """The newest run below a folder, if there is one."""
    folders = sorted((path.parent for path in parent.glob("*/run.json")), key=lambda path: int(path.name))
    return ClusterRun(folders[-1]) if folders else None
