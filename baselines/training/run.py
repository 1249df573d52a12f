"""One training run: its folder, model, data and record. `baselines.training.loop` trains it.

    run = Run.start(config)                      # folder, model with its adapter, tokenizer, run.json
    facts = run.facts("train")
    trainer = Trainer(model=run.network, args=training_arguments(run), processing_class=run.tokenizer, ...)
    fit(run, trainer)                            # resumes, evaluates, writes `final`

The folder of a run holds `run.json` (configuration, digests of data and model, versions, cost, status), `log.jsonl`
(a line per logged step), `checkpoint-N` (with the file `complete` once it is complete), `evaluations`, and `final`. The
same command continues an interrupted run from its last complete checkpoint, with bit-identical results.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from baselines.cli import need
from baselines.data import Fact, Rows, load
from baselines.evaluate import common, results
from baselines.models import processes
from baselines.prompts import Prompt
from baselines.training.arguments import Batch
from baselines.training.chat import chat_prompt
from baselines.training.config import TrainingConfig
from baselines.training.run_lock import LOCK, lock
from baselines.training.trainable import load_trainable
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import digest_json, read_json, read_parquet, remove, write_json, write_parquet

# The record of a run, stored with its final model.
TRAINING = "training.json"
Evaluator = Callable[[int], dict[str, float]]


def clock() -> float:
    """Seconds of this process's processor time on a CPU, of the clock where there is an accelerator."""
    import torch

    return time.perf_counter() if torch.accelerator.is_available() else time.process_time()


class Run:
    """A training run; made by `start`. `network` is the model, with its adapter unless all weights are trained."""

    def __init__(self, config: TrainingConfig, network: Any, tokenizer: Any, identity: dict[str, Any]) -> None:
        self.config = config
        self.network = network
        self.tokenizer = tokenizer
        self.identity = identity
        self.folder = config.output.folder
        self.started_s = clock()
        # What an optimiser step sees; set by `training_arguments`.
        self.batch: Batch | None = None
        # Called after each due checkpoint with its step, in every process; what they return is logged.
        self.evaluators: list[Evaluator] = []
        # Printed when training begins.
        self.notes: list[str] = []
        self._languages: tuple[str, ...] | None = None
        self._data: dict[str, Any] = {}

    @classmethod
    def start(cls, config: TrainingConfig, overwrite: bool = False) -> Run:
        """Loads the model and adds the adapter, whose weights depend on the seed.

        Raises `ConfigError` for a finished run in the folder (unless `overwrite`), for one that is still active, for
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
        """The facts to evaluate on, in all languages, including those held out."""
        codes = (*self.languages, *self.config.dataset.held_out)
        return self._load("validation", codes).sample(self.config.evaluation.facts, self.config.seed)

    def _load(self, split: str, languages: tuple[str, ...] | None = None) -> Rows[Fact]:
        data = self.config.dataset
        return load(data.source, data.config, split, languages, data.revision)

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt as the model reads it: inside its chat template with `chat`, else unchanged."""
        return chat_prompt(prompt, self.tokenizer) if self.config.chat else prompt

    def note_data(self, name: str, description: dict[str, Any]) -> None:
        """Adds to the description of the data in `run.json`; a resumed run must have the same."""
        self._data[name] = description

    def made_once(self, name: str, identity: Any, make: Callable[[], pa.Table | None]) -> pa.Table:
        """The table `<folder>/<name>`, written by the main process unless it exists; `make` is called in all.

        Raises `ConfigError` when it was made from another `identity`, which is stored with it.
        """
        path, key = self.folder / name, {b"made_from": digest_json(identity).encode()}
        exists = path.is_file()
        processes().wait_for_everyone()  # or a slow process would see the file that the main one just wrote
        if not exists:
            table = make()
            if processes().is_main_process:
                assert table is not None
                write_parquet(path, table.replace_schema_metadata(key))
        processes().wait_for_everyone()
        table = read_parquet(path)
        if table.schema.metadata != key:
            raise ConfigError(f"{path} was made with other settings; choose another output.folder or add --overwrite")
        return table

    # ------------------------------------------------------------ record

    def open_record(self) -> dict[str, Any]:
        """`run.json` of this run, new or resumed.

        Raises `ConfigError` when the folder holds part of a run with other settings, data or versions of a model.
        Evaluation, output, reporting and `max_steps` may change when a run continues.
        """
        state = processes()
        identity = {
            "method": self.config.method,
            "config": _compared(self.config),
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
                "description": self.config.description,
                "identity": digest_json(identity),
                "compared": identity,
                "model": self.identity,
                "parameters": sum(p.numel() for p in self.network.parameters()),
                "trained_parameters": sum(p.numel() for p in self.network.parameters() if p.requires_grad),
                "software": results.software(),
                "hardware": results.hardware(),
                "sessions": [],
            }
        record["config"] = self.config.model_dump(mode="json")
        record["batch"] = str(self.batch) if self.batch else None
        state.wait_for_everyone()
        if state.is_main_process:
            write_json(path, record)
        state.wait_for_everyone()
        return record


# Arguments of the Trainer that change neither weights nor data.
_FREE_ARGUMENTS = ("run_name", "push_to_hub", "hub_", "report_to", "project", "trackio_", "dataloader_num_workers")


def _compared(config: TrainingConfig) -> dict[str, Any]:
    """The settings that must be the same when a run continues."""
    settings = config.model_dump(mode="json", exclude={"output": True, "evaluation": True})
    settings["optimisation"].pop("max_steps")
    settings["trainer"] = {
        name: value for name, value in settings["trainer"].items() if not name.startswith(_FREE_ARGUMENTS)
    }
    return settings


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted names, of up to three parts, of what differs between two records that were read from JSON."""
    changed: list[str] = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if prefix.count(".") < 2 and isinstance(before, dict) and isinstance(after, dict):
            changed += _differences(before, after, f"{prefix}{name}.")
        elif before != after:
            changed.append(prefix + name)
    return changed


def _prepare(config: TrainingConfig, overwrite: bool) -> None:
    """Makes the folder that of an unfinished run, and locks it; `overwrite` empties it, if it was a run's."""
    state, folder = processes(), config.output.folder
    path = folder / "run.json"
    if not path.is_file() and folder.is_dir() and any(entry.name != LOCK for entry in folder.iterdir()):
        raise ConfigError(f"{folder} holds files that are not of a run; choose another output.folder")
    if path.is_file() and not overwrite and read_json(path)["status"] == "finished":
        raise ConfigError(f"{folder} holds a finished run; choose another output.folder or add --overwrite")
    state.wait_for_everyone()
    if state.is_main_process:
        lock(folder)
        for entry in folder.iterdir() if overwrite else ():
            if entry.name != LOCK:
                remove(entry)
        if not path.is_file():
            write_json(path, {"status": "preparing", "method": config.method})
    state.wait_for_everyone()
