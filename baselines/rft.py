"""RFT (rejection fine-tuning): sample from the model, keep the correct answers, fine-tune on them.

    accelerate launch -m baselines.rft --config baselines/configs/olmo2_7b_rft.yaml

Source: the baseline between SFT and RL of the RL study (ICLR 2026, hdrG6SaTcA). Answers are sampled once, before the
first step, from the model that the run starts from, into `samples.parquet`. A correct one equals the correct option
after folding case, width and punctuation (as exact matches of the evaluators); of equal ones one is kept, in the
wording of the option. The loss is the mean negative log-likelihood of the answers' tokens and of the one that ends
them; prompts are not learned.

`run.json` has the number of questions with a correct answer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from baselines.data import Fact, Rows
from baselines.prompts import Prompt, item_prompt
from baselines.training.answer_tokens import labelled
from baselines.training.config import ConfigFile, Overwrite, Settings, TrainingConfig, load_config
from baselines.training.loop import fit
from baselines.training.run import Run
from baselines.training.sampling import SamplingConfig, sample_answers
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.text.answers import same_answer


class RftConfig(TrainingConfig):
    """A batch counts answers."""

    method: ClassVar[str] = "rft"
    description: ClassVar[str] = "rejection fine-tuning"
    unit: ClassVar[str] = "answers"

    sampling: SamplingConfig = SamplingConfig()


def correct_answers(facts: Rows[Fact], samples: pa.Table) -> Iterator[tuple[Fact, str]]:
    """(fact, language) of the questions that a sample answers with the correct option."""
    answers: dict[tuple[str, str], list[str]] = {}
    for row in samples.select(["fact_id", "language", "text"]).to_pylist():
        answers.setdefault((row["fact_id"], row["language"]), []).append(row["text"])
    for fact in facts:
        for code, item in fact.items.items():
            gold = item.options[item.answer]
            if any(same_answer(text, gold) for text in answers.get((fact.fact_id, code), ())):
                yield fact, code


def examples(
    facts: Rows[Fact],
    samples: pa.Table,
    tokenizer: Any,
    settings: SamplingConfig,
    wrap: Callable[[Prompt], Prompt] = lambda prompt: prompt,
) -> dict[str, list[Any]]:
    """`input_ids` and `labels` (-100 on the prompt) of the correct answers. `wrap` adds a chat template."""
    columns: dict[str, list[Any]] = {"input_ids": [], "labels": []}
    for fact, code in correct_answers(facts, samples):
        item = fact.items[code]
        prompt = wrap(item_prompt(settings.prompt, code, item))
        ids, labels = labelled(tokenizer, prompt, item.options[item.answer])
        columns["input_ids"].append(ids)
        columns["labels"].append(labels)
    return columns


def train(config: RftConfig, overwrite: bool = False) -> Path:
    """Samples, trains, and returns the folder of the final adapter or model."""
    from datasets import Dataset

    from baselines.training.likelihood import make_likelihood_trainer

    run = Run.start(config, overwrite)
    facts = run.facts()
    samples = sample_answers(run, facts, config.sampling)
    columns = examples(facts, samples, run.tokenizer, config.sampling, run.prompt)
    questions = len(facts) * len(run.languages)
    run.note_data("samples", {"questions": questions, "answered": len(columns["input_ids"])})
    if not columns["input_ids"]:
        raise DataError(
            f"{run.folder}: none of {questions} questions was answered correctly; there is nothing to learn"
        )
    return fit(run, make_likelihood_trainer(run, Dataset.from_dict(columns)))


def main(config: ConfigFile, settings: Settings = None, overwrite: Overwrite = False) -> None:
    """Rejection fine-tuning."""
    train(load_config(RftConfig, config, settings), overwrite)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
