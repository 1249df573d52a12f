"""GRPO over parallel questions with one reward per rollout of all languages (paper, section 3, equations 1 and 2).

    accelerate launch -m baselines.grpo --config baselines/configs/olmo2_7b_grpo.yaml

For a fact, G rollouts are sampled in each of its L languages, from prompts in the language that show the options
(`choose`) or none (`free`: any accepted name counts). Rollout g is the g-th completion of every language; all of them
earn its reward R (`baselines.rewards`), so that advantages, z-scores over the G rollouts, are equal in all languages.

The loss is TRL's. `grpo` is the mean over sequences of the mean over tokens (Shao et al. 2024); the paper names no
variant. With `loss.beta` above 0 the KL term is k3, against the model without its adapter. As in the paper, rollouts
are drawn under temperature, top-p and penalties, and the probabilities in the loss know of the temperature alone.

Logged: reward, mean r_l by language, shares of correct, incorrect, empty, wrong-language and other answers, of groups
without variance, gradient norm, tokens, device hours. `samples.jsonl` shows some rollouts every few steps.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from baselines.data import Fact, OpenFact, Rows, accepted_names, load_open
from baselines.prompts import free_prompt, item_prompt
from baselines.rewards import FactReward, Judge, Judged, OpenJudge, OptionJudge, RewardConfig
from baselines.sampler import batch_facts
from baselines.training.config import ConfigFile, Overwrite, Section, Settings, TrainingConfig, load_config
from polyfact_dataset.common.errors import DataError


class RolloutConfig(Section):
    """How completions are sampled (paper, table 4)."""

    generations: int = Field(default=8, ge=2)
    temperature: float = Field(default=0.7, gt=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    repetition_penalty: float = Field(default=1.5, gt=0)
    no_repeat_ngram: int | None = Field(default=3, ge=1)
    # Facts with a longer prompt in any language are left out.
    max_prompt_tokens: int = Field(default=512, ge=1)
    max_new_tokens: int = Field(default=48, ge=1)
    engine: Literal["transformers", "vllm"] = "transformers"
    # TRL's vLLM settings, such as vllm_mode: server.
    vllm: dict[str, Any] = {}
    # Micro-batches that one generation fills; those of one optimiser step for None.
    steps_per_generation: int | None = Field(default=None, ge=1)
    # Optimiser passes over each generation (mu of Shao et al. 2024).
    iterations: int = Field(default=1, ge=1)
    # Micro-batches of like length, without the padding that no row needs.
    bucketing: bool = True


class LossConfig(Section):
    """The loss: TRL's, by its names."""

    # Of the KL term (paper, table 4).
    beta: float = Field(default=0.0, ge=0)
    epsilon: float = Field(default=0.2, gt=0)
    kind: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "grpo"
    scale_rewards: Literal["group", "batch", "none"] = "group"


class GrpoConfig(TrainingConfig):
    """A batch counts completions: `batch * accumulation` of each process is a multiple of L * G."""

    method: ClassVar[str] = "grpo"

    prompt: Literal["choose", "free"] = "choose"
    # The config of the release that holds accepted names, for prompt: free.
    open_config: str = "clean_open"
    reward: RewardConfig = RewardConfig()
    rollouts: RolloutConfig = RolloutConfig()
    loss: LossConfig = LossConfig()
    # Generations in a row without any variance of rewards after which the run stops; null never stops.
    patience: int | None = Field(default=50, ge=1)
    # Steps between samples in samples.jsonl.
    sample_steps: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _feasible(self) -> GrpoConfig:
        rollouts = self.rollouts
        if rollouts.engine == "vllm" and rollouts.no_repeat_ngram:
            raise ValueError("rollouts.no_repeat_ngram: vLLM has no such penalty; set it to null")
        if rollouts.vllm and rollouts.engine != "vllm":
            raise ValueError("rollouts.vllm needs rollouts.engine: vllm")
        reused = self.steps_per_generation * rollouts.iterations
        if reused % self.optimisation.accumulation:
            raise ValueError("rollouts: steps_per_generation * iterations must be a multiple of accumulation")
        if self.output.checkpoint_steps % (reused // self.optimisation.accumulation):
            raise ValueError(
                "output.checkpoint_steps must not part the steps of one generation: a resume would redo it"
            )
        return self

    @property
    def steps_per_generation(self) -> int:
        """Micro-batches that one generation fills."""
        return self.rollouts.steps_per_generation or self.optimisation.accumulation


# ---------------------------------------------------------------- data


def prompts_of(fact: Fact | OpenFact, languages: Sequence[str]) -> list[str]:
    """The prompts of a fact, in the order of `languages`."""
    if isinstance(fact, OpenFact):
        return [free_prompt(code, fact.items[code].question).text for code in languages]
    return [item_prompt("choose", code, fact.items[code]).text for code in languages]


def build_rows(
    facts: Rows[Any], languages: Sequence[str], tokenizer: Any, max_tokens: int
) -> tuple[dict[str, list[Any]], int]:
    """Columns `prompt`, `row` (of the fact) and `language`, L rows per fact; and how many facts are too long.

    A fact is left out in all languages when its prompt in one of them has more than `max_tokens` tokens: a truncated
    prompt would ask for something else. Raises `DataError` when none is left.
    """
    columns: dict[str, list[Any]] = {"prompt": [], "row": [], "language": []}
    too_long = 0
    for row, fact in enumerate(facts):
        prompts = prompts_of(fact, languages)
        if max(map(len, tokenizer(prompts)["input_ids"])) > max_tokens:
            too_long += 1
            continue
        columns["prompt"] += prompts
        columns["row"] += [row] * len(languages)
        columns["language"] += languages
    if not columns["row"]:
        raise DataError(f"every fact has a prompt of more than {max_tokens} tokens; raise rollouts.max_prompt_tokens")
    return columns, too_long


def open_facts(run: Any, config: GrpoConfig) -> tuple[Rows[OpenFact], Judge]:
    """The facts to train on without options, and their judge, who knows the names of all answers of the split."""
    from baselines.evaluate.common import data_of

    data = config.dataset
    rows = load_open(data.source, config.open_config, "train", run.languages, data.revision)
    names = accepted_names(rows)
    facts = rows.sample(data.max_facts, config.seed)
    run.note_data("train", data_of(facts).model_dump())
    return facts, OpenJudge(_cached(facts), names)


class _cached(Sequence[Any]):
    """Rows that keep the facts decoded last: a fact is judged L * G times in a row."""

    def __init__(self, rows: Rows[Any]) -> None:
        self._rows = rows
        self._get = lru_cache(maxsize=64)(rows.__getitem__)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._get(index)


# ---------------------------------------------------------------- samples


class Samples:
    """Writes `samples.jsonl`: every few steps the first fact of the batch, two rollouts in all languages."""

    def __init__(self, path: Path, facts: Rows[Any], every: int, rollouts: int = 2) -> None:
        self.path = path
        self._facts = facts
        self._every = every
        self._rollouts = rollouts
        self._last = -1

    def forget_from(self, step: int) -> None:
        """Removes what a killed run wrote after its last checkpoint."""
        from polyfact_dataset.common.files import write_text

        if self.path.is_file():
            lines = self.path.read_text(encoding="utf-8").splitlines(True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] < step]
            write_text(self.path, "".join(kept))

    def __call__(self, found: list[Judged], step: int) -> None:
        if step % self._every or step == self._last:
            return
        self._last = step
        row = found[0].row
        fact = self._facts[row]
        lines = [
            {
                "step": step,
                "fact": fact.fact_id,
                "language": judged.language,
                "rollout": judged.rollout,
                "answer": judged.answer,
                "outcome": judged.verdict.outcome,
                "own": judged.own,
                "reward": judged.reward,
            }
            for judged in found
            if judged.row == row and judged.rollout < self._rollouts
        ]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


# ---------------------------------------------------------------- training


def arguments(run: Any, config: GrpoConfig) -> Any:
    """TRL's GRPOConfig."""
    from trl import GRPOConfig

    rollouts, loss = config.rollouts, config.loss
    generation: dict[str, Any] = {}
    if rollouts.engine == "transformers":
        generation["use_cache"] = True
        if rollouts.no_repeat_ngram:
            generation["no_repeat_ngram_size"] = rollouts.no_repeat_ngram
    return run.arguments(
        GRPOConfig,
        num_generations=rollouts.generations,
        max_completion_length=rollouts.max_new_tokens,
        temperature=rollouts.temperature,
        top_p=rollouts.top_p,
        repetition_penalty=rollouts.repetition_penalty,
        generation_kwargs=generation or None,
        steps_per_generation=config.steps_per_generation,
        num_iterations=rollouts.iterations,
        use_vllm=rollouts.engine == "vllm",
        beta=loss.beta,
        epsilon=loss.epsilon,
        loss_type=loss.kind,
        scale_rewards=loss.scale_rewards,
        # Of the reference model, which TRL loads itself where all weights are trained.
        model_init_kwargs={"revision": config.model.revision} if loss.beta and not config.lora else None,
        # TRL counts prompts and completions itself.
        include_num_input_tokens_seen="no",
        **rollouts.vllm,
    )


def make_trainer(run: Any, config: GrpoConfig) -> Any:
    """The trainer of a run, with its data and rewards."""
    from datasets import Dataset

    from baselines.models import processes
    from baselines.rollouts import FactTrainer

    generations = config.rollouts.generations
    judge: Judge
    if config.prompt == "free":
        facts, judge = open_facts(run, config)
    else:
        facts = run.facts()
        judge = OptionJudge(_cached(facts))
    args = arguments(run, config)
    sizes = (args.per_device_train_batch_size, args.steps_per_generation, args.world_size)
    batch_facts(*sizes, len(run.languages), generations)
    columns, too_long = build_rows(facts, run.languages, run.tokenizer, config.rollouts.max_prompt_tokens)
    run.note_data("rollouts", {"facts": len(facts) - too_long, "too_long": too_long})
    samples: Callable[[list[Judged], int], None] | None = None
    if processes().is_main_process:
        samples = Samples(run.folder / "samples.jsonl", facts, config.sample_steps)
        samples.forget_from(resume_step(run.folder))
    return FactTrainer(
        model=run.network,
        reward_funcs=FactReward(judge, run.languages, generations, config.reward, samples),
        args=args,
        train_dataset=Dataset.from_dict(columns),
        processing_class=run.tokenizer,
        languages=len(run.languages),
        bucketing=config.rollouts.bucketing,
        patience=config.patience,
        hours=spent_hours(run.folder),
    )


def resume_step(folder: Path) -> int:
    """The step that a run in this folder goes on from."""
    from baselines.training.hooks import last_checkpoint

    checkpoint = last_checkpoint(folder)
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def spent_hours(folder: Path) -> float:
    """Device hours of a run's earlier sessions, as far as its last checkpoint."""
    from polyfact_dataset.common.files import read_json

    path = folder / "run.json"
    return float(read_json(path).get("cost", {}).get("device_hours", 0.0)) if path.is_file() else 0.0


def train(config: GrpoConfig, overwrite: bool = False) -> Path:
    """Trains and returns the folder of the final adapter or model.

    Raises `ConfigError` for a batch that does not hold whole facts, `DataError` when rewards have no variance.
    """
    from baselines.training.run import Run

    if config.rollouts.engine == "vllm":
        from baselines.cli import need

        need("vllm", "vllm")
    run = Run.start(config, overwrite)
    return run.train(make_trainer(run, config))


def main(config: ConfigFile, settings: Settings = None, overwrite: Overwrite = False) -> None:
    """Multilingual GRPO with a pooled reward."""
    train(load_config(GrpoConfig, config, settings), overwrite)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
