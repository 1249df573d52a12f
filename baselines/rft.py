"""RFT (rejection fine-tuning): sample from the model, keep the correct answers, fine-tune on them.

    accelerate launch -m baselines.rft --config baselines/configs/olmo2_7b_rft.yaml

Source: the baseline between SFT and RL of the RL study (ICLR 2026, hdrG6SaTcA). Answers are sampled once, before the
first step, from the model that the run starts from, into `samples.parquet`. A correct one equals the correct option
after folding case, width and punctuation (as exact matches of the evaluators); of equal ones one is kept, in the
wording of the option. The loss is the mean negative log-likelihood of the answers' tokens and of the one that ends
them; prompts are not learned.

`run.json` says how many questions were answered correctly at all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from baselines.data import Fact, Rows
from baselines.prompts import item_prompt
from baselines.training.config import ConfigFile, Overwrite, Settings, TrainingConfig, load_config
from baselines.training.run import Run
from baselines.training.sampling import SamplingConfig, sample_answers
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.text.answers import same_answer


class RftConfig(TrainingConfig):
    """A batch counts answers."""

    method: ClassVar[str] = "rft"

    sampling: SamplingConfig = SamplingConfig()


def correct_answers(facts: Rows[Fact], samples: pa.Table) -> Iterator[tuple[Fact, str]]:
    """(fact, language) of the questions that a sample answers with the correct option."""
    said: dict[tuple[str, str], list[str]] = {}
    for row in samples.select(["fact_id", "language", "text"]).to_pylist():
        said.setdefault((row["fact_id"], row["language"]), []).append(row["text"])
    for fact in facts:
        for code, item in fact.items.items():
            gold = item.options[item.answer]
            if any(same_answer(text, gold) for text in said.get((fact.fact_id, code), ())):
                yield fact, code


def examples(facts: Rows[Fact], samples: pa.Table, tokenizer: Any, settings: SamplingConfig) -> dict[str, list[Any]]:
    """`input_ids` and `labels` (-100 on the prompt) of the correct answers."""
    found: dict[str, list[Any]] = {"input_ids": [], "labels": []}
    for fact, code in correct_answers(facts, samples):
        item = fact.items[code]
        prompt = item_prompt(settings.prompt, code, item)
        start = tokenizer(prompt.text)["input_ids"]
        ids = tokenizer(prompt.text + prompt.separator + item.options[item.answer])["input_ids"]
        # Where the answer merges with the prompt's last token, that token is learned too.
        same = next((n for n, (a, b) in enumerate(zip(start, ids)) if a != b), min(len(start), len(ids)))
        ids = [*ids, tokenizer.eos_token_id]
        found["input_ids"].append(ids)
        found["labels"].append([-100] * same + ids[same:])
    return found


def train(config: RftConfig, overwrite: bool = False) -> Path:
    """Samples, trains, and returns the folder of the final adapter or model."""
    from datasets import Dataset

    from baselines.training.likelihood import make_likelihood_trainer

    run = Run.start(config, overwrite)
    facts = run.facts()
    samples = sample_answers(run, facts, config.sampling)
    found = examples(facts, samples, run.tokenizer, config.sampling)
    questions = len(facts) * len(run.languages)
    run.note_data("samples", {"questions": questions, "answered": len(found["input_ids"])})
    if not found["input_ids"]:
        raise DataError(
            f"{run.folder}: none of {questions} questions was answered correctly; there is nothing to learn"
        )
    return run.train(make_likelihood_trainer(run, Dataset.from_dict(found)))


def main(config: ConfigFile, settings: Settings = None, overwrite: Overwrite = False) -> None:
    """Rejection fine-tuning."""
    train(load_config(RftConfig, config, settings), overwrite)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
