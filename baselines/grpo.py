"""GRPO over parallel questions with one reward per rollout of all languages (paper, section 3, equations 1 and 2).

    accelerate launch -m baselines.grpo --config baselines/configs/olmo2_7b_grpo.yaml

For a fact, G rollouts are sampled in each of its L languages, from prompts in the language that show the options
(`choose`) or none (`free`: any accepted name counts). Rollout g is the g-th completion of every language; all of them
earn its reward R (`baselines.rewards`), so that advantages, z-scores over the G rollouts, are equal in all languages.

The loss is TRL's. `grpo` is the mean over sequences of the mean over tokens (Shao et al. 2024); the paper names no
variant. With `loss.beta` above 0 the KL term is k3, against the model without its adapter.

Deviations from the paper's table 4: the repetition penalty and the ban of repeated n-grams count the completion alone
(`rollouts.penalise`): counted with the prompt, which shows the options, they exclude most correct answers. Generation
stops at the end of the answer's line. As in the paper, the probabilities in the loss account for the temperature alone,
not for top-p and penalties.

Logged: reward, mean r_l by language, shares of correct, incorrect, empty, wrong-language and other answers, of groups
without variance, `drift` (see `baselines.rollouts`), gradient norm, tokens, device hours. `samples.jsonl` holds some
rollouts of every few steps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from baselines.data import Fact, OpenFact, Rows, accepted_names, load_open
from baselines.feasibility import Limits, count, require
from baselines.pass_rate import chosen_rows, pass_rates
from baselines.penalties import Scope
from baselines.prompts import Prompt, free_prompt, item_prompt
from baselines.rewards import CachedFacts, FactReward, Judge, Judged, OpenJudge, OptionJudge, RewardConfig
from baselines.sampler import batch_facts
from baselines.samples import Samples
from baselines.training.answer_tokens import answer_tokens
from baselines.training.arguments import derive_batch, training_arguments
from baselines.training.checkpoints import resume_step
from baselines.training.config import ConfigFile, Overwrite, Settings, TrainingConfig, load_config
from baselines.training.loop import fit
from baselines.training.run import Run
from baselines.training.sampling import SamplingConfig, sample_answers
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.config.base import Section

# Facts of the dry count.
_COUNTED = 200


class RolloutConfig(Section):
    """How completions are sampled (paper, table 4)."""

    generations: int = Field(default=8, ge=2)
    temperature: float = Field(default=0.7, gt=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    repetition_penalty: float = Field(default=1.5, gt=0)
    no_repeat_ngram: int | None = Field(default=3, ge=1)
    # What both penalties count: the completion, or the prompt too (all). See `baselines.penalties`.
    penalise: Scope = "completion"
    # The run is refused when fewer correct answers than this share can be generated in a language.
    min_feasible: float = Field(default=0.5, ge=0, le=1)
    # Facts with a longer prompt in any language are left out.
    max_prompt_tokens: int = Field(default=512, ge=1)
    max_new_tokens: int = Field(default=48, ge=1)
    engine: Literal["transformers", "vllm"] = "transformers"
    # TRL's vLLM settings, such as vllm_mode: server.
    vllm: dict[str, Any] = {}
    # Largest mean difference, per token, between the log-probabilities of vLLM and of the trainer.
    parity: float = Field(default=0.2, gt=0)
    # Micro-batches that one generation fills; those of one optimiser step for None.
    steps_per_generation: int | None = Field(default=None, ge=1)
    # Optimiser passes over each generation (mu of Shao et al. 2024).
    iterations: int = Field(default=1, ge=1)
    # Micro-batches of similar length, without padding that no row needs.
    bucketing: bool = True

    @model_validator(mode="after")
    def _engine(self) -> RolloutConfig:
        if self.engine == "vllm" and (self.no_repeat_ngram or self.repetition_penalty != 1):
            # TRL's importance correction compares vLLM's probabilities after penalties with ours before them: most
            # sequences then get a weight of almost 0.
            raise ValueError(
                "engine vllm counts the prompt in its repetition penalty and knows no ban of n-grams; set "
                "repetition_penalty: 1.0 and no_repeat_ngram: null"
            )
        if self.vllm and self.engine != "vllm":
            raise ValueError("vllm needs engine: vllm")
        return self


class LossConfig(Section):
    """The loss: TRL's, by its names.

    DAPO (Yu et al. 2025): `kind: dapo, epsilon_high: 0.28`, with `filter.pass_rate` for its dynamic sampling.
    Dr. GRPO (Liu et al. 2025): `kind: dr_grpo, scale_rewards: none`.
    """

    # Of the KL term (paper, table 4).
    beta: float = Field(default=0.0, ge=0)
    epsilon: float = Field(default=0.2, gt=0)
    # The upper bound of the clipped ratio is 1 + epsilon_high; that of epsilon for None.
    epsilon_high: float | None = Field(default=None, gt=0)
    kind: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "grpo"
    scale_rewards: Literal["group", "batch", "none"] = "group"


class FilterConfig(Section):
    """Which facts are trained on."""

    # Lowest and highest share of correct answers of the model that the run starts from; None keeps all facts.
    pass_rate: tuple[float, float] | None = None
    # Samples per fact and language that measure it, under the temperature of the rollouts.
    samples: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> FilterConfig:
        if self.pass_rate and not 0 <= self.pass_rate[0] <= self.pass_rate[1] <= 1:
            raise ValueError("pass_rate must be two shares, the lower one first")
        return self


class GrpoConfig(TrainingConfig):
    """A batch counts completions; an effective batch counts facts, each with L x G completions."""

    method: ClassVar[str] = "grpo"
    description: ClassVar[str] = "GRPO"

    prompt: Literal["choose", "free"] = "choose"
    # The config of the release that holds accepted names, for prompt: free.
    open_config: str = "clean_open"
    reward: RewardConfig = RewardConfig()
    rollouts: RolloutConfig = RolloutConfig()
    loss: LossConfig = LossConfig()
    filter: FilterConfig = FilterConfig()
    # Generations in a row without any variance of rewards after which the run stops; null never stops.
    patience: int | None = Field(default=50, ge=1)
    # Steps between samples in samples.jsonl.
    sample_steps: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _filtered(self) -> GrpoConfig:
        if self.filter.pass_rate and self.prompt != "choose":
            raise ValueError("filter.pass_rate needs prompt: choose")
        if self.optimisation.effective is None:
            self.check_steps(self.optimisation.accumulation or 1)
        return self

    def check_steps(self, accumulation: int) -> int:
        """Micro-batches that one generation fills. Raises `ValueError` when optimiser steps do not divide them."""
        steps = self.rollouts.steps_per_generation or accumulation
        reused = steps * self.rollouts.iterations
        if reused % accumulation:
            raise ValueError("rollouts: steps_per_generation * iterations must be a multiple of accumulation")
        if self.output.checkpoint_steps % (reused // accumulation):
            raise ValueError(
                "output.checkpoint_steps must not separate the steps of one generation: a resume would redo it"
            )
        return steps


# ---------------------------------------------------------------- data


def prompts_of(fact: Fact | OpenFact, languages: Sequence[str]) -> list[Prompt]:
    """The prompts of a fact, in the order of `languages`."""
    if isinstance(fact, OpenFact):
        return [free_prompt(code, fact.items[code].question) for code in languages]
    return [item_prompt("choose", code, fact.items[code]) for code in languages]


def build_rows(
    facts: Rows[Any], languages: Sequence[str], tokenizer: Any, max_tokens: int, wrap: Callable[[Prompt], Prompt]
) -> tuple[dict[str, list[Any]], int]:
    """Columns `prompt`, `row` (of the fact) and `language`, L rows per fact; and how many facts are too long.

    `wrap` puts a prompt into a chat template. A fact is left out in all languages when its prompt in one of them has
    more than `max_tokens` tokens: a truncated prompt would ask another question. Raises `DataError` when none is left.
    """
    columns: dict[str, list[Any]] = {"prompt": [], "row": [], "language": []}
    too_long = 0
    for row, fact in enumerate(facts):
        prompts = [wrap(prompt).text for prompt in prompts_of(fact, languages)]
        if max(map(len, tokenizer(prompts)["input_ids"])) > max_tokens:
            too_long += 1
            continue
        columns["prompt"] += prompts
        columns["row"] += [row] * len(languages)
        columns["language"] += languages
    if not columns["row"]:
        raise DataError(f"every fact has a prompt of more than {max_tokens} tokens; raise rollouts.max_prompt_tokens")
    return columns, too_long


def open_facts(run: Run, config: GrpoConfig) -> tuple[Rows[OpenFact], Judge]:
    """The facts to train on without options, and their judge, with the names of all answers of the split."""
    from baselines.evaluate.common import data_of

    data = config.dataset
    rows = load_open(data.source, config.open_config, "train", run.languages, data.revision)
    names = accepted_names(rows)
    facts = rows.sample(data.max_facts, config.seed)
    run.note_data("train", data_of(facts).model_dump())
    return facts, OpenJudge(CachedFacts(facts), names)


def check_feasible(run: Run, config: GrpoConfig, facts: Rows[Any]) -> None:
    """Counts on a sample of facts which correct answers can be generated, and notes it.

    Raises `ConfigError` when they are too few.
    """
    rollouts = config.rollouts

    def tokens(fact: Any, code: str) -> tuple[list[int], list[int]]:
        prompt = run.prompt(prompts_of(fact, [code])[0])
        item = fact.items[code]
        gold = item.answer if isinstance(fact, OpenFact) else item.options[item.answer]
        whole, same = answer_tokens(run.tokenizer, prompt, gold)
        return whole[:same], whole[same:]

    limits = Limits(rollouts.max_new_tokens, rollouts.no_repeat_ngram, rollouts.penalise)
    sample = facts.sample(_COUNTED, config.seed)
    feasibility = count(({code: tokens(fact, code) for code in run.languages} for fact in sample), limits)
    run.notes.append(str(feasibility))
    require(feasibility, rollouts.min_feasible)


def filtered(run: Run, config: GrpoConfig, facts: Rows[Fact]) -> Rows[Fact]:
    """The facts with a pass rate within `filter.pass_rate`; measured once, in `pass_rates.parquet`.

    Raises `DataError` when none is left.
    """
    if config.filter.pass_rate is None:
        return facts
    rollouts = config.rollouts
    settings = SamplingConfig(
        samples=config.filter.samples,
        temperature=rollouts.temperature,
        top_p=rollouts.top_p,
        max_new_tokens=rollouts.max_new_tokens,
        prompt="choose",
    )
    samples = sample_answers(run, facts, settings)
    made_from = samples.schema.metadata[b"made_from"].decode()
    rates = run.made_once("pass_rates.parquet", made_from, lambda: pass_rates(facts, samples))
    kept = chosen_rows(rates["pass_rate"].to_pylist(), *config.filter.pass_rate)
    low, high = config.filter.pass_rate
    run.notes.append(f"{len(kept)} of {len(facts)} facts have a pass rate from {low:g} to {high:g}")
    if not kept:
        raise DataError(f"{run.folder}: no fact has a pass rate from {low:g} to {high:g}; widen filter.pass_rate")
    return facts.take(kept)


# ---------------------------------------------------------------- training


def arguments(run: Run, config: GrpoConfig) -> Any:
    """TRL's GRPOConfig. Raises `ConfigError` unless every process gets whole facts."""
    from trl import GRPOConfig

    from baselines.models import processes

    rollouts, loss = config.rollouts, config.loss
    block = len(run.languages) * rollouts.generations
    count_of = processes().num_processes
    effective = config.optimisation.effective
    if effective is not None and effective % count_of:
        raise ConfigError(
            f"optimisation.effective_facts {effective} must be a multiple of the {count_of} processes: each of them "
            "takes whole facts"
        )
    batch = derive_batch(config.optimisation, config.unit, count_of, block)
    try:
        steps = config.check_steps(batch.accumulation)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    # Before TRL sees it: TRL's check knows nothing of languages.
    batch_facts(batch.batch, steps, count_of, len(run.languages), rollouts.generations)
    return training_arguments(
        run,
        GRPOConfig,
        block,
        num_generations=rollouts.generations,
        max_completion_length=rollouts.max_new_tokens,
        temperature=rollouts.temperature,
        top_p=rollouts.top_p,
        # The trainer applies the penalties.
        repetition_penalty=1.0,
        generation_kwargs={"use_cache": True} if rollouts.engine == "transformers" else None,
        steps_per_generation=steps,
        num_iterations=rollouts.iterations,
        use_vllm=rollouts.engine == "vllm",
        beta=loss.beta,
        epsilon=loss.epsilon,
        epsilon_high=loss.epsilon_high,
        loss_type=loss.kind,
        scale_rewards=loss.scale_rewards,
        # Of the reference model, which TRL loads itself where all weights are trained.
        model_init_kwargs={"revision": config.model.revision} if loss.beta and not config.lora else None,
        # TRL counts prompts and completions itself.
        include_num_input_tokens_seen="no",
        **rollouts.vllm,
    )


def make_trainer(run: Run, config: GrpoConfig) -> Any:
    """The trainer of a run, with its data and rewards."""
    from datasets import Dataset

    from baselines.models import processes
    from baselines.rollouts import FactTrainer, Rollouts

    args = arguments(run, config)
    generations = config.rollouts.generations
    facts: Rows[Any]
    judge: Judge
    if config.prompt == "free":
        facts, judge = open_facts(run, config)
    else:
        facts = filtered(run, config, run.facts())
        judge = OptionJudge(CachedFacts(facts))
    check_feasible(run, config, facts)
    limit = config.rollouts.max_prompt_tokens
    columns, too_long = build_rows(facts, run.languages, run.tokenizer, limit, run.prompt)
    run.note_data("rollouts", {"facts": len(facts) - too_long, "too_long": too_long})
    if too_long:
        share = 100 * too_long / len(facts)
        run.notes.append(f"{too_long} facts ({share:.1f} %) left out: a prompt of more than {limit} tokens")
    samples: Callable[[list[Judged], int], None] | None = None
    if processes().is_main_process:
        samples = Samples(
            run.folder / "samples.jsonl", CachedFacts(facts), config.sample_steps, config.output.report_to
        )
        samples.forget_from(resume_step(run.folder))
    return FactTrainer(
        model=run.network,
        reward_funcs=FactReward(judge, run.languages, generations, config.reward, samples),
        args=args,
        train_dataset=Dataset.from_dict(columns),
        processing_class=run.tokenizer,
        rollouts=Rollouts(
            languages=len(run.languages),
            repetition_penalty=config.rollouts.repetition_penalty,
            no_repeat_ngram=config.rollouts.no_repeat_ngram,
            penalise=config.rollouts.penalise,
            bucketing=config.rollouts.bucketing,
            patience=config.patience,
            parity=config.rollouts.parity,
        ),
        hours=spent_hours(run.folder),
    )


def spent_hours(folder: Path) -> float:
    """Device hours of a run's earlier sessions, up to its last checkpoint."""
    path = folder / "run.json"
    return float(read_json(path).get("cost", {}).get("device_hours", 0.0)) if path.is_file() else 0.0


def train(config: GrpoConfig, overwrite: bool = False) -> Path:
    """Trains and returns the folder of the final adapter or model.

    Raises `ConfigError` for a batch that does not hold whole facts and for rollouts that cannot earn the reward,
    `DataError` when rewards have no variance.
    """
    if config.rollouts.engine == "vllm":
        from baselines.cli import need

        need("vllm", "vllm")
    run = Run.start(config, overwrite)
    return fit(run, make_trainer(run, config))


def main(config: ConfigFile, settings: Settings = None, overwrite: Overwrite = False) -> None:
    """Multilingual GRPO with a pooled reward."""
    train(load_config(GrpoConfig, config, settings), overwrite)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
