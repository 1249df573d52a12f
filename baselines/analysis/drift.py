"""Drift of hidden states between two models, h_trained - h_base, and its principal components (RL study).

    python -m baselines.analysis.drift --base B --model M --dataset jvonrad/PolyFact --output grpo.drift.json

States are those after the final norm at the last token of the prompt, where the answer is about to be given. The
models are loaded one after the other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from baselines import figures
from baselines.analysis import common, files, vectors
from baselines.analysis.common import Loaded
from baselines.analysis.hooks import anatomy
from baselines.analysis.text import grouped
from baselines.data import Fact, Rows
from baselines.evaluate.common import data_of
from baselines.evaluate.options import ItemOptions, ModelOptions, OutputOptions, Seed
from baselines.figures import Figure
from baselines.models import Model
from baselines.prompts import STYLES, Style, item_prompt, prompt_hash
from polyfact_dataset.cli.option_groups import option_groups
from polyfact_dataset.common.errors import ConfigError, DataError

Floats = NDArray[np.float64]


def final_states(network: Any, prompts: Sequence[Sequence[int]], batch: int = 8) -> Floats:
    """(N, hidden): the final-layer state at the last token of each prompt. Long prompts go first."""
    backbone = anatomy(network).backbone
    order = sorted(range(len(prompts)), key=lambda number: -len(prompts[number]))
    result = np.zeros((len(prompts), network.config.get_text_config().hidden_size))
    for numbers in grouped(order, batch):
        chosen = [list(prompts[number]) for number in numbers]
        width = len(chosen[0])
        # Padded on the right: causal attention keeps the padding from every real position.
        ids = torch.tensor([row + [0] * (width - len(row)) for row in chosen], device=backbone.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in chosen], device=backbone.device)
        with torch.inference_mode():
            states = backbone(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        last = [len(row) - 1 for row in chosen]
        result[numbers] = states[range(len(chosen)), last].double().cpu().numpy()
    return result


def summarise(
    base: Floats, trained: Floats, codes: NDArray[Any], languages: Sequence[str]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Metrics over all states and by language; arrays `points` (N, 2), `explained`, `drift_means` (K, hidden)."""
    if base.shape != trained.shape:
        raise DataError(f"states of shapes {base.shape} and {trained.shape}: the models differ in their hidden size")
    moved = trained - base
    components = vectors.pca(moved)
    parts = {"all": np.ones(len(codes), bool), **{code: codes == code for code in languages}}
    metrics = {
        name: {
            "states": int(selected.sum()),
            "mean_norm": vectors.mean_norm(moved[selected]),
            "relative_norm": vectors.mean_norm(moved[selected]) / vectors.mean_norm(base[selected]),
            "spread": vectors.spread(moved[selected]),
            "concentration": vectors.concentration(moved[selected]),
        }
        for name, selected in parts.items()
    }
    metrics["all"]["explained"] = components.explained.tolist()
    means = np.stack([moved[codes == code].mean(axis=0) for code in languages])
    return metrics, {
        "points": components.points,
        "languages": codes,
        "explained": components.explained,
        "drift_means": means,
    }


def draw(loaded: Sequence[Loaded]) -> list[Figure]:
    """The drift of each model along its first two components, and its length and spread by language."""
    codes = loaded[0][0].languages
    with figures.style():
        sheet, axes = figures.canvas(len(loaded), 1, 4.4, 3.8)
        for axis, (result, arrays) in zip(axes[0], loaded):
            for number, code in enumerate(codes):
                look = figures.look(number)
                points = arrays["points"][arrays["languages"] == code]
                kind = {"color": look["color"], "marker": look["marker"], "alpha": 0.6, "linewidths": 0}
                axis.scatter(*points.T, s=12, label=code, **kind)
            one, two = 100 * arrays["explained"]
            axis.set(title=result.label, xlabel=f"first component ({one:.0f} %)", ylabel=f"second ({two:.0f} %)")
        axes[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=7)
        drawn = [Figure("drift_pca", "Drift of final hidden states in its principal components.", sheet)]
        sheet, axes = figures.canvas(1, 2, 7, 2.6)
        for axis, name, title in zip(axes[:, 0], ("mean_norm", "spread"), ("mean norm", "spread")):
            values = {result.label: [result.metrics[code][name] for code in codes] for result, _ in loaded}
            figures.grouped_bars(axis, codes, values, title)
        drawn.append(Figure("drift_size", "Mean length and spread of the drift by language.", sheet))
    return drawn


def compare(loaded: Sequence[Loaded]) -> list[dict[str, Any]]:
    """Rows of model and language: states, mean norm (also relative to the base's states), spread, concentration."""
    return [
        {
            "model": result.label,
            "language": name,
            **{k.replace("_", " "): v for k, v in part.items() if k != "explained"},
        }
        for result, _ in loaded
        for name, part in result.metrics.items()
    ]


def encode(model: Model, facts: Rows[Fact], style: Style) -> tuple[list[list[int]], list[str]]:
    """Token ids of all prompts, facts outermost, and their languages."""
    texts = [(code, item_prompt(style, code, item).text) for fact in facts for code, item in fact.items.items()]
    ids: list[list[int]] = model.tokenizer([text for _, text in texts], return_attention_mask=False)["input_ids"]
    return ids, [code for code, _ in texts]


@option_groups
def main(
    base: Annotated[str, typer.Option(help="The model before training: a folder or an id on the Hub.")],
    model: ModelOptions,
    target: OutputOptions,
    items: ItemOptions = ItemOptions(limit=200),
    style: Annotated[str, typer.Option(help=f"Prompt: {', '.join(STYLES)}.")] = "choose",
    batch: Annotated[int, typer.Option(min=1, help="Prompts per forward pass.")] = 8,
    base_revision: Annotated[str | None, typer.Option(help="Revision of --base on the Hub.")] = None,
    seed: Seed = 42,
) -> None:
    """Measure how far and in which direction training moved the final hidden states."""
    files.prepare(target.output, target.overwrite)
    if style not in STYLES:
        raise ConfigError(f"unknown prompt style {style!r}; known are {', '.join(STYLES)}")
    facts = items.load(seed)
    analysis = common.Analysis("drift", target.output, model.name, draw)
    states, identities, tokenised = [], [], []
    for each in (replace(model, model=base, revision=base_revision), model):
        loaded = each.load()
        prompts, codes = encode(loaded, facts, style)
        states.append(final_states(loaded.network, prompts, batch))
        identities.append(loaded.identity)
        tokenised.append(prompts)
        del loaded  # two large models need not fit side by side
    if tokenised[0] != tokenised[1]:
        raise DataError(f"{base} and {model.model} tokenise the prompts differently: their states cannot be compared")
    before, after = states
    metrics, arrays = summarise(before, after, np.array(codes, dtype=str), facts.languages)
    inputs = data_of(facts).model_dump(mode="json")
    settings = {"style": style, "prompt": prompt_hash(style, facts.languages), "seed": seed}
    analysis.finish(metrics, arrays, facts.languages, identities, inputs, settings)


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
