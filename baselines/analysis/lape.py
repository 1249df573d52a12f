"""LAPE: which neurons are active in one language only (Tang et al. 2024; paper, 3 and 5.4; figures 5, 6, 14, 15).

    python -m baselines.analysis.lape --model M --text TED --output base.lape.json

A neuron is active where act(gate(x)) > 0. Activations are counted exactly, in integers, over streamed text; special
and padding tokens do not count. Both ways of assigning neurons to languages are computed (`neurons.RULES`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from baselines import figures
from baselines.analysis import common, files, neurons
from baselines.analysis.common import Loaded
from baselines.analysis.hooks import anatomy, gate_activations
from baselines.analysis.text import Sample, grouped
from baselines.evaluate.options import ModelOptions, OutputOptions
from baselines.figures import Figure
from polyfact_dataset.cli.option_groups import option_groups
from polyfact_dataset.common.errors import ConfigError

Ints = NDArray[np.int64]


def padded(rows: Sequence[list[int]], special: int, device: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, attention mask and text mask, (B, T) each, padded on the right; the first `special` are no text."""
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    attention = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    text = attention.bool()
    text[:, :special] = False
    return ids.to(device), attention.to(device), text.to(device)


def count_activations(
    network: Any, samples: Iterable[Sample], languages: Sequence[str], batch: int = 8
) -> tuple[Ints, Ints]:
    """Counts of active neurons (K, layers, width) and of text tokens (K,), over all samples, `batch` at a time."""
    parts = anatomy(network)
    device = parts.backbone.device
    counts = torch.zeros(len(languages), parts.layers, parts.width, dtype=torch.int64, device=device)
    tokens = np.zeros(len(languages), np.int64)
    for group in grouped(samples, batch):
        for number, code in enumerate(languages):
            ids, attention, text = padded([sample.ids[code] for sample in group], group[0].special, device)

            def see(layer: int, values: torch.Tensor, index: int = number, mask: torch.Tensor = text) -> None:
                active = (values > 0) & mask.to(values.device)[..., None]
                counts[index, layer] += active.sum(dim=(0, 1)).to(device)

            with torch.inference_mode(), gate_activations(parts, see):
                parts.backbone(input_ids=ids, attention_mask=attention, use_cache=False)
            tokens[number] += int(text.sum())
    return counts.cpu().numpy(), tokens


def summarise(
    counts: Ints, tokens: Ints, share: float, quantile: float, last: int
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Metrics by assignment rule, and the arrays `entropy`, `counts` and `per_layer_<rule>`."""
    p = neurons.frequencies(counts, tokens)
    metrics: dict[str, Any] = {"tokens": tokens.tolist()}
    arrays: dict[str, NDArray[Any]] = {"counts": counts, "tokens": tokens}
    for rule in neurons.RULES:
        chosen = neurons.specialised(p, rule, share, quantile)
        late = neurons.last_share(chosen.per_layer, last)
        metrics["bar"] = chosen.bar
        metrics["neurons"] = int(chosen.mask.sum())
        metrics[rule] = {
            "per_language": chosen.per_language.tolist(),
            "assignments": int(chosen.assigned.sum()),
            "last_layers": files.plain(late),
        }
        arrays |= {f"per_layer_{rule}": chosen.per_layer, "entropy": chosen.entropy, "mask": chosen.mask}
    return metrics, arrays


def draw(loaded: Sequence[Loaded], rule: neurons.Rule = "highest") -> list[Figure]:
    """Figures 5, 6, 14 and 15 of the paper, all models in each; the first model is the base."""
    codes = loaded[0][0].languages
    with figures.style():
        sheet, axes = figures.canvas(width=7)
        totals = {result.label: result.metrics[rule]["per_language"] for result, _ in loaded}
        figures.grouped_bars(axes[0, 0], codes, totals, "language-specific neurons")
        drawn = [Figure("lape_languages", "Language-specific neurons by language (paper, figure 5).", sheet)]

        last = loaded[0][0].settings["last_layers"]
        sheet, axes = figures.canvas(width=7)
        late = {
            result.label: [100 * (value or 0.0) for value in result.metrics[rule]["last_layers"]]
            for result, _ in loaded
        }
        figures.grouped_bars(axes[0, 0], codes, late, f"% in the last {last} layers")
        drawn.append(Figure("lape_last_layers", f"Share in the last {last} layers (paper, figure 6).", sheet))

        columns = min(4, len(codes))
        sheet, axes = figures.canvas(columns, -(-len(codes) // columns), 2.6, 2.0)
        for axis in axes.ravel()[len(codes) :]:
            axis.set_visible(False)
        for index, code in enumerate(codes):
            for number, (result, arrays) in enumerate(loaded):
                values = arrays[f"per_layer_{rule}"][index]
                axis = axes.ravel()[index]
                axis.plot(range(1, len(values) + 1), values, label=result.label, **figures.look(number))
                axis.set_title(code, fontsize=9)
                figures.layer_axis(axis)
        axes[0, 0].legend(frameon=False, fontsize=7)
        sheet.supxlabel("layer")
        sheet.supylabel("neurons")
        drawn.append(Figure("lape_layers", "Language-specific neurons by layer (paper, figure 14).", sheet))
        drawn.append(_draw_ecdf(loaded, rule))
    return drawn


def _draw_ecdf(loaded: Sequence[Loaded], rule: neurons.Rule) -> Figure:
    sheet, axes = figures.canvas(width=5)
    axis = axes[0, 0]
    base = loaded[0][1][f"per_layer_{rule}"].sum(axis=0)
    for number, (result, arrays) in enumerate(loaded):
        layers = arrays[f"per_layer_{rule}"].sum(axis=0)
        label = f"{result.label}, D = {neurons.ks_distance(base, layers):.3f}" if number else result.label
        axis.step(range(1, len(layers) + 1), neurons.ecdf(layers), where="post", label=label, **figures.look(number))
    axis.set(xlabel="layer", ylabel="share of neurons up to the layer", ylim=(0, 1.02))
    axis.legend(frameon=False)
    figures.layer_axis(axis)
    caption = f"ECDF over layers, and Kolmogorov-Smirnov distance from {loaded[0][0].label} (paper, figure 15)."
    return Figure("lape_ecdf", caption, sheet)


def compare(loaded: Sequence[Loaded]) -> list[dict[str, Any]]:
    """Rows of model, rule, language (`all` for the whole): neurons, change from the first model, KS distance."""
    rows = []
    (first, base), codes = loaded[0], loaded[0][0].languages
    for result, arrays in loaded:
        for rule in neurons.RULES:
            before, after = base[f"per_layer_{rule}"], arrays[f"per_layer_{rule}"]
            parts = [("all", before.sum(axis=0), after.sum(axis=0)), *zip(codes, before, after)]
            for code, old, new in parts:
                change = None if not old.sum() else 100 * (new.sum() - old.sum()) / old.sum()
                distance = neurons.ks_distance(old, new)
                row = {"model": result.label, "rule": rule, "language": code, "neurons": int(new.sum())}
                row |= {f"change from {first.label} (%)": change, "KS distance": distance}
                rows.append(row)
    return rows


def quantile_of(bar: str) -> float:
    """The quantile of a bar: one of `neurons.BARS`, or a number from 0 to 1. Raises `ConfigError` for another."""
    try:
        value = neurons.BARS[bar] if bar in neurons.BARS else float(bar)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise ConfigError(f"--bar {bar!r} must be {', '.join(neurons.BARS)} or a quantile from 0 to below 1")
    return value


@option_groups
def main(
    model: ModelOptions,
    text: common.TextOptions,
    target: OutputOptions,
    samples: Annotated[int | None, typer.Option(min=1, help="Parallel samples to read. Default: all.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples per forward pass.")] = 8,
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of all neurons to take.")] = neurons.SHARE,
    bar: Annotated[str, typer.Option(help="Activation bar: paper (none), original (95 %) or a quantile.")] = "paper",
    last_layers: Annotated[int, typer.Option(min=1, help="Layers that count as the last.")] = 5,
) -> None:
    """Find the neurons that are specific to one language."""
    files.prepare(target.output, target.overwrite)
    quantile = quantile_of(bar)
    source = text.open()
    loaded = model.load()
    analysis = common.Analysis("lape", target.output, model.name, draw)
    sampler = text.sampler(loaded, source)
    selected = sampler.run(source.rows(), samples)
    counts, tokens = count_activations(loaded.network, selected, source.languages, batch)
    metrics, arrays = summarise(counts, tokens, share, quantile, last_layers)
    inputs = common.text_inputs(source, sampler)
    settings = {"sample_tokens": sampler.max_tokens, "share": share, "bar": quantile, "last_layers": last_layers}
    analysis.finish(metrics, arrays, source.languages, [loaded.identity], inputs, settings)


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
