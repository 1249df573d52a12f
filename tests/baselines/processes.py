"""Commands of the baselines as processes of their own: forks of one process that has loaded the libraries once."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import socket
import sys
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
# Libraries alone: the module that is run is loaded in its process, as `python -m` does. A missing one is passed over.
_CONTEXT.set_forkserver_preload(
    [
        *("torch", "torch.distributed", "pyarrow.parquet", "datasets", "accelerate", "peft", "safetensors.torch"),
        *("transformers.trainer", "transformers.models.qwen2.modeling_qwen2", "transformers.generation.utils"),
        *("trl.trainer.grpo_trainer", "trl.trainer.sft_trainer"),
    ]
)
TIMEOUT = 300


@dataclass
class Command:
    """A running command, or one that ended; `stdout` and `stderr` are what it has written so far."""

    process: BaseProcess
    output: Path

    def wait(self) -> int | None:
        """The exit code, negative for a signal; a command that takes too long is killed."""
        self.process.join(TIMEOUT)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        return self.process.exitcode

    @property
    def stdout(self) -> str:
        return self.output.with_suffix(".out").read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self.output.with_suffix(".err").read_text(encoding="utf-8")


def start(output: Path, module: str, *arguments: object, **environment: str) -> Command:
    """Starts `python -m module arguments` with this process's environment; `output` names its files of output."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    process = _CONTEXT.Process(target=_run, args=(output, variables, module, list(map(str, arguments))))
    process.start()
    return Command(process, output)


def start_several(count: int, output: Path, module: str, *arguments: object) -> list[Command]:
    """Starts a trainer in several processes on the CPU, with the variables that `torchrun` gives them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    size = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "ACCELERATE_USE_CPU": "true"}
    return [
        start(
            output.with_name(f"{output.name}-{rank}"),
            *(module, *arguments),
            **{**address, **size, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]


def run_several(count: int, output: Path, module: str, *arguments: object) -> None:
    """Runs a trainer in several processes, and fails with the end of what they wrote when one of them does."""
    commands = start_several(count, output, module, *arguments)
    codes = [command.wait() for command in commands]
    assert not any(codes), "\n".join(f"{code}: {command.stderr[-3000:]}" for code, command in zip(codes, commands))


def _run(output: Path, variables: dict[str, str], module: str, arguments: list[str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    for stream, suffix in ((sys.stdout, ".out"), (sys.stderr, ".err")):
        target = os.open(output.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, stream.fileno())
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
