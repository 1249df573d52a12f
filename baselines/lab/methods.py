"""The laboratory's runs: the six variants of the paper, each by the trainer that trains a 7B model."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from baselines.corpus import Settings, build
from baselines.cpt import CorpusConfig, CptConfig
from baselines.cpt import train as train_cpt
from baselines.grpo import GrpoConfig, RolloutConfig
from baselines.grpo import train as train_grpo
from baselines.lab.facts_taught import CONFIG, World
from baselines.sft import SftConfig
from baselines.sft import train as train_sft
from baselines.training.config import (
    DatasetConfig,
    EvaluationConfig,
    ModelConfig,
    OptimisationConfig,
    OutputConfig,
    TrainingConfig,
)
from polyfact_dataset.common.files import read_json

# The paper's six (section 5.1): name -> method, and what it starts from.
VARIANTS = {
    "Base": None,
    "CPT": ("cpt", "Base"),
    "SFT": ("sft", "Base"),
    "CPT + SFT": ("sft", "CPT"),
    "GRPO": ("grpo", "Base"),
    "CPT + GRPO": ("grpo", "CPT"),
}


@dataclass(frozen=True)
class Steps:
    """How long the methods train. All weights are trained: an adapter on a tiny model learns little."""

    cpt: int = 40
    sft: int = 100
    grpo: int = 100
    # Facts in a step of SFT and of GRPO, and chunks in one of CPT.
    sft_facts: int = 16
    grpo_facts: int = 4
    cpt_chunks: int = 4
    generations: int = 8
    new_tokens: int = 10
    cpt_rate: float = 5e-4
    sft_rate: float = 1e-3
    grpo_rate: float = 5e-4


def folder_of(name: str) -> str:
    """`CPT + SFT` -> `cpt-sft`."""
    return name.lower().replace(" + ", "-")


def _shared(world: World, model: Path, output: Path, rate: float, steps: int, batch: int) -> dict[str, Any]:
    return {
        "model": ModelConfig(name=str(model), dtype="float32"),
        "dataset": DatasetConfig(
            source=world.source,
            config=CONFIG,
            max_facts=len(world.taught),
            languages=world.languages,
            held_out=world.held_out,
        ),
        "lora": None,
        "optimisation": OptimisationConfig(
            learning_rate=rate,
            warmup=0.05,
            optimiser="adamw_torch",
            batch=batch,
            # As many as the steps need.
            epochs=10_000,
            max_steps=steps,
            precision="fp32",
            gradient_checkpointing=False,
        ),
        "evaluation": EvaluationConfig(steps=None),
        "output": OutputConfig(folder=output, checkpoint_steps=steps, log_steps=max(1, steps // 20)),
        "seed": world.seed,
    }


def config_of(method: str, world: World, model: Path, output: Path, steps: Steps) -> TrainingConfig:
    """The configuration of one run."""
    if method == "cpt":
        shared = _shared(world, model, output, steps.cpt_rate, steps.cpt, steps.cpt_chunks)
        return CptConfig(corpus=CorpusConfig(folder=output.parent / "corpus"), **shared)
    if method == "sft":
        return SftConfig(**_shared(world, model, output, steps.sft_rate, steps.sft, steps.sft_facts))
    batch = steps.grpo_facts * len(world.languages) * steps.generations
    rollouts = RolloutConfig(
        generations=steps.generations,
        # The paper's penalties would keep a tiny model from the short tokens that its names consist of.
        repetition_penalty=1.0,
        no_repeat_ngram=None,
        temperature=1.0,
        top_p=1.0,
        max_prompt_tokens=1024,
        max_new_tokens=steps.new_tokens,
    )
    return GrpoConfig(rollouts=rollouts, **_shared(world, model, output, steps.grpo_rate, steps.grpo, batch))


def make_corpus(world: World, model: Path, folder: Path) -> None:
    """The corpus of continual pretraining, in all languages of the world."""
    from transformers import AutoTokenizer

    if (folder / "report.json").is_file():
        return
    text = world.write_parallel_text(folder.parent / "parallel.jsonl")
    settings = Settings((*world.languages, *world.held_out), 128, 256, 2, 2, 0.05, world.seed)
    build([text], [], AutoTokenizer.from_pretrained(model), folder, settings)


def train(method: str, world: World, model: Path, output: Path, steps: Steps) -> Path:
    """Trains one variant, or finds it trained; returns the folder of the model."""
    record = output / "run.json"
    if record.is_file() and read_json(record)["status"] == "finished":
        return output / "final"
    config = config_of(method, world, model, output, steps)
    with _into(output.parent / f"{output.name}.log"):
        if isinstance(config, CptConfig):
            make_corpus(world, model, config.corpus.folder)
            return train_cpt(config)
        return train_sft(config) if isinstance(config, SftConfig) else train_grpo(config)  # type: ignore[arg-type]


@contextlib.contextmanager
def _into(path: Path) -> Iterator[None]:
    """Sends what trainers print into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield


def trend(run: Path, name: str) -> tuple[float, float]:
    """The mean of a logged figure over the first and the last quarter of a run's lines."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    values = [line[name] for line in lines if name in line]
    quarter = max(1, len(values) // 4)
    return float(np.mean(values[:quarter])), float(np.mean(values[-quarter:]))
