"""Warm start: SFT on the text of the correct option, in the prompt that GRPO uses.

    accelerate launch -m baselines.warm_start --config baselines/configs/olmo2_7b_warm_start.yaml

A base model answers the prompt `choose` with a letter, a sentence or a list, and earns no reward. The loss is the mean
negative log-likelihood of the tokens of the answer in the target language and of the token that ends it; prompts are
not learned. GRPO, RFT and the others start from its final model (`model.name`).

Not in the paper. Logged: TRL's entropy and token accuracy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from baselines.data import Fact
from baselines.prompts import Prompt, free_prompt, item_prompt
from baselines.training.answer_tokens import labelled
from baselines.training.config import ConfigFile, Overwrite, Settings, TrainingConfig, load_config
from baselines.training.loop import fit
from baselines.training.run import Run


class WarmStartConfig(TrainingConfig):
    """A batch counts answers: one fact in one language."""

    method: ClassVar[str] = "warm_start"
    description: ClassVar[str] = "supervised fine-tuning on answers"
    unit: ClassVar[str] = "answers"

    prompt: Literal["choose", "free"] = "choose"


def examples(
    facts: Iterable[Fact],
    languages: Sequence[str],
    tokenizer: Any,
    style: Literal["choose", "free"] = "choose",
    wrap: Callable[[Prompt], Prompt] = lambda prompt: prompt,
) -> dict[str, list[Any]]:
    """`input_ids` and `labels` (-100 on the prompt) of the correct answers, facts outermost."""
    columns: dict[str, list[Any]] = {"input_ids": [], "labels": []}
    for fact in facts:
        for code in languages:
            item = fact.items[code]
            prompt = free_prompt(code, item.question) if style == "free" else item_prompt("choose", code, item)
            ids, labels = labelled(tokenizer, wrap(prompt), item.options[item.answer])
            columns["input_ids"].append(ids)
            columns["labels"].append(labels)
    return columns


def make_trainer(run: Run, config: WarmStartConfig) -> Any:
    """TRL's SFTTrainer over the answers."""
    from datasets import Dataset

    from baselines.training.likelihood import make_likelihood_trainer

    columns = examples(run.facts(), run.languages, run.tokenizer, config.prompt, run.prompt)
    return make_likelihood_trainer(run, Dataset.from_dict(columns))


def train(config: WarmStartConfig, overwrite: bool = False) -> Path:
    """Trains and returns the folder of the final adapter or model."""
    run = Run.start(config, overwrite)
    return fit(run, make_trainer(run, config))


def main(config: ConfigFile, settings: Settings = None, overwrite: Overwrite = False) -> None:
    """Supervised fine-tuning on answers, as a start for GRPO."""
    train(load_config(WarmStartConfig, config, settings), overwrite)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
