"""Options shared by all evaluators, the run with its engine, and the printed summaries."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import numpy as np
import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table

from baselines.cli import need
from baselines.data import Rows
from baselines.evaluate import results
from baselines.evaluate.engines import Decoding, Engine, EngineName
from baselines.evaluate.measures import MEASURES
from baselines.evaluate.shards import Shards
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
Label = Annotated[str | None, typer.Option(help="The model's name in tables. Default: its own, or that of its run.")]
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
LATENCY_ITEMS = 16
Item = TypeVar("Item")


def prepare(output: Path, overwrite: bool, engine: str = "hf") -> None:
    """Raises `ConfigError` before a model is loaded when a package is missing or the result cannot be written."""
    if engine == "openai":
        need("llm", "openai")
    else:
        need("eval", "torch", "transformers", "accelerate")
    if output.suffix != ".json":
        raise ConfigError(f"--output {output} must end in .json")
    results.refuse_overwriting(output, overwrite)


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


def decoding(
    new_tokens: int, samples: int, temperature: float, thinking: str, thinking_tokens: int, seed: int
) -> Decoding:
    """How answers are generated. Raises `ConfigError` for settings that do not fit together."""
    if thinking not in ("keep", "strip"):
        raise ConfigError(f"--thinking {thinking!r} is unknown; known are keep, strip")
    if samples > 1 and not temperature:
        raise ConfigError("--samples needs --temperature above 0: greedy samples are all equal")
    return Decoding(new_tokens, samples, temperature, thinking, thinking_tokens, seed)  # type: ignore[arg-type]


def data_of(rows: Rows[Any]) -> results.Data:
    """The description of the items in a result."""
    origin = rows.origin
    return results.Data(
        source=origin.source,
        config=origin.config,
        split=origin.split,
        revision=origin.revision,
        content=origin.content,
        facts=len(rows),
        languages=rows.languages,
        digests=rows.digests,
    )


def speed(items: int, seconds: float, processes: int, latency: tuple[float, float] | None) -> results.Speed:
    """Throughput of a run; `seconds` are summed over processes."""
    median, high = latency or (None, None)
    return results.Speed(
        items=items,
        seconds=seconds,
        processes=processes,
        items_per_s=items * processes / max(seconds, 1e-9),
        latency_median_s=median,
        latency_p95_s=high,
    )


def latency(call: Callable[[Item], object], items: Sequence[Item]) -> tuple[float, float]:
    """Median and 95th percentile of the seconds that `call` takes for one item alone, over some of the items."""
    some = items[:: max(1, len(items) // LATENCY_ITEMS)][:LATENCY_ITEMS]
    call(some[0])  # warms up
    seconds = []
    for item in some:
        start = time.perf_counter()
        call(item)
        seconds.append(time.perf_counter() - start)
    median, high = np.quantile(seconds, [0.5, 0.95])
    return float(median), float(high)


@dataclass(frozen=True)
class EngineOptions:
    """Which engine to use, and how."""

    engine: str = "hf"
    chat: bool = False
    batch_tokens: int | None = None
    base_url: str | None = None
    arguments: str | None = None

    def __post_init__(self) -> None:
        if self.engine not in get_args(EngineName):
            raise ConfigError(f"--engine {self.engine!r} is unknown; known are {', '.join(get_args(EngineName))}")
        if self.base_url and self.engine != "openai":
            raise ConfigError("--base-url is for --engine openai")
        if self.arguments and self.engine != "vllm":
            raise ConfigError("--engine-args is for --engine vllm")

    def start(self, model: str, revision: str | None, dtype: str) -> Engine:
        """The engine `vllm` or `openai` with its model."""
        if self.engine == "vllm":
            from baselines.evaluate.engines.vllm import VllmEngine

            return VllmEngine.load(model, revision, dtype, self.chat, self.arguments)
        from baselines.evaluate.engines.api import ApiEngine

        return ApiEngine.connect(model, self.base_url, self.chat)


@dataclass
class Run:
    """One evaluation of one model: where its result goes, and everything that decides it."""

    output: Path
    model: Model | None
    label: str
    seed: int = 42
    quiet: bool = False
    overwrite: bool = False
    engine: Engine | None = None
    _fields: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def start(
        output: Path,
        model: str,
        revision: str | None = None,
        dtype: str = "auto",
        device: str | None = None,
        device_map: str | None = None,
        seed: int = 42,
        label: str | None = None,
        quiet: bool = False,
        overwrite: bool = False,
        engine: EngineOptions | None = None,
    ) -> Run:
        """Loads the model, or connects to its server."""
        options = engine or EngineOptions()
        name = label_of(model, label)
        if options.engine != "hf":
            started = options.start(model, revision, dtype)
            return Run(output, None, name, seed, quiet, overwrite, started)
        loaded = load_model(model, revision, dtype, device, device_map)
        run = Run(output, loaded, name, seed, quiet, overwrite)
        run.engine = run.started(options.batch_tokens, options.chat)
        return run

    def started(self, batch_tokens: int | None = None, chat: bool = False) -> Engine:
        """The engine of the run; for a loaded model one of Transformers."""
        if self.engine is None:
            from baselines.evaluate.engines.hf import HfEngine

            assert self.model is not None
            self.engine = HfEngine(self.model, batch_tokens, chat)
        return self.engine

    def shards(self, kind: str, data: results.Data, prompt: results.Prompt, settings: dict[str, Any]) -> Shards:
        """The resumable shards of this run: their identity is everything that a score depends on."""
        engine = self.started()
        # Weights are identified by digests, so that their folder may be moved; a server has only the name.
        identified = engine.identity.get("weights") or engine.identity.get("revision")
        model = {name: value for name, value in engine.identity.items() if name != "name" or not identified}
        self._fields = {"kind": kind, "data": data, "prompt": prompt, "settings": settings}
        identity = {
            "schema": results.SCHEMA,
            "kind": kind,
            "items": data.digests,
            "model": model,
            "prompt": prompt.model_dump(),
            "settings": settings,
            "seed": self.seed,
            "software": results.software(),
            "device": engine.device,
        }
        return Shards(self.output, identity, self.overwrite)

    def describe(self, data: results.Data) -> None:
        """Sets the description of the items where it is known only after the evaluation."""
        self._fields["data"] = data

    def note(self, text: str) -> None:
        """Prints a note on standard error."""
        if not self.quiet:
            Console(stderr=True, highlight=False, soft_wrap=True).print(f"note: {text}", markup=False)

    def finish(self, work: Shards, scores: pa.Table, **fields: Any) -> results.Result:
        """Writes the result and removes the shards."""
        result = results.save(
            self.output,
            scores,
            label=self.label,
            model=self.started().identity,
            seed=self.seed,
            software=results.software(),
            hardware=results.hardware(),
            **self._fields,
            **fields,
        )
        work.remove()
        return result


def percent(value: float | None) -> str:
    """A fraction as a percentage with two decimals."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table on standard output, each word of a header on a separate line, so that 80 columns are enough."""
    table = Table(title=title, title_justify="left")
    for position, name in enumerate(header):
        table.add_column(name.replace(" ", "\n"), justify="left" if position == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


def print_choices(result: results.Result, output: Path) -> None:
    """Accuracy by group and the headline measures by normalisation, and the path of the result."""
    headline = [measure for measure in MEASURES if measure.headline]
    rows = []
    for name, values in result.metrics.items():
        groups = [percent(value) for value in values["groups"].values()]
        cells = [math.nan if values.get(measure.name) is None else values[measure.name] for measure in headline]
        rows.append([name, *groups, *(measure.shown(value) for measure, value in zip(headline, cells))])
    names = [name.capitalize() for name in next(iter(result.metrics.values()))["groups"]]
    header = ["scores per", *names, *(measure.title for measure in headline)]
    title = f"{result.label}: {result.data.facts} facts, {len(result.data.languages)} languages, shares in %"
    show(title, header, rows)
    _print_end(result, output)


def print_generations(result: results.Result, output: Path) -> None:
    """Rates and failure modes by language, group of languages and kind of noun, and the path of the result."""
    stored = result.metrics
    parts = {**stored["languages"], **stored["groups"], **stored["nouns"]}
    for name, by_group in stored.get("contamination", {}).items():
        parts[name] = by_group["all"]
    rows = [
        [name.replace("_", " "), f"{part['items']:,}", *(percent(part[key]) for key in ("lenient", "exact"))]
        + [percent(part["modes"][mode]) for mode in results.MODES[1:]]
        for name, part in parts.items()
        if part
    ]
    header = ["", "items", "lenient", "exact", *(mode.replace("_", " ") for mode in results.MODES[1:])]
    show(f"{result.label}: {result.kind}, {result.data.facts} facts, rates in %", header, rows)
    measured = {measure.name: measure for measure in MEASURES}
    values = {measured[name]: value for name, value in stored["measures"].items() if value is not None}
    show("", ["measure", "value"], [[measure.title, measure.shown(value)] for measure, value in values.items()])
    _print_end(result, output)


def _print_end(result: results.Result, output: Path) -> None:
    speed = result.speed
    text = f"{speed.items_per_s:,.1f} items/s"
    if speed.latency_median_s is not None:
        text += f", one item alone {1000 * speed.latency_median_s:,.1f} ms"
    print(text)
    print(f"{output}: {result.kind} of {result.label}, all scores in {output.with_name(result.scores.file)}")
