"""LAHIS: which attention heads matter for a language (Liu et al. 2025; paper, 5.5, E.2; figures 7, 8, 11-13, 16, 17).

    python -m baselines.analysis.lahis --model M --text TED --samples 500 --output base.lahis.json

Per language: a mask over heads, all ones, the model frozen. For each sample g = d(LM loss)/d(mask) gives g * mask, the
first-order effect of removing a head; then AdamW (lr 1e-2) steps the mask. Deviation from the paper: a sample is the
same lines in every language and at most 512 tokens in its longest, so shorter in the others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from baselines import figures
from baselines.analysis import common, files, heads
from baselines.analysis.common import Loaded
from baselines.analysis.heads import Importance
from baselines.analysis.hooks import anatomy, head_mask
from baselines.analysis.text import Sample
from baselines.evaluate.options import Dtype, ModelOptions, OutputOptions
from baselines.figures import Figure
from polyfact_dataset.cli.option_groups import option_groups

LEARNING_RATE = 1e-2


class HeadMask:
    """The mask of one language, the optimiser that steps it, and the importance found so far."""

    def __init__(self, layers: int, count: int, device: torch.device, learning_rate: float = LEARNING_RATE) -> None:
        self.mask = torch.ones(layers, count, device=device, requires_grad=True)
        self.optimiser = torch.optim.AdamW([self.mask], lr=learning_rate)
        self.importance = Importance((layers, count))

    def step(self, parts: Any, network: Any, ids: Sequence[int]) -> None:
        """Adds one sample, then moves the mask."""
        tokens = torch.tensor([list(ids)], device=parts.backbone.device)
        with torch.enable_grad(), head_mask(parts, self.mask):
            loss = network(input_ids=tokens, labels=tokens, use_cache=False).loss
            loss.backward()
        assert self.mask.grad is not None
        self.importance.add((self.mask.grad * self.mask.detach()).double().cpu().numpy())
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


def importances(
    network: Any, samples: Iterable[Sample], languages: Sequence[str], learning_rate: float = LEARNING_RATE
) -> NDArray[np.float64]:
    """Importance of each head (K, layers, heads). Samples too short for a loss (one token) are skipped."""
    parts = anatomy(network)
    network.requires_grad_(False)
    masks = [HeadMask(parts.layers, parts.heads, parts.backbone.device, learning_rate) for _ in languages]
    for sample in samples:
        for code, mask in zip(languages, masks):
            if len(sample.ids[code]) > 1:
                mask.step(parts, network, sample.ids[code])
    return np.stack([mask.importance.value for mask in masks])


def summarise(
    importance: NDArray[np.float64], share: float | None, quantile: float | None, at_least: int
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Metrics, and the arrays `importance`, `mask` and `general`."""
    masks = np.stack([heads.top(values, share, quantile) for values in importance])
    shared = heads.general(masks, at_least)
    metrics = {
        "heads": masks.sum(axis=(1, 2)).tolist(),
        "of": int(masks[0].size),
        "general": int(shared.sum()),
        "per_layer": files.plain(heads.per_layer(masks)),
        "overlap": files.plain(heads.overlap(masks)),
    }
    return metrics, {"importance": importance, "mask": masks, "general": shared}


def draw(loaded: Sequence[Loaded]) -> list[Figure]:
    """Figures 7, 8, 11, 12, 13, 16 and 17: one panel per model; the first model is the base."""
    codes = loaded[0][0].languages
    with figures.style():
        sheet, axes = figures.canvas(len(loaded), 1, 4.0, 3.6)
        for axis, (result, arrays) in zip(axes[0], loaded):
            grid = heads.overlap(arrays["mask"])
            figures.heat(sheet, axis, grid, codes, codes, numbers=True, vmin=0, vmax=100)
            axis.set_title(result.label)
        drawn = [Figure("lahis_overlap", "Per cent of heads that two languages share (figures 7, 13).", sheet)]

        sheet, axes = figures.canvas(len(loaded), 1, 4.0, 3.6)
        for axis, (result, arrays) in zip(axes[0], loaded):
            grid = heads.per_layer(arrays["mask"])
            figures.heat(sheet, axis, grid, codes, figures.layer_names(grid.shape[1]), vmin=0)
            axis.set(title=result.label, xlabel="layer")
        drawn.append(Figure("lahis_layers", "Per cent of a language's heads in each layer (figures 8, 11).", sheet))
        for result, arrays in loaded[1:]:
            drawn += _draw_changes(loaded[0], (result, arrays))
    return drawn


def _draw_changes(base: Loaded, trained: Loaded) -> list[Figure]:
    """Stable and changed heads, and one delta map per language."""
    codes, label = base[0].languages, trained[0].label
    title = f"{base[0].label} to {label}"
    stable, changed = heads.stability(base[1]["mask"], trained[1]["mask"])
    sheet, axes = figures.canvas(width=6)
    figures.grouped_bars(axes[0, 0], codes, {"stable": stable, "changed": changed}, "heads")
    axes[0, 0].set_title(title)
    slug = files.slug(label)
    drawn = [Figure(f"lahis_changes_{slug}", f"Stable and changed heads, {title} (figure 12).", sheet)]

    delta = trained[1]["importance"] - base[1]["importance"]
    most = float(np.abs(delta).max()) or 1.0
    columns = min(4, len(codes))
    sheet, axes = figures.canvas(columns, -(-len(codes) // columns), 2.8, 2.4)
    for axis in axes.ravel()[len(codes) :]:
        axis.set_visible(False)
    names = [figures.layer_names(size) for size in delta.shape[1:]]
    for axis, code, values in zip(axes.ravel(), codes, delta):
        figures.heat(sheet, axis, values, *names, around_zero=True, vmin=-most, vmax=most)
        axis.set_title(code, fontsize=9)
    sheet.supxlabel("head")
    sheet.supylabel("layer")
    caption = f"Change of importance, {title}: blue weaker, red stronger (figures 16, 17)."
    return [*drawn, Figure(f"lahis_delta_{slug}", caption, sheet)]


def compare(loaded: Sequence[Loaded]) -> list[dict[str, Any]]:
    """Rows of model and language: heads, general ones among them, share in layer 1, mean overlap, stable, changed."""
    rows = []
    base, codes = loaded[0][1]["mask"], loaded[0][0].languages
    for result, arrays in loaded:
        masks = arrays["mask"]
        stable, changed = heads.stability(base, masks)
        shared, by_layer = heads.overlap(masks), heads.per_layer(masks)
        for index, code in enumerate(codes):
            others = np.delete(shared[index], index)
            rows.append(
                {
                    "model": result.label,
                    "language": code,
                    "heads": int(masks[index].sum()),
                    "general": int((masks[index] & arrays["general"]).sum()),
                    "in layer 1 (%)": float(by_layer[index, 0]),
                    "mean overlap (%)": float(others.mean()) if len(others) else None,
                    "stable": int(stable[index]),
                    "changed": int(changed[index]),
                }
            )
    return rows


@dataclass(frozen=True, kw_only=True)
class ExactModelOptions(ModelOptions):
    """The model; gradients are taken in single precision unless another is named."""

    dtype: Dtype = "float32"


@option_groups
def main(
    model: ExactModelOptions,
    text: common.TextOptions,
    target: OutputOptions,
    samples: Annotated[int | None, typer.Option(min=1, help="Parallel samples to read.")] = 500,
    share: Annotated[float | None, typer.Option(min=0, max=1, help="Top share of heads (the paper: 0.02).")] = None,
    quantile: Annotated[
        float | None, typer.Option(min=0, max=1, help="Instead: heads above it (original: 0.96).")
    ] = None,
    general: Annotated[int, typer.Option(min=1, help="Languages from which on a head is general.")] = 4,
) -> None:
    """Find the attention heads that matter for each language."""
    files.prepare(target.output, target.overwrite)
    source = text.open()
    loaded = model.load()
    analysis = common.Analysis("lahis", target.output, model.name, draw)
    sampler = text.sampler(loaded, source)
    taken = heads.TOP_SHARE if share is None and quantile is None else share
    parts = anatomy(loaded.network)
    heads.check_selection(parts.layers * parts.heads, taken, quantile)
    importance = importances(loaded.network, sampler.run(source.rows(), samples), source.languages)
    metrics, arrays = summarise(importance, taken, quantile, general)
    inputs = common.text_inputs(source, sampler)
    settings = {"sample_tokens": sampler.max_tokens, "share": taken, "quantile": quantile, "general": general}
    settings["learning_rate"] = LEARNING_RATE
    analysis.finish(metrics, arrays, source.languages, [loaded.identity], inputs, settings)


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
