"""Every method on one pretrained model, from one warm start, each with the same budget of tokens and of seconds.

    python -m baselines.lab --model smollm2 --dataset build/release --output lab-smollm2

Base -> Warm (answers in the prompt of GRPO) -> CPT, SFT (lambda 0.5 and 0), DCO, CM-Align, RFT, GRPO. All train the
same kind of adapter with the same schedule; a method stops at the budget of tokens or of seconds, whichever is first.
Models are evaluated on facts of the test split, in the languages of training and in those held out, and everything that
is done is kept: the same command continues an interrupted comparison.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines.cm_align import CmAlignConfig
from baselines.cm_align import train as train_cm_align
from baselines.cpt import CorpusConfig, CptConfig
from baselines.cpt import train as train_cpt
from baselines.dco import DcoConfig
from baselines.dco import train as train_dco
from baselines.evaluate import common, mcq
from baselines.grpo import GrpoConfig, RolloutConfig
from baselines.grpo import train as train_grpo
from baselines.lab.facts_taught import CONFIG, World
from baselines.lab.methods import make_corpus
from baselines.lab.report import generate
from baselines.models import load_model
from baselines.rft import RftConfig
from baselines.rft import train as train_rft
from baselines.sft import SftConfig
from baselines.sft import train as train_sft
from baselines.training.config import (
    DatasetConfig,
    EvaluationConfig,
    LoraConfig,
    ModelConfig,
    OptimisationConfig,
    OutputConfig,
)
from baselines.training.merge import merge
from baselines.training.sampling import SamplingConfig
from baselines.warm_start import WarmStartConfig
from baselines.warm_start import train as train_warm_start
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import read_json, remove

WARM = "Warm"
METHODS = ("GRPO", "SFT", "CPT", "DCO", "RFT", "CM-Align", "SFT, lambda 0")


@dataclass(frozen=True)
class Budget:
    """What each method may spend, and how it trains. Seconds are of the processor where there is no accelerator."""

    tokens: int = 120_000
    seconds: float = 1500.0
    # Facts of which answers are sampled by RFT and CM-Align, and samples of each question.
    sampled_facts: int = 60
    samples: int = 4
    rate: float = 3e-4
    rank: int = 16
    # Rows of a forward pass: answers, chunks, pairs; facts for SFT and DCO.
    rows: int = 8
    facts: int = 2
    generations: int = 8
    new_tokens: int = 16


def folder_of(name: str) -> str:
    """`SFT, lambda 0` -> `sft-lambda-0`."""
    return name.lower().replace(", ", "-").replace(" ", "-")


def _shared(world: World, model: Path, output: Path, budget: Budget, batch: int, **changes: Any) -> dict[str, Any]:
    """The sections that all methods share. `changes` are of the data."""
    data = {"max_facts": len(world.taught), "languages": world.languages, "held_out": world.held_out, **changes}
    return {
        "model": ModelConfig(name=str(model), dtype="float32"),
        "dataset": DatasetConfig(source=world.source, config=CONFIG, **data),
        "lora": LoraConfig(r=budget.rank, alpha=2 * budget.rank, dropout=0.0),
        "optimisation": OptimisationConfig(
            learning_rate=budget.rate,
            # The number of steps is not known before, and a warm-up would begin with steps of rate 0.
            schedule="constant",
            optimiser="adamw_torch",
            batch=batch,
            # As many as the budget allows.
            epochs=1000,
            max_tokens=budget.tokens,
            max_seconds=budget.seconds,
            precision="fp32",
            gradient_checkpointing=False,
        ),
        "evaluation": EvaluationConfig(steps=None),
        "output": OutputConfig(folder=output, checkpoint_steps=5, log_steps=1),
        "seed": world.seed,
    }


def _sampling(budget: Budget) -> SamplingConfig:
    return SamplingConfig(
        samples=budget.samples, temperature=1.0, top_p=1.0, max_new_tokens=budget.new_tokens, prompt="choose"
    )


def train(name: str, world: World, start: Path, base: Path, output: Path, budget: Budget) -> Path:
    """Trains one method from `start`, or returns its merged model if it is there. `base` also encodes for CM-Align."""
    merged = output / "merged"
    if (merged / "config.json").is_file():
        return merged
    run = output / "run"
    record = run / "run.json"
    if not record.is_file() or read_json(record)["status"] != "finished":
        with _into(output / "log.txt"):
            _trainer(name, world, start, base, run, budget)()
    remove(merged)
    return merge(run / "final", merged)


def _trainer(name: str, world: World, start: Path, base: Path, run: Path, budget: Budget) -> Callable[[], Path]:
    """The training of a method, ready to start."""
    if name == WARM:
        return lambda: train_warm_start(WarmStartConfig(**_shared(world, start, run, budget, budget.rows)))
    if name == "CPT":
        corpus = run.parent.parent / "corpus"
        config = CptConfig(corpus=CorpusConfig(folder=corpus), **_shared(world, start, run, budget, budget.rows // 2))

        def cpt() -> Path:
            make_corpus(world, start, corpus)
            return train_cpt(config)

        return cpt
    if name.startswith("SFT"):
        weight = 0.0 if name.endswith("0") else 0.5
        shared = _shared(world, start, run, budget, budget.facts)
        return lambda: train_sft(SftConfig(consistency=weight, **shared))
    if name == "DCO":
        return lambda: train_dco(DcoConfig(**_shared(world, start, run, budget, budget.facts)))
    if name == "GRPO":
        return lambda: train_grpo(grpo_config(world, start, run, budget))
    sampled = min(budget.sampled_facts, len(world.taught))
    shared = _shared(world, start, run, budget, budget.rows, max_facts=sampled)
    if name == "RFT":
        return lambda: train_rft(RftConfig(sampling=_sampling(budget), **shared))
    return lambda: train_cm_align(CmAlignConfig(encoder=str(base), sampling=_sampling(budget), **shared))


def grpo_config(world: World, start: Path, run: Path, budget: Budget) -> GrpoConfig:
    """Penalties off, temperature 1, one fact a step."""
    rollouts = RolloutConfig(
        generations=budget.generations,
        repetition_penalty=1.0,
        no_repeat_ngram=None,
        temperature=1.0,
        top_p=1.0,
        max_prompt_tokens=512,
        max_new_tokens=budget.new_tokens,
        min_feasible=0.0,
    )
    batch = len(world.languages) * budget.generations
    return GrpoConfig(rollouts=rollouts, sample_steps=1, **_shared(world, start, run, budget, batch))


@contextlib.contextmanager
def _into(path: Path) -> Iterator[None]:
    """Sends what trainers print into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield


# ---------------------------------------------------------------- evaluation


@dataclass(frozen=True)
class Measured:
    """What each model is evaluated on. Generation is slow, so that it may use fewer facts than scoring."""

    generated_facts: int
    # Languages whose questions are answered by generation too.
    languages: tuple[str, ...]
    new_tokens: int


def evaluate(world: World, model: Path, folder: Path, label: str, measured: Measured) -> dict[str, Path]:
    """Kind -> result file: options scored in the prompt `paper`; answers to `open` questions and to prompt `choose`."""
    paths = {kind: folder / f"{kind}.json" for kind in ("paper", "open", "choose")}
    missing = [kind for kind, path in paths.items() if not path.is_file()]
    if not missing:
        return paths
    loaded = load_model(str(model), dtype="float32")
    asked = world.fresh.take(range(min(measured.generated_facts, len(world.fresh))))
    for kind in missing:
        run = common.Run(paths[kind], loaded, label, world.seed, quiet=True)
        if kind == "paper":
            mcq.evaluate(run, world.fresh, "paper")
        else:
            generate(run, world, asked, kind == "choose", measured.new_tokens, measured.languages)
    return paths


def compare(
    world: World,
    base: Path,
    output: Path,
    budget: Budget,
    measured: Measured,
    tell: Callable[[str], None],
    done: Callable[[dict[str, dict[str, Path]], list[str]], None],
) -> None:
    """Trains and evaluates every method.

    `done` gets the results so far (model -> kind -> file) after each method, and notes on those that could not train:
    a model that never answers correctly gives RFT nothing to learn.
    """
    notes: list[str] = []
    results: dict[str, dict[str, Path]] = {}
    models: dict[str, Path] = {"Base": base}
    for name in ("Base", WARM, *METHODS):
        if name != "Base":
            tell(f"seed {world.seed}: {name}: training")
            start = models["Base"] if name == WARM else models[WARM]
            try:
                models[name] = train(name, world, start, base, output / folder_of(name), budget)
            except DataError as error:
                notes.append(f"{name} was not trained: {error}")
                tell(notes[-1])
                continue
        tell(f"seed {world.seed}: {name}: evaluating")
        results[name] = evaluate(world, models[name], output / "results" / folder_of(name), name, measured)
        done(results, notes)
