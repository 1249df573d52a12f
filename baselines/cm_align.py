"""CM-Align: preferences between a model's own answers, by their likeness to its most consistent English answer; DPO.

    accelerate launch -m baselines.cm_align --config baselines/configs/olmo2_7b_cm_align.yaml

Of the answers sampled for a fact, the pivot is the English one of highest mean similarity to the other English ones.
In each other language the answer most similar to the pivot is chosen, the least similar one rejected; a question whose
two are the same answer is left out. Similarity is the cosine of a sentence encoder's mean-pooled embeddings.
No gold is used. `pairs.parquet` holds the pairs, `samples.parquet` the samples; both are made once.

The loss is TRL's DPO with `beta`, plus `gamma` times the negative log-likelihood of the chosen answers; the reference
is the model that the run starts from. Logged: TRL's rewards, margins and accuracies.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from baselines.data import Fact, Rows
from baselines.models import loading, processes
from baselines.prompts import Prompt, item_prompt
from baselines.training.arguments import training_arguments
from baselines.training.config import ConfigFile, Overwrite, Settings, TrainingConfig, load_config
from baselines.training.loop import fit
from baselines.training.run import Run
from baselines.training.sampling import SamplingConfig, sample_answers
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import digest_json
from polyfact_dataset.common.text.answers import fold

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
SCHEMA = pa.schema([(name, pa.string()) for name in ("fact_id", "language", "pivot", "chosen", "rejected")])


class CmAlignConfig(TrainingConfig):
    """A batch counts pairs."""

    method: ClassVar[str] = "cm_align"
    description: ClassVar[str] = "CM-Align (DPO)"
    unit: ClassVar[str] = "pairs"

    # A sentence encoder that Transformers loads: a folder, or an id on the Hub.
    encoder: str
    encoder_revision: str | None = None
    pivot: str = "en"
    sampling: SamplingConfig = SamplingConfig()
    beta: float = Field(default=0.1, gt=0)
    gamma: float = Field(default=0.0, ge=0)

    @field_validator("sampling")
    @classmethod
    def _several(cls, sampling: SamplingConfig) -> SamplingConfig:
        if sampling.samples < 2:
            raise ValueError("the answers of a question are compared: samples must be at least 2")
        return sampling

    @model_validator(mode="after")
    def _pivot(self) -> CmAlignConfig:
        if self.dataset.languages is not None and self.pivot not in self.dataset.languages:
            raise ValueError(f"pivot {self.pivot} must be in dataset.languages")
        return self


def pivot_of(vectors: NDArray[np.float32]) -> int:
    """(K, D) unit vectors -> the one of highest mean similarity to the others; the first of equals."""
    if len(vectors) == 1:
        return 0
    similarity = vectors @ vectors.T
    return int(np.argmax((similarity.sum(1) - similarity.diagonal()) / (len(vectors) - 1)))


def pairs_of(samples: pa.Table, encode: Encode, pivot: str = "en") -> pa.Table:
    """Chosen and rejected answers by fact and language; empty answers are neither. `encode` gives unit vectors."""
    sampled: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in samples.to_pylist():
        if fold(row["text"]):
            sampled[row["fact_id"]][row["language"]].append(row["text"])
    texts = sorted({text for by_language in sampled.values() for answers in by_language.values() for text in answers})
    row_of = {text: number for number, text in enumerate(texts)}
    vectors = encode(texts) if texts else np.empty((0, 1), np.float32)
    rows = []
    for fact_id, by_language in sampled.items():
        if pivot not in by_language:
            continue
        pivots = by_language[pivot]
        centre = pivots[pivot_of(vectors[[row_of[text] for text in pivots]])]
        for code, answers in by_language.items():
            likeness = vectors[[row_of[text] for text in answers]] @ vectors[row_of[centre]]
            chosen, rejected = answers[int(likeness.argmax())], answers[int(likeness.argmin())]
            if code != pivot and fold(chosen) != fold(rejected):
                rows.append((fact_id, code, centre, chosen, rejected))
    columns = zip(*rows) if rows else [[] for _ in SCHEMA]
    return pa.table([pa.array(list(column), pa.string()) for column in columns], schema=SCHEMA)


def load_encoder(name: str, revision: str | None = None, batch: int = 256) -> Encode:
    """A sentence encoder: mean over the tokens of the last hidden states, to unit length."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    with loading(name):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, padding_side="right")
        network = AutoModel.from_pretrained(name, revision=revision).to(processes().device).eval()
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(texts), batch):
            inputs = tokenizer(
                list(texts[start : start + batch]), padding=True, truncation=True, max_length=128, return_tensors="pt"
            ).to(network.device)
            with torch.inference_mode():
                hidden = network(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"][..., None]
            mean = (hidden * mask).sum(1) / mask.sum(1)
            parts.append(torch.nn.functional.normalize(mean, dim=-1).cpu().numpy())
        return np.concatenate(parts)

    return encode


def preferences(
    facts: Rows[Fact],
    pairs: pa.Table,
    settings: SamplingConfig,
    wrap: Callable[[Prompt], Prompt] = lambda prompt: prompt,
) -> dict[str, list[str]]:
    """`prompt`, `chosen` and `rejected` texts of the pairs, for DPO. `wrap` puts a prompt into a chat template."""
    columns: dict[str, list[str]] = {"prompt": [], "chosen": [], "rejected": []}
    by_fact = defaultdict(list)
    for row in pairs.to_pylist():
        by_fact[row["fact_id"]].append(row)
    for fact in facts:
        for row in by_fact[fact.fact_id]:
            asked = wrap(item_prompt(settings.prompt, row["language"], fact.items[row["language"]]))
            columns["prompt"].append(asked.text)
            columns["chosen"].append(asked.separator + row["chosen"])
            columns["rejected"].append(asked.separator + row["rejected"])
    return columns


def make_trainer(run: Run, config: CmAlignConfig, columns: dict[str, list[str]]) -> Any:
    """TRL's DPOTrainer over the pairs."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    mixed: dict[str, Any] = (
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, config.gamma]} if config.gamma else {}
    )
    return DPOTrainer(
        model=run.network,
        args=training_arguments(
            run,
            DPOConfig,
            beta=config.beta,
            max_length=None,
            # Of the reference model, which TRL loads itself where all weights are trained.
            model_init_kwargs=None if config.lora else {"revision": config.model.revision},
            **mixed,
        ),
        train_dataset=Dataset.from_dict(columns),
        processing_class=run.tokenizer,
    )


def train(config: CmAlignConfig, overwrite: bool = False) -> Path:
    """Samples, pairs, trains, and returns the folder of the final adapter or model."""
    run = Run.start(config, overwrite)
    if config.pivot not in run.languages:
        raise ConfigError(f"pivot {config.pivot} is not among the languages to train on: {', '.join(run.languages)}")
    facts = run.facts()
    samples = sample_answers(run, facts, config.sampling)
    encoder = (config.encoder, config.encoder_revision)

    def make() -> pa.Table | None:
        return pairs_of(samples, load_encoder(*encoder), config.pivot) if processes().is_main_process else None

    pairs = run.made_once(
        "pairs.parquet", [encoder, config.pivot, samples.schema.metadata[b"made_from"].decode()], make
    )
    run.note_data("pairs", {"pairs": len(pairs), "rows": digest_json(pairs.to_pylist())})
    if not len(pairs):
        raise DataError(f"{run.folder}: no question has two different answers; raise sampling.temperature")
    return fit(run, make_trainer(run, config, preferences(facts, pairs, config.sampling, run.prompt)))


def main(config: ConfigFile, settings: Settings = None, overwrite: Overwrite = False) -> None:
    """DPO on a model's own answers, the English ones as the pivot."""
    train(load_config(CmAlignConfig, config, settings), overwrite)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
