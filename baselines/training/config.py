"""The configuration of a training run: typed, frozen, read from YAML; unknown keys are errors.

A trainer subclasses `TrainingConfig` with its method's name and settings. The shipped files are
`baselines/configs/<model>_<method>.yaml` and `<model>_cpt_<method>.yaml` (from the CPT checkpoint), with the source of
each value in a comment.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import typer
from pydantic import Field, field_validator, model_validator

from baselines.prompts import Style
from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.validation import validated
from polyfact_dataset.config.base import Section, override, read_file

ConfigFile = Annotated[Path, typer.Option("--config", help="YAML file, such as baselines/configs/olmo2_7b_sft.yaml.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Overrides a value of the file: output.folder=runs/a; repeatable.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Remove an earlier run in the output folder.")]


class ModelConfig(Section):
    """The model to start from: a folder or an id on the Hub, a plain model and no adapter."""

    name: str
    revision: str | None = None
    # Of the weights in memory. bfloat16 weights are too coarse for small updates: with `lora` the adapter
    # is float32 all the same, without it use float32.
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    # Transformers' attn_implementation; Transformers chooses for None.
    attention: str | None = None


class DatasetConfig(Section):
    """The release to train on, and to evaluate on in its split `validation`."""

    source: str = "jvonrad/PolyFact"
    revision: str | None = None
    config: str = "clean"
    # Facts to train on, drawn by the seed; all of the training split for None.
    max_facts: int | None = Field(default=None, ge=1)
    # Languages to train on: `paper` (the paper's twelve), `all` or None (all of the release), or codes. Those held out
    # are left out, unless codes are given.
    languages: tuple[str, ...] | None = Field(default=None, min_length=1)
    # Languages that are only evaluated.
    held_out: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _named_languages(cls, data: Any) -> Any:
        named = data.get("languages") if isinstance(data, dict) else None
        if not isinstance(named, str):
            return data
        if named not in ("paper", "all"):
            raise ValueError(f"languages is {named!r}; it must be paper, all or a list of codes")
        apart = data.get("held_out") or ()
        codes = [code for code in PAPER_LANGUAGES if code not in apart] if named == "paper" else None
        return {**data, "languages": codes}

    @field_validator("languages", "held_out")
    @classmethod
    def _once(cls, codes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = sorted({code for code in codes or () if (codes or ()).count(code) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is there more than once")
        return codes

    @model_validator(mode="after")
    def _apart(self) -> DatasetConfig:
        both = [code for code in self.held_out if code in (self.languages or ())]
        if both:
            raise ValueError(f"{', '.join(both)} cannot be in languages and in held_out")
        return self


class LoraConfig(Section):
    """An adapter on all linear layers but the output (paper, Tables 4 and 5)."""

    r: int = Field(default=64, ge=1)
    alpha: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"


class OptimisationConfig(Section):
    """Batches, optimiser and schedule. Each trainer states what a batch counts (facts, chunks, answers, pairs)."""

    learning_rate: float = Field(gt=0)
    schedule: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    # Steps, or below 1 a share of all steps.
    warmup: float = Field(default=0.0, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    # A name of Transformers' OptimizerNames; those with bnb or 8bit need bitsandbytes.
    optimiser: str = "adamw_torch_fused"
    # Norm to which gradients are clipped; 0 clips nothing.
    max_grad_norm: float = Field(default=1.0, ge=0)
    epochs: float = Field(default=1.0, gt=0)
    # Stops early, with a schedule of that length; None for all epochs. May change when a run continues.
    max_steps: int | None = Field(default=None, ge=1)
    # Stops early too, before the step that would begin after so many tokens of the model's input, or so many seconds:
    # of the processor on a CPU, of the clock on an accelerator; sampling before the first step counts.
    max_tokens: int | None = Field(default=None, ge=1)
    max_seconds: float | None = Field(default=None, gt=0)
    # On each process, in one forward pass.
    batch: int = Field(default=1, ge=1)
    # In one optimiser step, whatever the number of processes: facts, or what else the trainer counts. The
    # accumulation is derived.
    effective_facts: int | None = Field(default=None, ge=1)
    effective_batch: int | None = Field(default=None, ge=1)
    # Instead of an effective batch: forward passes per optimiser step, on each process. 1 for None.
    accumulation: int | None = Field(default=None, ge=1)
    # Of the forward pass: autocast to bfloat16, or as the weights are.
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = True

    @property
    def effective(self) -> int | None:
        """The batch of an optimiser step over all processes, if it is set."""
        return self.effective_facts or self.effective_batch

    @model_validator(mode="after")
    def _one_batch(self) -> OptimisationConfig:
        if sum(value is not None for value in (self.effective_facts, self.effective_batch, self.accumulation)) > 1:
            raise ValueError("set one of effective_facts, effective_batch and accumulation: the last one is derived")
        return self


class EvaluationConfig(Section):
    """The evaluators' metrics on the split `validation`, right after a checkpoint. May change when a run continues."""

    # A multiple of output.checkpoint_steps; the last step is evaluated too. None never evaluates.
    steps: int | None = Field(default=None, ge=1)
    # Also before the first step, for the figures of the model that the run starts from.
    at_start: bool = True
    # Facts, drawn by the seed; each is asked in all languages.
    facts: int | None = Field(default=200, ge=1)
    prompts: tuple[Style, ...] = Field(default=("paper",), min_length=1)
    batch_tokens: int | None = Field(default=None, ge=1)
    # Facts to answer without options, generated greedily and matched with all accepted names; None for none.
    open_facts: int | None = Field(default=None, ge=1)
    # The config of the release with these facts.
    open_config: str = "clean_open"
    open_new_tokens: int = Field(default=32, ge=1)
    # A logged metric without `eval_`, such as paper_mean_accuracy: `final` is the checkpoint with its highest value.
    # None takes the last one.
    best: str | None = None

    @model_validator(mode="after")
    def _measured(self) -> EvaluationConfig:
        if self.best and not self.steps:
            raise ValueError("best needs evaluation.steps: a checkpoint is chosen by its evaluation")
        return self


class OutputConfig(Section):
    """Where the run writes, and how often."""

    folder: Path
    checkpoint_steps: int = Field(default=200, ge=1)
    # Older ones are removed; at least two, so that an interruption during the last one loses nothing.
    keep_checkpoints: int = Field(default=2, ge=2)
    log_steps: int = Field(default=10, ge=1)
    # Transformers' integrations, such as tensorboard, wandb or trackio; `log.jsonl` is always written.
    report_to: tuple[str, ...] = ()


class TrainingConfig(Section):
    """The settings of every method; a subclass adds those of its method."""

    method: ClassVar[str] = ""
    # For the model card.
    description: ClassVar[str] = ""
    # What a batch counts.
    unit: ClassVar[str] = "facts"

    model: ModelConfig
    # Prompts are the user's turn of the model's chat template; false for base models.
    chat: bool = False
    dataset: DatasetConfig = DatasetConfig()
    # None trains all weights.
    lora: LoraConfig | None = LoraConfig()
    optimisation: OptimisationConfig
    evaluation: EvaluationConfig = EvaluationConfig()
    output: OutputConfig
    # Further TrainingArguments, passed through: run_name, deepspeed, push_to_hub, ...
    trainer: dict[str, Any] = {}
    # NumPy takes no larger ones.
    seed: int = Field(default=42, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _unit(self) -> TrainingConfig:
        if self.optimisation.effective_facts is not None and self.unit != "facts":
            raise ValueError(f"optimisation.effective_facts: {self.method} counts {self.unit}; set effective_batch")
        return self

    @model_validator(mode="after")
    def _checkpoint_first(self) -> TrainingConfig:
        steps = self.evaluation.steps
        if steps and steps % self.output.checkpoint_steps:
            raise ValueError(
                f"evaluation.steps {steps} must be a multiple of output.checkpoint_steps "
                f"{self.output.checkpoint_steps}: a checkpoint comes before an evaluation"
            )
        return self


Kind = TypeVar("Kind", bound=TrainingConfig)


def load_config(kind: type[Kind], path: Path, settings: Sequence[str] | None = None) -> Kind:
    """Reads the YAML file, replaces values by `settings` (`section.key=value`, the value in YAML), and validates.

    Raises `ConfigError` naming the file and the key.
    """
    import yaml

    data = read_file(path, yaml.safe_load, (yaml.YAMLError,))
    for setting in settings or ():
        name, equals, text = setting.partition("=")
        if not equals or not all(name.split(".")):
            raise ConfigError(f"--set {setting!r} must be section.key=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {setting!r}: the value is not YAML: {' '.join(str(error).split())}") from error
        override(data, name.split("."), value, f"--set {setting!r}")
    return validated(kind, data, f"configuration {path}")
