"""What all evaluators share: their options, the run with its model, and what they print."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table

from baselines.cli import need
from baselines.data import Rows
from baselines.evaluate import results
from baselines.evaluate.shards import Shards
from baselines.models import Model, label_of, load_model
from polyfact_dataset.common.errors import ConfigError

DATASET = "jvonrad/PolyFact"
ModelName = Annotated[str, typer.Option("--model", help="Causal language model: a folder or an id on the Hub.")]
Output = Annotated[Path, typer.Option(help="Result to write (.json); its scores go beside it.")]
Dataset = Annotated[str, typer.Option(help="Release folder or Hub id.")]
Split = Annotated[str, typer.Option(help="train, validation or test.")]
Languages = Annotated[str | None, typer.Option(help="Language codes, separated by commas. Default: all.")]
Limit = Annotated[int | None, typer.Option(min=1, help="So many facts, drawn by the seed. Default: all.")]
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
LATENCY_ITEMS = 16
Item = TypeVar("Item")


def prepare(output: Path, overwrite: bool) -> None:
    """Fails early: before a model is loaded, when it could not be used or its result not be written."""
    need("eval", "torch", "transformers", "accelerate")
    if output.suffix != ".json":
        raise ConfigError(f"--output {output} must end in .json")
    results.refuse_overwriting(output, overwrite)


def split_list(text: str | None) -> tuple[str, ...] | None:
    """`en,de` -> ("en", "de"), without repetitions."""
    if text is None:
        return None
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise ConfigError("the list of languages is empty")
    return found


def data_of(rows: Rows[Any]) -> results.Data:
    """What a result says about its items."""
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


@dataclass
class Run:
    """One evaluation of one model: where its result goes, and what it depends on."""

    output: Path
    model: Model
    label: str
    seed: int = 42
    quiet: bool = False
    overwrite: bool = False
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
    ) -> Run:
        """Loads the model."""
        loaded = load_model(model, revision, dtype, device, device_map)
        return Run(output, loaded, label_of(model, label), seed, quiet, overwrite)

    def shards(self, kind: str, data: results.Data, prompt: results.Prompt, settings: dict[str, Any]) -> Shards:
        """The resumable shards of this run: their identity is all that decides a score."""
        # Not the name: the same weights may lie in another folder.
        model = {name: value for name, value in self.model.identity.items() if name != "name"}
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
            "device": self.model.device.type,
        }
        return Shards(self.output, identity, self.overwrite)

    def describe(self, data: results.Data) -> None:
        """What was asked, where it is known only after the answers."""
        self._fields["data"] = data

    def note(self, text: str) -> None:
        """Something the user should know, on standard error."""
        if not self.quiet:
            Console(stderr=True, highlight=False, soft_wrap=True).print(f"note: {text}", markup=False)

    def finish(self, work: Shards, scores: pa.Table, **fields: Any) -> results.Result:
        """Writes the result and removes the shards."""
        result = results.save(
            self.output,
            scores,
            label=self.label,
            model=self.model.identity,
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
    """Prints a table on standard output. Words of a header stand below each other, so that 80 columns are enough."""
    table = Table(title=title, title_justify="left")
    for position, name in enumerate(header):
        table.add_column(name.replace(" ", "\n"), justify="left" if position == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


def print_choices(result: results.Result, output: Path) -> None:
    """Accuracy and consistency by normalisation, and where the result is."""
    rows = []
    for name, values in result.metrics.items():
        groups = [percent(value) for value in values["groups"].values()]
        rows.append(
            [
                name,
                *groups,
                *(percent(values[key]) for key in ("mean_accuracy", "total_consistency", "agreement", "ece")),
                "–" if values["rankc"] is None else f"{values['rankc']:.4f}",
            ]
        )
    names = [name.capitalize() for name in next(iter(result.metrics.values()))["groups"]]
    header = ["scores per", *names, "all", "consistent", "agreement", "ECE", "RankC"]
    title = f"{result.label}: {result.data.facts} facts, {len(result.data.languages)} languages, accuracy in %"
    show(title, header, rows)
    _print_end(result, output)


def print_generations(result: results.Result, output: Path) -> None:
    """Rates and failure modes by language, group of languages and kind of noun, and where the result is."""
    found = result.metrics
    parts = {**found["languages"], **found["groups"], **found["nouns"]}
    for name, by_group in found.get("contamination", {}).items():
        parts[name] = by_group["all"]
    rows = [
        [name.replace("_", " "), f"{part['items']:,}", *(percent(part[key]) for key in ("lenient", "exact"))]
        + [percent(part["modes"][mode]) for mode in results.MODES[1:]]
        for name, part in parts.items()
        if part
    ]
    header = ["", "items", "lenient", "exact", *(mode.replace("_", " ") for mode in results.MODES[1:])]
    show(f"{result.label}: {result.kind}, {result.data.facts} facts, rates in %", header, rows)
    _print_end(result, output)


def _print_end(result: results.Result, output: Path) -> None:
    speed = result.speed
    text = f"{speed.items_per_s:,.1f} items/s"
    if speed.latency_median_s is not None:
        text += f", one item alone {1000 * speed.latency_median_s:,.1f} ms"
    print(text)
    print(f"{output}: {result.kind} of {result.label}, all scores in {output.with_name(result.scores.file)}")
