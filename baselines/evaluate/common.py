"""What all evaluators share: the run with its engine, and the printed summaries."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from baselines.cli import need
from baselines.data import Rows
from baselines.evaluate import results
from baselines.evaluate.engines import Engine
from baselines.evaluate.measures import MEASURES
from baselines.evaluate.options import EngineOptions, ModelOptions, OutputOptions, RunOptions
from baselines.evaluate.shards import Shards
from baselines.models import Model
from polyfact_dataset.common.errors import ConfigError

LATENCY_ITEMS = 16
Item = TypeVar("Item")


def prepare(target: OutputOptions, engine: str = "hf") -> None:
    """Raises `ConfigError` before a model is loaded when a package is missing or the result cannot be written."""
    if engine == "openai":
        need("llm", "openai")
    else:
        need("eval", "torch", "transformers", "accelerate")
    if target.output.suffix != ".json":
        raise ConfigError(f"--output {target.output} must end in .json")
    results.refuse_overwriting(target.output, target.overwrite)


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
    def start(target: RunOptions, model: ModelOptions, engine: EngineOptions | None = None) -> Run:
        """Loads the model, or connects to its server."""
        engine = engine or EngineOptions()
        local = engine.engine == "hf"
        loaded = model.load() if local else None
        run = Run(target.output, loaded, model.name, target.seed, target.quiet, target.overwrite)
        run.engine = run.started(engine.batch_tokens, engine.chat) if local else engine.start(model)
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
