"""Callbacks of a training run: complete checkpoints, then evaluation, the log, the cost."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from baselines.lockstep import lockstep
from baselines.models import processes
from baselines.training.checkpoints import COMPLETE, checkpoints, last_checkpoint, step_of
from baselines.training.evaluation import evaluate_run
from baselines.training.randomness import same_randomness
from baselines.training.run import Run, clock
from baselines.training.sharding import is_sharded
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import keep_lines, read_json, remove, sync, sync_tree, write_json, write_text

# Logged to the file only: figures of single languages, and those of libraries.
_FILE_ONLY = re.compile(r"train_|.*accuracy_|(completions|clip_ratio|logits|logps|reward_by_language|rewards/fact)/")


class Hooks(TrainerCallback):  # type: ignore[misc]
    """Called by the Trainer in every process; only the main one writes."""

    def __init__(self, run: Run, trainer: Any, record: dict[str, Any]) -> None:
        self.run = run
        self.trainer = trainer
        self.record = record
        self.main: bool = processes().is_main_process
        self.checkpoint = last_checkpoint(run.folder)
        step = step_of(self.checkpoint) if self.checkpoint else 0
        processes().wait_for_everyone()
        if self.main:
            self._forget_after(step)
        processes().wait_for_everyone()
        self._start = time.perf_counter()
        self._evaluating_s = 0.0
        # Of `clock`, without evaluations.
        self._evaluating_clock = 0.0
        self._out_of_budget = False
        # The steps of a session after its last checkpoint are lost, and not counted.
        self.session: dict[str, Any] = {
            "first_step": step,
            "last_step": step,
            "seconds": 0.0,
            "evaluating_s": 0.0,
            "work_s": 0.0,
        }
        self.record["sessions"].append(self.session)

    def _evaluation(self, step: int) -> Path:
        """The file with the figures of a step; the step is evaluated if it exists."""
        return self.run.folder / "evaluations" / f"step-{step:06d}.json"

    def _forget_after(self, step: int) -> None:
        """Removes what an interrupted run wrote after its last complete checkpoint: it will be written again."""
        for path in checkpoints(self.run.folder):
            if step_of(path) > step:
                remove(path)
        for path in sorted((self.run.folder / "evaluations").glob("step-*")):
            if int(re.findall(r"\d+", path.name)[0]) > step:
                remove(path)
        log = self.run.folder / "log.jsonl"
        if log.is_file():
            keep_lines(log, lambda line: self._holds(line, step))
        self.record["sessions"] = [part for part in self.record["sessions"] if part["first_step"] < part["last_step"]]

    def _holds(self, line: dict[str, Any], step: int) -> bool:
        """Whether a line of the log is kept when a run continues from `step`."""
        cut_off = any(name.startswith("eval_") for name in line) and not self._evaluation(line["step"]).is_file()
        # The summary of a session that was interrupted while it wrote the final model: another will follow.
        return bool(line["step"] <= step and not cut_off and "train_loss" not in line)

    # ------------------------------------------------------------ called by the Trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Prints the plan; evaluates the model that the run starts from, or completes an interrupted evaluation."""
        if self.main:
            count = processes().num_processes
            self._tell(
                f"steps {state.global_step} to {state.max_steps} in {count} process{'es' if count > 1 else ''} on "
                f"{args.device.type}; log in {self.run.folder / 'log.jsonl'}"
            )
            for note in (str(self.run.batch) if self.run.batch else "", *self.run.notes):
                if note:
                    self._tell(note)
        # TRL counts from 0 in each session.
        if hasattr(self.trainer, "_total_train_tokens"):
            self.trainer._total_train_tokens = state.num_input_tokens_seen
        if state.global_step or self.run.config.evaluation.at_start:
            self._evaluate(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Logs at each checkpoint: a run that continues from there would lose the means since the last line."""
        if state.global_step % args.save_steps == 0:
            control.should_log = True
        if self._exhausted(state):
            self._out_of_budget = True
            control.should_log = control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """One line of `log.jsonl`, and a shorter one on standard error.

        Raises `DataError` when the loss or its gradient is not finite, before a checkpoint is written.
        """
        if self.main and logs:
            if "train_loss" not in logs:
                self._tell(self._line(state, logs))
            with (self.run.folder / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}, ensure_ascii=False) + "\n")
        for name in ("loss", "grad_norm"):
            if not math.isfinite((logs or {}).get(name, 0.0)):
                raise DataError(
                    f"{self.run.folder}: {name} is not finite at step {state.global_step}; restart with a lower "
                    "optimisation.learning_rate or with optimisation.precision fp32"
                )

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Marks the checkpoint complete once all processes have written their part, then evaluates."""
        processes().wait_for_everyone()
        self._count(state)
        if self.main:
            checkpoint = self.run.folder / f"checkpoint-{state.global_step}"
            # Before it counts as complete: the checkpoint, and the lines that are kept when a run continues from it.
            sync_tree(checkpoint)
            for path in self.run.folder.glob("*.jsonl"):
                sync(path)
            write_text(checkpoint / COMPLETE, f"{state.global_step}\n")
            sync(self.run.folder)
            write_json(self.run.folder / "run.json", self.record)
        processes().wait_for_everyone()
        self._evaluate(state)

    # ------------------------------------------------------------ parts

    def _exhausted(self, state: Any) -> bool:
        """Whether the budget of tokens or of seconds is spent, on any process."""
        settings = self.run.config.optimisation
        if settings.max_tokens is not None and state.num_input_tokens_seen >= settings.max_tokens:
            return True
        if settings.max_seconds is None:
            return False
        earlier = sum(part["work_s"] for part in self.record["sessions"][:-1])
        spent = torch.tensor(earlier + self._work_s(), device=self.trainer.accelerator.device)
        return bool(self.trainer.accelerator.gather(spent.reshape(1)).max() >= settings.max_seconds)

    def _work_s(self) -> float:
        """Seconds of this session's training and sampling, by `clock`."""
        return clock() - self.run.started_s - self._evaluating_clock

    def _tell(self, text: str) -> None:
        print(f"{self.run.config.method}: {text}", file=sys.stderr, flush=True)

    def _line(self, state: Any, logs: dict[str, Any]) -> str:
        """Figures of all languages together; the file has the rest."""
        values = (
            f"{name} {value:.4g}"
            for name, value in logs.items()
            if isinstance(value, int | float) and not _FILE_ONLY.match(name)
        )
        return f"step {state.global_step}/{state.max_steps}: {', '.join(values)}"

    def _evaluate(self, state: Any) -> None:
        """Runs the evaluation that is due at this step unless it exists, and logs it. The last step is always due."""
        every, step = self.run.config.evaluation.steps, state.global_step
        path = self._evaluation(step)
        last = step >= state.max_steps or self._out_of_budget
        if every and (step % every == 0 or last) and not path.is_file():
            start, begin = time.perf_counter(), clock()
            figures = self._figures(step)
            self._evaluating_s += time.perf_counter() - start
            self._evaluating_clock += clock() - begin
            self.trainer.log({f"eval_{name}": value for name, value in figures.items()})
            processes().wait_for_everyone()
            if self.main:
                write_json(path, figures)
            processes().wait_for_everyone()
        self._track_best(state)

    def _figures(self, step: int) -> dict[str, float]:
        """All evaluators, on the model as it is, without an effect on the randomness of training."""
        network = self.trainer.accelerator.unwrap_model(self.trainer.model)
        training = network.training
        network.eval()
        figures: dict[str, float] = {}
        with same_randomness(), lockstep(network, is_sharded(self.trainer)):
            for evaluator in (lambda at: evaluate_run(self.run, network, at), *self.run.evaluators):
                figures.update(evaluator(step))
        network.train(training)
        return figures

    # ------------------------------------------------------------ the best checkpoint

    def best(self) -> tuple[Path, float] | None:
        """The checkpoint with the highest value of `evaluation.best`, and that value; the first of equals."""
        metric = self.run.config.evaluation.best
        scored: list[tuple[float, int]] = []
        for path in sorted((self.run.folder / "evaluations").glob("step-??????.json")) if metric else ():
            step, figures = int(path.stem.partition("-")[2]), read_json(path)
            if metric not in figures:
                raise ConfigError(f"evaluation.best {metric!r} is not measured; known are {', '.join(sorted(figures))}")
            if step:
                scored.append((float(figures[metric]), -step))
        if not scored:
            return None
        value, step = max(scored)
        return self.run.folder / f"checkpoint-{-step}", value

    def _track_best(self, state: Any) -> None:
        """The Trainer does not remove `state.best_model_checkpoint` with the older ones."""
        best = self.best()
        if best is not None:
            state.best_model_checkpoint, state.best_metric = str(best[0]), best[1]

    def load_best(self) -> None:
        """Replaces the weights by those of the best checkpoint, if `evaluation.best` is set."""
        best = self.best()
        if best is None:
            return
        state = self.trainer.state
        state.best_model_checkpoint, state.best_metric = str(best[0]), best[1]
        if step_of(best[0]) != state.global_step:
            self.trainer._load_best_model()
        self.record["best"] = {"step": step_of(best[0]), self.run.config.evaluation.best: best[1]}

    def _count(self, state: Any) -> None:
        """Updates the cost in `run.json`."""
        self.session |= {
            "last_step": state.global_step,
            "seconds": time.perf_counter() - self._start,
            "evaluating_s": self._evaluating_s,
            "work_s": self._work_s(),
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
            # Training and sampling: processor time on a CPU, else time.
            "work_s": sum(part["work_s"] for part in self.record["sessions"]),
            "processes": count,
            "device": self.trainer.args.device.type,
            "device_hours": seconds * count / 3600,
            "peak_memory_bytes": peak,
        }

    def finish(self, copy: Path) -> None:
        """Marks the run finished in `run.json` and in the model's copy of it, with the figures of the final model."""
        self._count(self.trainer.state)
        step = self.record.get("best", {}).get("step")
        paths = sorted((self.run.folder / "evaluations").glob("step-??????.json"))
        chosen = [path for path in paths if step is None or int(path.stem.partition("-")[2]) == step]
        self.record["evaluation"] = read_json(chosen[-1]) if chosen else {}
        self.record["status"] = "finished"
        write_json(copy, self.record)
        sync_tree(copy.parent)
        write_json(self.run.folder / "run.json", self.record)
