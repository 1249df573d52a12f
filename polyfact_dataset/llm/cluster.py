"""Batch files answered on many machines by datatrove's `InferenceRunner`: local processes, a SLURM or a Ray cluster.

A run is a folder. `answers/` gets the lines of batch output files, which `batch.read_answers` imports like those of a
batch service; the cache stays the only source of answers. datatrove keeps `logs/` with the finished tasks and
`checkpoints/` with every answer of an unfinished one, so that an interrupted run, or a task of a lost machine, repeats
no request that was answered. What datatrove does not record is absent from these answers: `system_fingerprint`, and
responses that ended a task by an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import read_json, write_json
from polyfact_dataset.pipeline.executors import Executor, ExecutorConfig, Job, missing_library


class ClusterConfig(ExecutorConfig):
    """`inference.toml`: the arguments of datatrove's `InferenceConfig`, and those of its executor."""

    # server_type, model_name_or_path, endpoint_url, model_kwargs, max_concurrent_generations, ...
    inference: dict[str, Any]


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
        return Job(self.folder, self.tasks).finished_tasks

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
            from polyfact_dataset.llm.cluster_steps import steps_of
        except ImportError as error:
            raise missing_library(error) from error
        try:
            steps = steps_of(config.inference, self.files, self.folder.resolve())
        except (TypeError, ValueError) as error:
            raise ConfigError(f"datatrove rejects the configuration: {error}") from error
        job = Job(self.folder, self.tasks)
        job.run(kind, job.executor(kind, steps, config.executor))


def latest_run(parent: Path) -> ClusterRun | None:
    """The newest run below a folder, if there is one."""
    folders = sorted((path.parent for path in parent.glob("*/run.json")), key=lambda path: int(path.name))
    return ClusterRun(folders[-1]) if folders else None
