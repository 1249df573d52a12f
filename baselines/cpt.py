"""Continual pretraining on parallel text (paper, section 3 and Table 2).

    python -m baselines.corpus --input ted2025.parquet --tokenizer allenai/OLMo-2-1124-7B --output corpus/olmo2
    accelerate launch -m baselines.cpt --config baselines/configs/olmo2_7b_cpt.yaml

The mean negative log-likelihood of all tokens of a batch of chunks, by TRL's SFTTrainer, which never holds the logits
of all tokens at once. The corpus must have been cut by the tokenizer of the model.

Logged with the loss: TRL's entropy and token accuracy; after each evaluated checkpoint `eval_corpus_loss` on the
corpus's validation part, and the metrics on PolyFact's validation split that all trainers log.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

from baselines.corpus import tokenizer_digest
from baselines.training.config import ConfigFile, Overwrite, Settings, TrainingConfig, load_config
from baselines.training.loop import fit
from baselines.training.run import Run
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import digest, read_json
from polyfact_dataset.config.base import Section


class CorpusConfig(Section):
    """A folder written by `baselines.corpus`."""

    folder: Path
    # Chunks of the validation part to compute the loss on; None for all.
    validation_chunks: int | None = None


class CptConfig(TrainingConfig):
    """A batch counts chunks. `dataset` is for evaluation alone."""

    method: ClassVar[str] = "cpt"
    description: ClassVar[str] = "continual pretraining"
    unit: ClassVar[str] = "chunks"

    corpus: CorpusConfig


def load_chunks(path: Path, limit: int | None = None) -> Any:
    """The chunks of one part of a corpus, memory-mapped: a dataset of `input_ids`."""
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    rows = Dataset.from_parquet(str(path), columns=["input_ids"])
    return rows if limit is None else rows.select(range(min(limit, len(rows))))


def check_corpus(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """The report of a corpus. Raises `ConfigError` when another tokenizer cut it, `DataError` when a file changed."""
    report: dict[str, Any] = read_json(folder / "report.json")
    if report["tokenizer"]["sha256"] != tokenizer_digest(tokenizer):
        raise ConfigError(
            f"corpus {folder} was cut by the tokenizer of {report['tokenizer']['name']}, not by this model's; "
            "rebuild it with python -m baselines.corpus --tokenizer"
        )
    for split, expected in report["files"].items():
        if digest(folder / f"{split}.parquet") != expected:
            raise DataError(f"{folder / split}.parquet differs from its digest in report.json; rebuild the corpus")
    return report


def make_trainer(run: Run, config: CptConfig) -> Any:
    """The trainer over the chunks; the validation loss is one more evaluator of the run."""
    from baselines.training.likelihood import make_likelihood_trainer, validation_loss

    folder = config.corpus.folder
    report = check_corpus(folder, run.tokenizer)
    run.note_data("corpus", {"files": report["files"], "splits": report["splits"]})
    trainer = make_likelihood_trainer(
        run, load_chunks(folder / "train.parquet"), per_device_eval_batch_size=config.optimisation.batch
    )
    if report["splits"]["validation"]["chunks"]:
        validation = load_chunks(folder / "validation.parquet", config.corpus.validation_chunks)
        run.evaluators.append(lambda step: {"corpus_loss": validation_loss(trainer, validation)})
    return trainer


def train(config: CptConfig, overwrite: bool = False) -> Path:
    """Trains and returns the folder of the final model or adapter."""
    run = Run.start(config, overwrite)
    return fit(run, make_trainer(run, config))


def main(config: ConfigFile, settings: Settings = None, overwrite: Overwrite = False) -> None:
    """Continual pretraining on a corpus of parallel text."""
    train(load_config(CptConfig, config, settings), overwrite)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
