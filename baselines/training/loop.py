"""The training loop: resumes a run, trains to the end, writes the final model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from baselines.models import processes
from baselines.training.run import TRAINING, Run
from baselines.training.run_lock import disk_errors, unlock
from baselines.training.sharding import gather_full_weights
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import remove

_WEIGHTS = ("model*.safetensors", "adapter_model.safetensors", "pytorch_model*.bin")


def fit(run: Run, trainer: Any) -> Path:
    """Trains to the end, from the last complete checkpoint if there is one; returns the folder of the final model.

    Raises `ConfigError` when the folder holds part of a run with other settings, data or versions of a model,
    `DataError` when there is less than one batch, the loss is not finite or no weights were written, `RetryableError`
    when the disk is full.
    """
    try:
        with disk_errors(run.folder):
            return _fit(run, trainer)
    finally:
        unlock(run.folder)


def _fit(run: Run, trainer: Any) -> Path:
    from transformers import PrinterCallback

    from baselines.training.hooks import Hooks

    if not len(trainer.get_train_dataloader()):
        raise DataError(f"{run.folder}: the training data are less than one batch (optimisation.batch)")
    hooks = Hooks(run, trainer, run.open_record())
    trainer.remove_callback(PrinterCallback)
    # TRL drafts a card with each checkpoint; `baselines.training.push` writes ours.
    trainer.create_model_card = lambda *_, **__: None
    # First of all: others log and report what ours add.
    trainer.callback_handler.callbacks.insert(0, hooks)
    checkpoint = hooks.checkpoint
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    hooks.load_best()
    final = run.folder / "final"
    gather_full_weights(trainer)
    trainer.save_model(str(final))
    processes().wait_for_everyone()
    demand_weights(final)
    if processes().is_main_process:
        run.tokenizer.save_pretrained(final)
        # Pickled arguments, which name paths of this machine; and an empty form of peft's.
        for name in ("training_args.bin", "README.md"):
            remove(final / name)
        hooks.finish(final / TRAINING)
        print(f"{'adapter' if run.config.lora else 'model'} of {run.config.method} in {final}")
    processes().wait_for_everyone()
    return final


def demand_weights(folder: Path) -> None:
    """Raises `DataError` unless the folder holds weights that are not empty."""
    files = [path for pattern in _WEIGHTS for path in folder.glob(pattern)]
    if not any(path.stat().st_size for path in files):
        raise DataError(
            f"{folder} holds no weights although training ended: with DeepSpeed set zero3_save_16bit_model: true, "
            "with FSDP fsdp_state_dict_type: FULL_STATE_DICT; the last checkpoint is complete"
        )
