"""The figures of a comparison, as PNG and SVG: accuracy per language, RankC heat map, consistency histogram."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from baselines import metrics
from baselines.evaluate.series import Series
from baselines.evaluate.tables import GROUPS, TITLES, Found
from baselines.figures import Figure, canvas, style, write
from polyfact_dataset.common.plot_style import COLOURS


def accuracy_by_language(name: str, own: dict[str, Series]) -> Any:
    """Bars per language and model, one block per group of languages (trained and held out, high and low)."""
    base = next(iter(own.values()))
    gap, width = 0.8, 0.8 / len(own)
    codes: list[str] = []
    places: list[float] = []
    figure, ((axes,),) = canvas(width=max(6.0, 0.55 * len(base.languages) + 2), height=3.4)
    for number, (group, members) in enumerate(base.groups.items()):
        start = len(codes) + number * gap
        axes.text(start - 0.4, 1.02, GROUPS[group], transform=axes.get_xaxis_transform(), weight="bold")
        places += [start + offset for offset in range(len(members))]
        codes += members
    for number, (label, series) in enumerate(own.items()):
        values = 100 * metrics.accuracy(series.correct[:, series.columns(codes)])
        offset = (number - (len(own) - 1) / 2) * width
        axes.bar(np.array(places) + offset, values, width, label=label, color=COLOURS[number % len(COLOURS)])
    axes.set_xticks(places, codes)
    axes.set_ylabel("accuracy in %")
    _from_zero(axes)
    if name != "klar" and name != "open":
        axes.axhline(25, color="0.4", linewidth=0.8, linestyle=":")
    axes.legend(frameon=False, ncols=min(4, len(own)), loc="upper center", bbox_to_anchor=(0.5, -0.12))
    figure.suptitle(f"{TITLES[name]} by language", x=0.01, ha="left")
    return figure


def _from_zero(axes: Any) -> None:
    """Bars stand on 0, also where all of them are 0."""
    axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))


def rankc_heat_map(name: str, own: dict[str, Series]) -> Any:
    """RankC of each pair of languages, one panel per model, on one scale from its floor to 1."""
    figure, (panels,) = canvas(len(own), width=4.2 + 0.8 / len(own), height=4.2)
    image = None
    for axes, (label, series) in zip(panels, own.items()):
        assert series.choices is not None  # the caller draws it for multiple choice alone
        scores = series.choices.complete(series.normalisation)
        floor = metrics.rankc_floor(scores.shape[2])
        image = axes.imshow(metrics.rankc(scores), vmin=floor, vmax=1, cmap="viridis")
        axes.set_xticks(range(len(series.languages)), series.languages, fontsize=7)
        axes.set_yticks(range(len(series.languages)), series.languages, fontsize=7)
        axes.set_title(label)
        axes.grid(False)
    figure.colorbar(image, ax=list(panels), shrink=0.8, label="RankC")
    figure.suptitle(f"{TITLES[name]}: RankC", x=0.01, ha="left")
    return figure


def consistency_histogram(name: str, own: dict[str, Series]) -> Any:
    """Share of facts by the number of languages that are correct."""
    figure, ((axes,),) = canvas(width=6.4, height=3.4)
    width = 0.8 / len(own)
    for number, (label, series) in enumerate(own.items()):
        complete = series.correct[~np.isnan(series.correct).any(axis=1)]
        counts = metrics.consistency_histogram(complete)
        offset = (number - (len(own) - 1) / 2) * width
        places = np.arange(len(counts)) + offset
        colour = COLOURS[number % len(COLOURS)]
        axes.bar(places, 100 * counts / max(counts.sum(), 1), width, label=label, color=colour)
    axes.set_xticks(range(len(next(iter(own.values())).languages) + 1))
    axes.set_xlabel("languages in which a fact is correct")
    axes.set_ylabel("facts in %")
    _from_zero(axes)
    axes.legend(frameon=False)
    figure.suptitle(f"{TITLES[name]}: consistency", x=0.01, ha="left")
    return figure


def draw_all(found: Found, folder: Path) -> list[Path]:
    """Every figure that the results allow; returns the files."""
    drawn: list[Figure] = []
    with style():
        for name, own in found.items():
            drawn.append(Figure(f"{name}_accuracy", TITLES[name], accuracy_by_language(name, own)))
            if len(next(iter(own.values())).languages) < 2:
                continue
            drawn.append(Figure(f"{name}_consistency", TITLES[name], consistency_histogram(name, own)))
            if all(series.choices is not None for series in own.values()):
                drawn.append(Figure(f"{name}_rankc", TITLES[name], rankc_heat_map(name, own)))
    return write(drawn, folder)
