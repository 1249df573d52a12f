"""TRL's GRPOTrainer for facts in many languages: whole facts per process, micro-batches of similar length.

Differences from TRL: the sampler (`FactSampler`); rollouts depend on seed, step and fact alone, so that any number of
processes draws the same ones and a resumed run continues bit by bit; they are generated without dropout, end with the
answer's line and are penalised for repetitions of themselves alone; micro-batches hold sequences of similar length and
no more padding than the longest of them needs; a run without any variance of rewards stops. The loss is TRL's.

`drift` is logged whatever `beta` is: the completions of the first generation, as far as one micro-batch, keep the
log-probabilities that the starting model gave them; drift is the mean over their tokens of how much these have fallen,
an estimate of KL(start || now) under the sampling distribution.

With vLLM, `check_parity` compares its log-probabilities with the trainer's before step 1, once with the model as it is
and once with perturbed weights, which only an engine with synchronised weights reproduces.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer
from trl import GRPOTrainer
from trl.models.utils import unwrap_model_for_generation

from baselines.answer_lines import LineEnd
from baselines.lockstep import lockstep
from baselines.penalties import Scope, processors
from baselines.sampler import FactSampler, batch_facts
from baselines.training.padding import pad_left, pad_right
from baselines.training.randomness import fork_rng
from baselines.training.sharding import is_sharded
from polyfact_dataset.common.errors import DataError

# The number of generations without variance so far, stored with the states of callbacks.
_FLAT = "generations_without_variance"
_OF_PROMPTS = ("prompt_ids", "prompt_mask")
_OF_COMPLETIONS = (
    *("completion_ids", "completion_mask", "old_per_token_logps", "ref_per_token_logps"),
    *("sampling_per_token_logps", "importance_sampling_ratio"),
)
_DRIFT = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
# Noise in units of the standard deviation of each weight, or of 0.2 where all are 0, as half of a fresh adapter is.
_PERTURBATIONS = tuple(0.1 * 2**power for power in range(8))


@dataclass(frozen=True)
class Rollouts:
    """How completions are generated and used. `languages` is L.

    `patience`: a `DataError` after this number of generations in a row in which no group of rollouts has any variance;
    None never stops. `parity` is the largest mean difference of log-probabilities between vLLM and the trainer.
    """

    languages: int
    repetition_penalty: float = 1.0
    no_repeat_ngram: int | None = None
    penalise: Scope = "completion"
    bucketing: bool = True
    patience: int | None = None
    parity: float = 0.2


class FactTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPOTrainer over a dataset with columns `prompt`, `row` (its fact) and `language`, L rows per fact in order.

    `hours`: device hours of earlier sessions.
    """

    def __init__(self, *arguments: Any, rollouts: Rollouts, hours: float = 0.0, **named: Any) -> None:
        self._rollouts = rollouts
        self._hours = hours
        self._start = time.perf_counter()
        self._rows: list[int] = []
        self._buffered_inputs: list[dict[str, Any]] | None = None
        self._checked = False
        self._drift: dict[str, torch.Tensor] | None = None
        super().__init__(*arguments, **named)
        self._line_end = LineEnd.of(self.accelerator.unwrap_model(self.model), self.processing_class)

    # ------------------------------------------------------------ data

    def _get_train_sampler(self, dataset: Any = None) -> FactSampler:
        """Replaces TRL's sampler, which scatters the rows of a fact."""
        args, languages = self.args, self._rollouts.languages
        sizes = (args.per_device_train_batch_size, args.steps_per_generation, args.world_size)
        return FactSampler(
            facts=len(dataset if dataset is not None else self.train_dataset) // languages,
            languages=languages,
            generations=self.num_generations,
            batch_facts=batch_facts(*sizes, languages, self.num_generations),
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
            self._log_drift(batch)
            seeds = [self.args.seed, self.state.global_step, self.accelerator.process_index]
            order = np.random.default_rng(seeds).permutation(len(batch["prompt_ids"]))
            # Sorted inside an optimiser step alone: each of them sees all languages.
            updates = max(1, steps // self.args.gradient_accumulation_steps)
            self._buffered_inputs = micro_batches(batch, order, steps, updates, self._rollouts.bucketing)
        return self._buffered_inputs[self._step % steps]

    # ------------------------------------------------------------ rollouts

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._rows = [example["row"] for example in inputs]
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        return batch

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, multimodal_fields: Any, *rest: Any, **named: Any
    ) -> tuple[list[list[int]], Any]:
        """Generates fact by fact, each from separate random numbers; vLLM does its batching and seeding itself."""
        if self.use_vllm:
            generate = super()._generate_single_turn

            def by_vllm() -> tuple[list[list[int]], Any]:
                generated: tuple[list[list[int]], Any] = generate(prompt_ids, images, multimodal_fields, *rest, **named)
                return generated

            if not self._checked:
                self._checked = True
                self.probe(prompt_ids, by_vllm)
            completions, logprobs = by_vllm()
            self.check_parity(prompt_ids, completions, logprobs)
            return self._cut(completions, logprobs)
        training = self.model.training
        self.model.eval()
        network = self.accelerator.unwrap_model(self.model)
        block = self._rollouts.languages * self.num_generations
        completions = []
        with fork_rng(), lockstep(network, is_sharded(self)):
            for start in range(0, len(prompt_ids), block):
                seeds = np.random.SeedSequence([self.args.seed, self.state.global_step, self._rows[start]])
                torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))
                completions += self._sample(prompt_ids[start : start + block])
        self.model.train(training)
        return completions, None

    def _sample(self, prompts: list[list[int]]) -> list[list[int]]:
        """Completions of a batch of prompts by `generate`, cut at the end of their line."""
        device = self.accelerator.device
        ids, mask = pad_left(prompts, self.processing_class.pad_token_id, device)
        width = ids.shape[1]
        settings = self._rollouts
        penalties = processors(settings.repetition_penalty, settings.no_repeat_ngram, settings.penalise, mask)
        with (
            unwrap_model_for_generation(
                self.model_wrapped,
                self.accelerator,
                gather_deepspeed3_params=self.args.ds3_gather_for_generation,
                generation_kwargs=self.generation_kwargs,
                gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
            ) as network,
            torch.no_grad(),
        ):
            generated = network.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=self.generation_config,
                logits_processor=penalties,
                stopping_criteria=self._line_end.to(device).criteria(width),
                synced_gpus=False,
            )
        # Without what fills up the shorter completions of a batch.
        return [self._line_end.cut(row, self.eos_token_ids) for row in generated[:, width:].tolist()]

    def _cut(self, completions: list[list[int]], logprobs: Any) -> tuple[list[list[int]], Any]:
        """Completions of vLLM without what comes after the answer's line."""
        cut = [self._line_end.cut(completion, self.eos_token_ids) for completion in completions]
        return cut, [values[: len(kept)] for values, kept in zip(logprobs, cut, strict=True)]

    # ------------------------------------------------------------ parity and drift

    def _logprobs(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(B, C) log-probabilities of the tokens of completions by the model as it is, without dropout."""
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            logprobs: torch.Tensor = self._get_per_token_logps_and_entropies(
                self.model,
                torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
                torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
                batch["completion_ids"].size(1),
                self.args.per_device_train_batch_size,
            )[0]
        self.model.train(training)
        return logprobs

    def probe(self, prompts: list[list[int]], generate: Any) -> None:
        """Checks an engine before step 1: with the weights as they are, and with perturbed ones.

        Raises `DataError` when the engine's log-probabilities are not the trainer's. The perturbation shows an engine
        that never receives new weights: a fresh adapter has no effect, so that its base model would pass.
        """
        completions, logprobs = generate()
        self.check_parity(prompts, completions, logprobs)
        with self._perturbed(self._padded(prompts, completions)):
            completions, logprobs = generate()
            self.check_parity(prompts, completions, logprobs)

    @contextmanager
    def _perturbed(self, batch: dict[str, torch.Tensor]) -> Iterator[None]:
        """Adds noise to the trained weights, and has the engine load them on entry and after exit.

        The noise is doubled until it changes the log-probabilities of `batch` by twice what `parity` allows: that of a
        small adapter would else be overlooked.
        """
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        kept = [weight.detach().to("cpu", copy=True) for weight in weights]
        before, mask = self._logprobs(batch), batch["completion_mask"]
        for scale in _PERTURBATIONS:
            generator = torch.Generator().manual_seed(0)
            with torch.no_grad():
                for weight, old in zip(weights, kept):
                    noise = torch.randn(old.shape, generator=generator)
                    noise *= scale * float(old.float().std(correction=0)) or scale / 5
                    weight.copy_(old + noise.to(old.dtype))
            change = ((self._logprobs(batch) - before).abs() * mask).sum() / mask.sum()
            if float(self.accelerator.gather(change.reshape(1)).mean()) > 2 * self._rollouts.parity:
                break
        self._last_loaded_step = -1
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, old in zip(weights, kept):
                    weight.copy_(old)
            self._last_loaded_step = -1

    def check_parity(self, prompts: list[list[int]], completions: list[list[int]], logprobs: list[list[float]]) -> None:
        """Compares an engine's log-probabilities of its completions with the trainer's, and logs the difference.

        Raises `DataError` when the mean difference per token passes the limit: the engine has other weights, another
        tokenizer or other sampling settings than the trainer.
        """
        recomputed = self._logprobs(self._padded(prompts, completions))
        differences = [
            abs(float(recomputed[row, position]) - value)
            for row, values in enumerate(logprobs)
            for position, value in enumerate(values)
            if value is not None and np.isfinite(value)
        ]
        mean = self.accelerator.gather(torch.tensor([np.mean(differences)], device=self.accelerator.device)).mean()
        self._metrics["train"]["parity"].append(float(mean))
        if float(mean) > self._rollouts.parity:
            raise DataError(
                f"step {self.state.global_step}: the log-probabilities of the rollouts' engine differ from the "
                f"trainer's by {float(mean):.3f} per token on average, more than rollouts.parity "
                f"{self._rollouts.parity:g}: it does not run the weights that are trained. Check that the "
                "server serves the model of this run, and that it runs with --logprobs-mode processed_logprobs"
            )

    def _padded(self, prompts: list[list[int]], completions: list[list[int]]) -> dict[str, torch.Tensor]:
        """Prompts padded on the left and completions on the right, with their masks."""
        pad, device = self.processing_class.pad_token_id, self.accelerator.device
        prompt_ids, prompt_mask = pad_left(prompts, pad, device)
        completion_ids, completion_mask = pad_right(completions, pad, device)
        return dict(zip(_DRIFT, (prompt_ids, prompt_mask, completion_ids, completion_mask)))

    def _log_drift(self, batch: dict[str, Any]) -> None:
        """Logs how far the model is from the one that the run started from; see the head of this file."""
        if self._drift is None:
            self._drift = self._first_rollouts(batch)
        mask = self._drift["completion_mask"]
        fallen = ((self._drift["logprobs"] - self._logprobs(self._drift)) * mask).sum()
        sums = self.accelerator.reduce(torch.stack([fallen.double(), mask.sum().double()]), "sum")
        self._metrics["train"]["drift"].append(float(sums[0] / sums[1].clamp(min=1)))

    def _first_rollouts(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        """The first rollouts of this process with their log-probabilities, from the run's folder when it resumes."""
        from safetensors.torch import load_file, save_file

        path = Path(self.args.output_dir) / f"drift-{self.accelerator.process_index:05}.safetensors"
        if self.state.global_step and path.is_file():
            return {name: value.to(self.accelerator.device) for name, value in load_file(path).items()}
        size = self.args.per_device_train_batch_size
        first = {name: batch[name][:size].contiguous() for name in _DRIFT}
        first["logprobs"] = self._logprobs(first)
        save_file({name: value.cpu() for name, value in first.items()}, path)
        return first

    # ------------------------------------------------------------ stopping

    def _watch(self) -> None:
        """Counts generations without variance; every process has the same figures."""
        metrics = self._metrics["train"]
        # Part of the state in checkpoints, or a run that is interrupted often would never stop.
        kept = self.state.stateful_callbacks
        kept[_FLAT] = flat = kept.get(_FLAT, 0) + 1 if metrics["frac_reward_zero_std"][-1] == 1.0 else 0
        if self._rollouts.patience is None or flat < self._rollouts.patience:
            return
        reward = metrics["reward"][-1]
        answers = ", ".join(
            f"{100 * metrics[name][-1]:.0f} % {name.partition('/')[2].replace('_', ' ')}"
            for name in ("share/correct", "share/incorrect", "share/empty", "share/wrong_language", "share/invalid")
            if metrics.get(name)
        )
        raise DataError(
            f"step {self.state.global_step}: no variance of rewards in {flat} generations in a row, so there is "
            f"nothing to learn from (reward {reward:g} throughout the last; answers: {answers}). Read samples.jsonl; "
            "raise rollouts.temperature or rollouts.generations, start from a model that gets some answers right, or "
            "raise patience"
        )

    # ------------------------------------------------------------ logs

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the device hours so far; figures of an evaluation are not mixed with those of training."""
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
    cut = dict(batch)
    for name in _OF_PROMPTS:
        cut[name] = batch[name][:, -prompt:]
    for name in _OF_COMPLETIONS:
        value = batch.get(name)
        if value is not None and value.ndim == 2 and value.size(1) == width:
            cut[name] = value[:, :completion]
    return cut
