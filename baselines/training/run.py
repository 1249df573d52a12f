"""One training run: its model and data, its checkpoints, its log and `run.json`. Every trainer goes through it.

    run = Run.start(config)                      # folder, model with its adapter, tokenizer, run.json
    facts = run.facts("train")
    trainer = Trainer(model=run.network, args=run.arguments(), processing_class=run.tokenizer, ...)
    run.train(trainer)                           # resumes, evaluates, writes `final`

The folder of a run holds `run.json` (configuration, digests of data and model, versions, cost, status), `log.jsonl`
(a line per logged step), `checkpoint-N` (with the file `complete` when it is whole), `evaluations`, and `final`. The
same command goes on with a killed run from its last whole checkpoint, bit by bit as if it had never stopped.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from baselines.cli import need
from baselines.data import Fact, Rows, load
from baselines.evaluate import common, results
from baselines.models import identify, loading, processes
from baselines.training.config import TrainingConfig
from baselines.training.guard import LOCK, disk_errors, hold, release
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import digest_json, read_json, read_parquet, remove, write_json, write_parquet

# The record of a run beside its model.
TRAINING = "training.json"
Evaluator = Callable[[int], dict[str, float]]


@contextmanager
def same_randomness() -> Iterator[None]:
    """Whatever is drawn inside leaves Python's, NumPy's and PyTorch's random numbers as they were."""
    import torch

    state, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(state)
    np.random.set_state(arrays)


class Run:
    """A training run; made by `start`. `network` is the model, with its adapter unless all weights are trained."""

    def __init__(self, config: TrainingConfig, network: Any, tokenizer: Any, identity: dict[str, Any]) -> None:
        self.config = config
        self.network = network
        self.tokenizer = tokenizer
        self.identity = identity
        self.folder = config.output.folder
        # Called after each due checkpoint with its step, in every process; what they return is logged.
        self.evaluators: list[Evaluator] = []
        self._languages: tuple[str, ...] | None = None
        self._data: dict[str, Any] = {}

    @classmethod
    def start(cls, config: TrainingConfig, overwrite: bool = False) -> Run:
        """Loads the model, adds the adapter, drawn by the seed.

        Raises `ConfigError` for a finished run in the folder (unless `overwrite`), for one that is still at work, for
        a model that is an adapter, and for integrations that are not installed.
        """
        need("train", "torch", "transformers", "trl", "peft", "accelerate")
        from transformers import set_seed
        from transformers.integrations import get_available_reporting_integrations

        installed = get_available_reporting_integrations()
        missing = [name for name in config.output.report_to if name not in installed]
        if missing:
            raise ConfigError(
                f"output.report_to: {', '.join(missing)} is unknown or not installed; installed are "
                f"{', '.join(sorted(installed)) or 'none'}"
            )

        # Its new name, activation_checkpointing, is not in all versions of Transformers that we support.
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing", category=FutureWarning)
        _prepare(config, overwrite)
        set_seed(config.seed)
        network, tokenizer, identity = load_trainable(config)
        return cls(config, network, tokenizer, identity)

    # ------------------------------------------------------------ data

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages to train on."""
        if self._languages is None:
            chosen = self.config.dataset.languages
            self._languages = chosen or tuple(
                code for code in self._load("validation").languages if code not in self.config.dataset.held_out
            )
        return self._languages

    def facts(self, split: str = "train") -> Rows[Fact]:
        """The facts to train on, in the languages to train on. `run.json` names their digests."""
        rows = self._load(split, self.languages)
        rows = rows.sample(self.config.dataset.max_facts, self.config.seed) if split == "train" else rows
        self.note_data(split, common.data_of(rows).model_dump())
        return rows

    def validation(self) -> Rows[Fact]:
        """The facts to evaluate on, in all languages, those held out too."""
        codes = (*self.languages, *self.config.dataset.held_out)
        return self._load("validation", codes).sample(self.config.evaluation.facts, self.config.seed)

    def _load(self, split: str, languages: tuple[str, ...] | None = None) -> Rows[Fact]:
        data = self.config.dataset
        return load(data.source, data.config, split, languages, data.revision)

    def note_data(self, name: str, description: dict[str, Any]) -> None:
        """Adds to what `run.json` says about the data; a resumed run must find the same."""
        self._data[name] = description

    def made_once(self, name: str, identity: Any, make: Callable[[], pa.Table | None]) -> pa.Table:
        """The table `<folder>/<name>`, written by the main process unless it is there; `make` is called in all.

        Raises `ConfigError` when it was made from another `identity`, which is kept with it.
        """
        path, key = self.folder / name, {b"made_from": digest_json(identity).encode()}
        there = path.is_file()
        processes().wait_for_everyone()  # or a slow process would find what the main one just wrote
        if not there:
            table = make()
            if processes().is_main_process:
                assert table is not None
                write_parquet(path, table.replace_schema_metadata(key))
        processes().wait_for_everyone()
        table = read_parquet(path)
        if table.schema.metadata != key:
            raise ConfigError(f"{path} was made with other settings; choose another output.folder or add --overwrite")
        return table

    # ------------------------------------------------------------ training

    def arguments(self, kind: type[Any] | None = None, **extra: Any) -> Any:
        """TrainingArguments, or those of a subclass such as GRPOConfig; `extra` adds to or replaces what is set."""
        import torch
        from transformers import TrainingArguments

        kind = kind or TrainingArguments
        config, settings = self.config, self.config.optimisation
        common_values: dict[str, Any] = {
            "output_dir": str(self.folder),
            "per_device_train_batch_size": settings.batch,
            "gradient_accumulation_steps": settings.accumulation,
            "num_train_epochs": settings.epochs,
            "max_steps": settings.max_steps or -1,
            "learning_rate": settings.learning_rate,
            "lr_scheduler_type": settings.schedule,
            "warmup_steps": settings.warmup,
            "weight_decay": settings.weight_decay,
            "optim": settings.optimiser,
            "max_grad_norm": settings.max_grad_norm,
            "bf16": settings.precision == "bf16",
            "gradient_checkpointing": settings.gradient_checkpointing,
            "gradient_checkpointing_kwargs": {"use_reentrant": False} if settings.gradient_checkpointing else None,
            "logging_steps": config.output.log_steps,
            "logging_first_step": True,
            # Or a loss that is no number would be hidden.
            "logging_nan_inf_filter": False,
            "include_num_input_tokens_seen": "non_padding",
            "save_steps": config.output.checkpoint_steps,
            "save_total_limit": config.output.keep_checkpoints,
            # Evaluation is ours: Trainer evaluates before it saves.
            "eval_strategy": "no",
            "report_to": list(config.output.report_to) or "none",
            "seed": config.seed,
            "data_seed": config.seed,
            "remove_unused_columns": False,
            # All batches have the same size, so that each counts the same on any number of processes.
            "dataloader_drop_last": True,
            "ddp_find_unused_parameters": False,
            "use_cpu": not torch.accelerator.is_available(),
            "disable_tqdm": True,
        }
        return kind(**{**common_values, **extra})

    def train(self, trainer: Any) -> Path:
        """Trains to the end, from the last whole checkpoint if there is one; returns the folder of the final model.

        Raises `ConfigError` when the folder holds part of a run with other settings, data or versions of a model,
        `DataError` when there is less than one batch or the loss is no number, `RetryableError` when the disk is full.
        """
        try:
            with disk_errors(self.folder):
                return self._train(trainer)
        finally:
            release(self.folder)

    def _train(self, trainer: Any) -> Path:
        from transformers import PrinterCallback

        from baselines.training.hooks import Hooks

        if not len(trainer.get_train_dataloader()):
            raise DataError(f"{self.folder}: the training data are less than one batch (optimisation.batch)")
        hooks = Hooks(self, trainer, self._open_record())
        trainer.remove_callback(PrinterCallback)
        # TRL drafts a card beside each checkpoint; ours is made when a model is pushed.
        trainer.create_model_card = lambda *_, **__: None
        # First of all: others log and report what ours add.
        trainer.callback_handler.callbacks.insert(0, hooks)
        checkpoint = hooks.checkpoint
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        final = self.folder / "final"
        trainer.save_model(str(final))
        if processes().is_main_process:
            self.tokenizer.save_pretrained(final)
            # Pickled arguments, with paths of this machine in them; and a form of peft's that nobody filled in.
            for name in ("training_args.bin", "README.md"):
                remove(final / name)
            hooks.finish(final / TRAINING)
            print(f"{'adapter' if self.config.lora else 'model'} of {self.config.method} in {final}")
        processes().wait_for_everyone()
        return final

    def _open_record(self) -> dict[str, Any]:
        """`run.json` as it stands for this run, new or resumed."""
        state = processes()
        settings = self.config.model_dump(mode="json", exclude={"output"})
        identity = {
            "method": self.config.method,
            "config": settings,
            "data": self._data,
            "model": {name: value for name, value in self.identity.items() if name != "name"},
            "processes": state.num_processes,
        }
        path = self.folder / "run.json"
        record: dict[str, Any] = read_json(path)
        if record["status"] != "preparing":
            if record["identity"] != digest_json(identity):
                changed = _differences(record["compared"], json.loads(json.dumps(identity)))
                raise ConfigError(
                    f"{path} is of a run with other {', '.join(changed)}; choose another output.folder, "
                    "or remove that run with --overwrite"
                )
        else:
            record = {
                "status": "running",
                "method": self.config.method,
                "identity": digest_json(identity),
                "compared": identity,
                "model": self.identity,
                "output": self.config.output.model_dump(mode="json"),
                "parameters": sum(p.numel() for p in self.network.parameters()),
                "trained_parameters": sum(p.numel() for p in self.network.parameters() if p.requires_grad),
                "software": results.software(),
                "hardware": results.hardware(),
                "sessions": [],
            }
            state.wait_for_everyone()
            if state.is_main_process:
                write_json(path, record)
        state.wait_for_everyone()
        return record


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted names, of up to three parts, of what differs between two records that were read from JSON."""
    found: list[str] = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if prefix.count(".") < 2 and isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(prefix + name)
    return found


def _prepare(config: TrainingConfig, overwrite: bool) -> None:
    """Makes the folder one of a run that is not finished, and takes it; `overwrite` empties it, if it was a run's."""
    state, folder = processes(), config.output.folder
    path = folder / "run.json"
    if not path.is_file() and folder.is_dir() and any(entry.name != LOCK for entry in folder.iterdir()):
        raise ConfigError(f"{folder} holds something that is no run; choose another output.folder")
    if path.is_file() and not overwrite and read_json(path)["status"] == "finished":
        raise ConfigError(f"{folder} holds a finished run; choose another output.folder or add --overwrite")
    state.wait_for_everyone()
    if state.is_main_process:
        hold(folder)
        for entry in folder.iterdir() if overwrite else ():
            if entry.name != LOCK:
                remove(entry)
        if not path.is_file():
            write_json(path, {"status": "preparing", "method": config.method})
    state.wait_for_everyone()


def load_trainable(config: TrainingConfig) -> tuple[Any, Any, dict[str, Any]]:
    """The model with a fresh adapter if `lora` is set, the tokenizer (padding left), and what identifies the model.

    Raises `ConfigError` when there is no such model, or when it is an adapter itself.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    wanted = config.model
    if (Path(wanted.name) / "adapter_config.json").is_file():
        raise ConfigError(
            f"{wanted.name} is an adapter; merge it first: "
            f"python -m baselines.training.merge --adapter {wanted.name} --output FOLDER"
        )
    with loading(wanted.name):
        tokenizer = AutoTokenizer.from_pretrained(wanted.name, revision=wanted.revision, padding_side="left")
        chosen = {"attn_implementation": wanted.attention} if wanted.attention else {}
        network = AutoModelForCausalLM.from_pretrained(
            wanted.name, revision=wanted.revision, dtype=getattr(torch, wanted.dtype), **chosen
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise ConfigError(f"the tokenizer of {wanted.name} has neither eos_token nor pad_token; add one to its files")
    identity = identify(wanted.name, wanted.revision, network.config, tokenizer, wanted.dtype)
    network.config.use_cache = False
    return (_with_adapter(network, config) if config.lora else network), tokenizer, identity


def _with_adapter(network: Any, config: TrainingConfig) -> Any:
    import peft

    lora = config.lora
    assert lora
    modules = lora.target_modules
    settings = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        task_type="CAUSAL_LM",
    )
    try:
        return peft.get_peft_model(network, settings)
    except ValueError as error:
        raise ConfigError(f"lora.target_modules {modules!r}: {' '.join(str(error).split())}") from error
