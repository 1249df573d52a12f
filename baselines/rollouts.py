"""TRL's GRPOTrainer for facts in many languages: whole facts per process, micro-batches of like length.

What differs from TRL: the sampler (`FactSampler`); rollouts depend on seed, step and fact alone, so that any number of
processes draws the same ones and a resumed run goes on as it was; they are generated without dropout; micro-batches
hold sequences of like length and no more padding than the longest of them needs; a run without any variance of rewards
stops. The loss is TRL's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import Trainer
from trl import GRPOTrainer

from baselines.sampler import FactSampler, batch_facts
from polyfact_dataset.common.errors import DataError

# Generations without variance so far, among the states of callbacks.
_FLAT = "generations_without_variance"
_OF_PROMPTS = ("prompt_ids", "prompt_mask")
_OF_COMPLETIONS = (
    *("completion_ids", "completion_mask", "old_per_token_logps", "ref_per_token_logps"),
    *("sampling_per_token_logps", "importance_sampling_ratio"),
)


class FactTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPOTrainer over a dataset with columns `prompt`, `row` (its fact) and `language`, L rows per fact in order.

    `patience`: so many generations in a row in which no group of rollouts has any variance stop the run with a
    `DataError`; None never does. `hours`: device hours of earlier sessions.
    """

    def __init__(
        self,
        *arguments: Any,
        languages: int,
        bucketing: bool = True,
        patience: int | None = None,
        hours: float = 0.0,
        **named: Any,
    ) -> None:
        self._languages = languages
        self._bucketing = bucketing
        self._patience = patience
        self._hours = hours
        self._start = time.perf_counter()
        self._rows: list[int] = []
        self._buffered_inputs: list[dict[str, Any]] | None = None
        super().__init__(*arguments, **named)

    # ------------------------------------------------------------ data

    def _get_train_sampler(self, dataset: Any = None) -> FactSampler:
        """Replaces TRL's sampler, which scatters the rows of a fact."""
        args = self.args
        sizes = (args.per_device_train_batch_size, args.steps_per_generation, args.world_size)
        return FactSampler(
            facts=len(self.train_dataset) // self._languages,
            languages=self._languages,
            generations=self.num_generations,
            batch_facts=batch_facts(*sizes, self._languages, self.num_generations),
            repeats=self.num_iterations * args.steps_per_generation,
            seed=args.seed,
        )

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """Generates and scores where it is due, and returns this step's micro-batch."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        steps: int = self.args.steps_per_generation
        if self._step % (steps * self.num_iterations) == 0 or self._buffered_inputs is None:
            batch = self._generate_and_score_completions(generation_batch)
            self._watch()
            seeds = [self.args.seed, self.state.global_step, self.accelerator.process_index]
            order = np.random.default_rng(seeds).permutation(len(batch["prompt_ids"]))
            # Sorted inside an optimiser step alone: each of them sees all languages.
            updates = max(1, steps // self.args.gradient_accumulation_steps)
            self._buffered_inputs = micro_batches(batch, order, steps, updates, self._bucketing)
        return self._buffered_inputs[self._step % steps]

    # ------------------------------------------------------------ rollouts

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._rows = [example["row"] for example in inputs]
        found: dict[str, Any] = super()._generate_and_score_completions(inputs)
        return found

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, multimodal_fields: Any, *rest: Any, **named: Any
    ) -> tuple[list[list[int]], Any]:
        """Generates fact by fact, each from random numbers of its own; vLLM has its own batching and seeds."""
        generate = super()._generate_single_turn
        if self.use_vllm or self.use_transformers_continuous_batching:
            found: tuple[list[list[int]], Any] = generate(prompt_ids, images, multimodal_fields, *rest, **named)
            return found
        training = self.model.training
        self.model.eval()
        block = self._languages * self.num_generations
        completions: list[list[int]] = []
        with torch.random.fork_rng():
            for start in range(0, len(prompt_ids), block):
                seeds = np.random.SeedSequence([self.args.seed, self.state.global_step, self._rows[start]])
                torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))
                part = slice(start, start + block)
                completions += generate(prompt_ids[part], images, multimodal_fields, *rest, **named)[0]
        self.model.train(training)
        return completions, None

    def _watch(self) -> None:
        """Counts generations without variance; every process sees the same figures."""
        metrics = self._metrics["train"]
        # A part of the state that checkpoints hold, or a run that is killed often would never stop.
        kept = self.state.stateful_callbacks
        kept[_FLAT] = flat = kept.get(_FLAT, 0) + 1 if metrics["frac_reward_zero_std"][-1] == 1.0 else 0
        if self._patience is None or flat < self._patience:
            return
        reward = metrics["reward"][-1]
        said = ", ".join(
            f"{100 * metrics[name][-1]:.0f} % {name.partition('/')[2].replace('_', ' ')}"
            for name in ("share/correct", "share/incorrect", "share/empty", "share/wrong_language", "share/invalid")
            if metrics.get(name)
        )
        raise DataError(
            f"step {self.state.global_step}: no variance of rewards in {flat} generations in a row, so there is "
            f"nothing to learn from (reward {reward:g} throughout the last; answers: {said}). Read samples.jsonl; "
            "raise rollouts.temperature or rollouts.generations, start from a model that gets some answers right, or "
            "raise patience"
        )

    # ------------------------------------------------------------ logs

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the device hours so far; figures of an evaluation stay apart from those of training."""
        if all(name.startswith("eval_") for name in logs):
            Trainer.log(self, logs, start_time)
            return
        hours = (time.perf_counter() - self._start) * self.accelerator.num_processes / 3600
        super().log({**logs, "device_hours": self._hours + hours}, start_time)


def micro_batches(
    batch: Mapping[str, Any], order: np.ndarray[Any, Any], steps: int, updates: int, bucketing: bool
) -> list[dict[str, Any]]:
    """The rows of a generation batch in `order`, cut into `steps` equal micro-batches, for `updates` optimiser steps.

    With `bucketing` those of one optimiser step are sorted by length, and columns that are padding in all of a
    micro-batch's rows are cut off.
    """
    rows = np.asarray(order)
    if bucketing:
        prompts, completions = (batch[name].sum(dim=1).cpu().numpy() for name in ("prompt_mask", "completion_mask"))
        parts = np.array_split(rows, updates)
        rows = np.concatenate([part[np.lexsort((completions[part], prompts[part]))] for part in parts])
    cut = []
    for chosen in np.array_split(rows, steps):
        index = torch.as_tensor(chosen, device=batch["prompt_ids"].device)
        part = {
            name: value if not isinstance(value, torch.Tensor) or value.ndim == 0 else value[index]
            for name, value in batch.items()
        }
        cut.append(trimmed(part) if bucketing else part)
    return cut


def trimmed(batch: dict[str, Any]) -> dict[str, Any]:
    """Without the columns that pad prompts on the left, and completions on the right, in all rows."""
    prompt = max(int(batch["prompt_mask"].sum(dim=1).max()), 1)
    completion = max(int(batch["completion_mask"].sum(dim=1).max()), 1)
    width = batch["completion_ids"].size(1)
    found = dict(batch)
    for name in _OF_PROMPTS:
        found[name] = batch[name][:, -prompt:]
    for name in _OF_COMPLETIONS:
        value = batch.get(name)
        if value is not None and value.ndim == 2 and value.size(1) == width:
            found[name] = value[:, :completion]
    return found
