"""Transformers' TrainingArguments from the configuration of a run, and the accumulation derived from its batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from baselines.cli import need
from baselines.models import processes
from baselines.training.config import OptimisationConfig, TrainingConfig
from polyfact_dataset.common.errors import ConfigError

if TYPE_CHECKING:
    from baselines.training.run import Run


@dataclass(frozen=True)
class Batch:
    """What an optimiser step sees: `effective` units = batch x processes x accumulation / rows_per_unit."""

    unit: str
    batch: int
    processes: int
    accumulation: int
    rows_per_unit: int

    @property
    def effective(self) -> float:
        """Units (facts, chunks, answers, pairs) in an optimiser step."""
        return self.batch * self.processes * self.accumulation / self.rows_per_unit

    def __str__(self) -> str:
        rows = "" if self.rows_per_unit == 1 else f", {self.rows_per_unit} rows each"
        return (
            f"an optimiser step sees {self.effective:g} {self.unit}{rows}: {self.batch} on each of {self.processes} "
            f"process{'es' if self.processes > 1 else ''} x accumulation {self.accumulation}"
        )


def derive_batch(settings: OptimisationConfig, unit: str, count: int, rows_per_unit: int = 1) -> Batch:
    """The accumulation for `count` processes. A unit takes `rows_per_unit` rows of a batch (L x G with GRPO).

    Where a unit takes several rows, `batch` is the most that a process takes at a time: it follows the number of
    languages, since the parts of a unit only save memory. Raises `ConfigError` when `batch` and the processes do not
    divide the effective batch.
    """
    effective = settings.effective
    if effective is None:
        return Batch(unit, settings.batch, count, settings.accumulation or 1, rows_per_unit)
    rows, batch = effective * rows_per_unit, settings.batch
    if rows_per_unit > 1 and rows % count == 0:
        batch = max(size for size in range(1, batch + 1) if (rows // count) % size == 0)
    step = batch * count
    if rows % step:
        raise ConfigError(
            f"an effective batch of {effective} {unit} is {rows} rows, which is no multiple of optimisation.batch "
            f"{settings.batch} x {count} processes = {step}; choose another optimisation.batch or another effective "
            "batch"
        )
    return Batch(unit, batch, count, rows // step, rows_per_unit)


def training_arguments(run: Run, kind: type[Any] | None = None, rows_per_unit: int = 1, **extra: Any) -> Any:
    """TrainingArguments, or those of a subclass such as GRPOConfig. `extra` adds to or replaces what the run sets.

    `trainer` of the configuration is passed through. Raises `ConfigError` for an argument that does not exist, that
    the run sets itself, or that the library refuses.
    """
    from transformers import TrainingArguments

    kind = kind or TrainingArguments
    config = run.config
    batch = derive_batch(config.optimisation, config.unit, processes().num_processes, rows_per_unit)
    run.batch = batch
    values = {**_values(run, batch), **extra}
    known = set(kind.__dataclass_fields__)
    for name in config.trainer:
        if name not in known:
            raise ConfigError(f"trainer.{name}: {kind.__name__} has no such argument")
        if name in values and name not in _REPLACEABLE:
            raise ConfigError(f"trainer.{name} is set by the run itself; use the other sections of the configuration")
    if "bnb" in config.optimisation.optimiser or "8bit" in config.optimisation.optimiser:
        need("train", "bitsandbytes")
    try:
        return kind(**{**values, **config.trainer})
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{kind.__name__}: {' '.join(str(error).split())}") from error


# Set by the run, but without consequence for what it promises.
_REPLACEABLE = frozenset({"ddp_find_unused_parameters", "disable_tqdm", "report_to"})


def _values(run: Run, batch: Batch) -> dict[str, Any]:
    """The arguments that a run sets."""
    import torch

    config: TrainingConfig = run.config
    settings = config.optimisation
    return {
        "output_dir": str(run.folder),
        "per_device_train_batch_size": batch.batch,
        "gradient_accumulation_steps": batch.accumulation,
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
        # The filter would replace a loss that is not finite by the last finite one.
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "non_padding",
        "save_steps": config.output.checkpoint_steps,
        "save_total_limit": config.output.keep_checkpoints,
        # The hooks evaluate, after a checkpoint; Trainer would evaluate before it.
        "eval_strategy": "no",
        "report_to": list(config.output.report_to) or "none",
        "seed": config.seed,
        "data_seed": config.seed,
        "remove_unused_columns": False,
        # All batches have the same size, so that the weight of a batch does not depend on the number of processes.
        "dataloader_drop_last": True,
        "ddp_find_unused_parameters": False,
        "use_cpu": not torch.accelerator.is_available(),
        "disable_tqdm": True,
    }
