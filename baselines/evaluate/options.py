"""Options that several commands share, each with one name, one bound and one line of help, and what is made of them.

A command takes a group of them as one parameter (`polyfact_dataset.cli.option_groups`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, cast, get_args

import typer

from baselines.data import Fact, OpenFact, Rows, load, load_open
from baselines.evaluate.engines import Decoding, Engine, EngineName
from baselines.models import Model, label_of, load_model
from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import ConfigError

DATASET = "jvonrad/PolyFact"
ModelName = Annotated[str, typer.Option("--model", help="Causal language model: a folder or an id on the Hub.")]
Output = Annotated[Path, typer.Option(help="Result to write (.json); its scores go into the same folder.")]
Dataset = Annotated[str, typer.Option(help="Release folder or Hub id.")]
Split = Annotated[str, typer.Option(help="train, validation or test.")]
Languages = Annotated[
    str | None, typer.Option(help="Language codes, separated by commas, or paper for the paper's. Default: all.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Number of facts, drawn by the seed. Default: all.")]
Revision = Annotated[str | None, typer.Option(help="Revision of the model on the Hub.")]
DatasetRevision = Annotated[str | None, typer.Option(help="Revision of the dataset on the Hub.")]
Dtype = Annotated[str, typer.Option(help="auto (bfloat16 on an accelerator), float32, bfloat16 or float16.")]
Device = Annotated[str | None, typer.Option(help="Such as cuda:0 or cpu. Default: an accelerator if there is one.")]
DeviceMap = Annotated[str | None, typer.Option(help="auto: spread one large model over all GPUs.")]
BatchTokens = Annotated[int | None, typer.Option(min=1, help="Tokens per batch to start with; halved when too many.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random choice.")]
Label = Annotated[
    str | None, typer.Option(help="The model's name in tables. Default: the last part of its name, or the run's name.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an earlier result, or an unfinished run with other settings.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress; errors still show.")]
EngineOption = Annotated[str, typer.Option("--engine", help="hf (Transformers), vllm, or openai (a server).")]
BaseUrl = Annotated[str | None, typer.Option(help="Server of --engine openai. Default: OPENAI_BASE_URL.")]
EngineArgs = Annotated[str | None, typer.Option(help="More arguments for --engine vllm: key=value,...")]
Chat = Annotated[bool, typer.Option("--chat", help="Apply the model's chat template.")]
Thinking = Annotated[str, typer.Option(help="keep, or strip: remove reasoning from answers and count its tokens.")]
ThinkingTokens = Annotated[int, typer.Option(min=1, help="Tokens of reasoning allowed with --thinking strip.")]
Samples = Annotated[int, typer.Option(min=1, help="Sampled answers per item; more than one needs --temperature.")]
Temperature = Annotated[float, typer.Option(min=0, help="Sampling temperature; 0 is greedy.")]


def split_list(text: str | None) -> tuple[str, ...] | None:
    """`en,de` -> ("en", "de"), without repetitions; `paper` -> the paper's twelve; None for `all` that there are."""
    if text is None or text.strip() == "all":
        return None
    if text.strip() == "paper":
        return PAPER_LANGUAGES
    parts = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not parts:
        raise ConfigError("the list of languages is empty")
    return parts


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model, how it is loaded, and its name in tables."""

    model: ModelName
    revision: Revision = None
    dtype: Dtype = "auto"
    device: Device = None
    device_map: DeviceMap = None
    label: Label = None

    @property
    def name(self) -> str:
        """Its name in tables."""
        return label_of(self.model, self.label)

    def load(self) -> Model:
        """Loads it for inference; errors are those of `load_model`."""
        return load_model(self.model, self.revision, self.dtype, self.device, self.device_map)


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The result to write."""

    output: Output
    overwrite: Overwrite = False


@dataclass(frozen=True, kw_only=True)
class RunOptions(OutputOptions):
    """The result of an evaluation, its seed, and what is shown meanwhile."""

    seed: Seed = 42
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class ReleaseOptions:
    """A split of a release, its languages, and how many facts of it are drawn."""

    dataset: Dataset = DATASET
    split: Split = "test"
    languages: Languages = None
    limit: Limit = None
    dataset_revision: DatasetRevision = None

    @property
    def codes(self) -> tuple[str, ...] | None:
        """The languages that are named; None for all."""
        return split_list(self.languages)


@dataclass(frozen=True, kw_only=True)
class ItemOptions(ReleaseOptions):
    """Multiple-choice items of a release."""

    config: Annotated[str, typer.Option(help="clean or parallel.")] = "clean"

    def load(self, seed: int) -> Rows[Fact]:
        """Reads them and draws `limit` facts by the seed; errors are those of `load`."""
        return load(self.dataset, self.config, self.split, self.codes, self.dataset_revision).sample(self.limit, seed)


@dataclass(frozen=True, kw_only=True)
class OpenItemOptions(ReleaseOptions):
    """Questions without options of a release."""

    config: Annotated[str, typer.Option(help="clean_open or open.")] = "clean_open"

    def load(self, seed: int) -> Rows[OpenFact]:
        """Reads them and draws `limit` facts by the seed; errors are those of `load_open`."""
        facts = load_open(self.dataset, self.config, self.split, self.codes, self.dataset_revision)
        return facts.sample(self.limit, seed)


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Which engine to use, and how. Raises `ConfigError` for options of another engine."""

    engine: EngineOption = "hf"
    base_url: BaseUrl = None
    engine_args: EngineArgs = None
    batch_tokens: BatchTokens = None
    # An option of those evaluators whose prompts may be a chat (`ChatEngineOptions`).
    chat: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.engine not in get_args(EngineName):
            raise ConfigError(f"--engine {self.engine!r} is unknown; known are {', '.join(get_args(EngineName))}")
        if self.base_url and self.engine != "openai":
            raise ConfigError("--base-url is for --engine openai")
        if self.engine_args and self.engine != "vllm":
            raise ConfigError("--engine-args is for --engine vllm")

    def start(self, model: ModelOptions) -> Engine:
        """The engine `vllm` or `openai` with its model."""
        if self.engine == "vllm":
            from baselines.evaluate.engines.vllm import VllmEngine

            return VllmEngine.load(model.model, model.revision, model.dtype, self.chat, self.engine_args)
        from baselines.evaluate.engines.api import ApiEngine

        return ApiEngine.connect(model.model, self.base_url, self.chat)


@dataclass(frozen=True, kw_only=True)
class ChatEngineOptions(EngineOptions):
    """The same for prompts that may be a chat."""

    chat: Chat = False


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """How answers are generated. Raises `ConfigError` for options that do not fit together."""

    new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer in tokens.")] = 48
    samples: Samples = 1
    temperature: Temperature = 0.0
    thinking: Thinking = "keep"
    thinking_tokens: ThinkingTokens = 2048

    def __post_init__(self) -> None:
        if self.thinking not in ("keep", "strip"):
            raise ConfigError(f"--thinking {self.thinking!r} is unknown; known are keep, strip")
        if self.samples > 1 and not self.temperature:
            raise ConfigError("--samples needs --temperature above 0: greedy samples are all equal")

    def decoding(self, seed: int) -> Decoding:
        """The same for an engine."""
        thinking = cast(Literal["keep", "strip"], self.thinking)
        return Decoding(self.new_tokens, self.samples, self.temperature, thinking, self.thinking_tokens, seed)
