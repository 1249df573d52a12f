"""What happens around the steps of a training run: whole checkpoints, then evaluation, the log, the cost."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from baselines.models import processes
from baselines.training.evaluation import evaluate_choices
from baselines.training.run import same_randomness
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import read_json, remove, write_json, write_text

if TYPE_CHECKING:
    from baselines.training.run import Run

COMPLETE = "complete"
# What is for the file alone: figures of single languages, and those of libraries.
_FILE_ONLY = re.compile(r"train_|.*accuracy_|(completions|clip_ratio|logits|logps|reward_by_language|rewards/fact)/")


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, whole or not, by step."""
    found = [path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def last_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint: one that was killed in the middle has no file `complete`."""
    return next((path for path in reversed(checkpoints(folder)) if (path / COMPLETE).is_file()), None)


class Hooks(TrainerCallback):  # type: ignore[misc]
    """Called by the Trainer in every process; only the main one writes."""

    def __init__(self, run: Run, trainer: Any, record: dict[str, Any]) -> None:
        self.run = run
        self.trainer = trainer
        self.record = record
        self.main: bool = processes().is_main_process
        self.checkpoint = last_checkpoint(run.folder)
        step = int(self.checkpoint.name.rpartition("-")[2]) if self.checkpoint else 0
        processes().wait_for_everyone()
        if self.main:
            self._forget_after(step)
        processes().wait_for_everyone()
        self._start = time.perf_counter()
        self._evaluating_s = 0.0
        # The part of a session behind its last checkpoint is lost with it, and not counted.
        self.session: dict[str, Any] = {"first_step": step, "last_step": step, "seconds": 0.0, "evaluating_s": 0.0}
        self.record["sessions"].append(self.session)

    def _evaluation(self, step: int) -> Path:
        """Where the figures of a step lie; it is evaluated when they do."""
        return self.run.folder / "evaluations" / f"step-{step:06d}.json"

    def _forget_after(self, step: int) -> None:
        """Removes what a killed run wrote after its last whole checkpoint: it will be written again."""
        for path in checkpoints(self.run.folder):
            if int(path.name.rpartition("-")[2]) > step:
                remove(path)
        for path in sorted((self.run.folder / "evaluations").glob("step-*")):
            if int(re.findall(r"\d+", path.name)[0]) > step:
                remove(path)
        log = self.run.folder / "log.jsonl"
        if log.is_file():
            lines = [line for line in log.read_text(encoding="utf-8").splitlines(True) if line.endswith("\n")]
            write_text(log, "".join(line for line in lines if self._holds(json.loads(line), step)))
        self.record["sessions"] = [part for part in self.record["sessions"] if part["first_step"] < part["last_step"]]

    def _holds(self, line: dict[str, Any], step: int) -> bool:
        """Whether a line of the log stays when a run goes on from `step`."""
        cut_off = any(name.startswith("eval_") for name in line) and not self._evaluation(line["step"]).is_file()
        # A session's sum, of a run that was killed while the final model was written: another will follow.
        return bool(line["step"] <= step and not cut_off and "train_loss" not in line)

    # ------------------------------------------------------------ called by the Trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Says what begins; figures of the model that the run starts from, or those that a kill cut off."""
        if self.main:
            count = processes().num_processes
            self._tell(
                f"steps {state.global_step} to {state.max_steps} in {count} process{'es' if count > 1 else ''} on "
                f"{args.device.type}; log in {self.run.folder / 'log.jsonl'}"
            )
        # TRL counts from 0 in each session.
        if hasattr(self.trainer, "_total_train_tokens"):
            self.trainer._total_train_tokens = state.num_input_tokens_seen
        if state.global_step or self.run.config.evaluation.at_start:
            self._evaluate(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A line of the log at each checkpoint: its means would be lost to a run that goes on from there."""
        if state.global_step % args.save_steps == 0:
            control.should_log = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """One line of `log.jsonl`, and a shorter one for whoever watches.

        Raises `DataError` when the loss or its gradient is no number; no checkpoint holds what comes of it.
        """
        if self.main and logs:
            if "train_loss" not in logs:
                self._tell(self._line(state, logs))
            with (self.run.folder / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}, ensure_ascii=False) + "\n")
        for name in ("loss", "grad_norm"):
            if not math.isfinite((logs or {}).get(name, 0.0)):
                raise DataError(
                    f"{self.run.folder}: {name} is no number any more at step {state.global_step}; train anew with a "
                    "lower optimisation.learning_rate or with optimisation.precision fp32"
                )

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The checkpoint is whole when all processes have written their part; only then comes the evaluation."""
        processes().wait_for_everyone()
        self._count(state)
        if self.main:
            write_text(self.run.folder / f"checkpoint-{state.global_step}" / COMPLETE, f"{state.global_step}\n")
            write_json(self.run.folder / "run.json", self.record)
        processes().wait_for_everyone()
        self._evaluate(state)

    # ------------------------------------------------------------ parts

    def _tell(self, text: str) -> None:
        print(f"{self.run.config.method}: {text}", file=sys.stderr, flush=True)

    def _line(self, state: Any, logs: dict[str, Any]) -> str:
        """Figures of all languages together, the rest is in the file."""
        values = (
            f"{name} {value:.4g}"
            for name, value in logs.items()
            if isinstance(value, int | float) and not _FILE_ONLY.match(name)
        )
        return f"step {state.global_step}/{state.max_steps}: {', '.join(values)}"

    def _evaluate(self, state: Any) -> None:
        """Runs what is due at this step and not yet there, and logs it. The last step is always due."""
        every, step = self.run.config.evaluation.steps, state.global_step
        path = self._evaluation(step)
        if not every or (step % every and step < state.max_steps) or path.is_file():
            return
        start = time.perf_counter()
        network = self.trainer.accelerator.unwrap_model(self.trainer.model)
        training = network.training
        network.eval()
        found: dict[str, float] = {}
        with same_randomness():
            for evaluator in (lambda at: evaluate_choices(self.run, network, at), *self.run.evaluators):
                found.update(evaluator(step))
        network.train(training)
        self._evaluating_s += time.perf_counter() - start
        self.trainer.log({f"eval_{name}": value for name, value in found.items()})
        processes().wait_for_everyone()
        if self.main:
            write_json(path, found)
        processes().wait_for_everyone()

    def _count(self, state: Any) -> None:
        """Brings the cost in `run.json` up to date."""
        self.session |= {
            "last_step": state.global_step,
            "seconds": time.perf_counter() - self._start,
            "evaluating_s": self._evaluating_s,
        }
        count = processes().num_processes
        seconds = sum(part["seconds"] for part in self.record["sessions"])
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
        self.record["cost"] = {
            "steps": state.global_step,
            "epochs": state.epoch,
            "input_tokens": state.num_input_tokens_seen,
            "seconds": seconds,
            "evaluating_s": sum(part["evaluating_s"] for part in self.record["sessions"]),
            "processes": count,
            "device": self.trainer.args.device.type,
            "device_hours": seconds * count / 3600,
            "peak_memory_bytes": peak,
        }

    def finish(self, copy: Path) -> None:
        """Says in `run.json`, and in its copy beside the model, that the run is finished, with its last figures."""
        self._count(self.trainer.state)
        found = sorted((self.run.folder / "evaluations").glob("step-??????.json"))
        self.record["evaluation"] = read_json(found[-1]) if found else {}
        self.record["status"] = "finished"
        write_json(copy, {name: value for name, value in self.record.items() if name != "output"})
        write_json(self.run.folder / "run.json", self.record)
