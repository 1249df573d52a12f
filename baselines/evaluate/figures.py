"""The figures of a comparison, as PNG and SVG: accuracies, measures, RankC heat map, consistency histogram."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from baselines import metrics
from baselines.evaluate.measures import common_measures
from baselines.evaluate.results import GENERATED
from baselines.evaluate.tables import GROUPS, TITLES, Benchmarks, Runs, Uncertainty
from baselines.figures import Figure, canvas, style, write
from baselines.resampling import interval
from polyfact_dataset.common.plot_style import COLOURS


def accuracy_by_language(name: str, runs: Runs) -> Any:
    """Bars per language and model, one block per group of languages (trained and held out; high, low and neither)."""
    base = next(iter(runs.values()))
    gap, width = 0.8, 0.8 / len(runs)
    codes: list[str] = []
    places: list[float] = []
    figure, ((axes,),) = canvas(width=max(6.0, 0.55 * len(base.languages) + 2), height=3.4)
    for number, (group, members) in enumerate(base.groups.items()):
        start = len(codes) + number * gap
        axes.text(start - 0.4, 1.02, GROUPS[group], transform=axes.get_xaxis_transform(), weight="bold")
        places += [start + offset for offset in range(len(members))]
        codes += members
    for number, (label, scores) in enumerate(runs.items()):
        values = 100 * metrics.accuracy(scores.correct[:, scores.columns(codes)])
        offset = (number - (len(runs) - 1) / 2) * width
        axes.bar(np.array(places) + offset, values, width, label=label, color=COLOURS[number % len(COLOURS)])
    axes.set_xticks(places, codes)
    axes.set_ylabel("accuracy in %")
    _start_at_zero(axes)
    if name not in GENERATED and base.scores is not None and base.scores.shape[2] == 4:
        axes.axhline(25, color="0.4", linewidth=0.8, linestyle=":")
    axes.legend(frameon=False, ncols=min(4, len(runs)), loc="upper center", bbox_to_anchor=(0.5, -0.12))
    figure.suptitle(f"{TITLES[name]} by language", x=0.01, ha="left")
    return figure


def _start_at_zero(axes: Any) -> None:
    """Bars start at 0, also where all of them are 0."""
    axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))


def rankc_heat_map(name: str, runs: Runs) -> Any:
    """RankC of each pair of languages, one panel per model, on one scale from its floor to 1."""
    figure, (panels,) = canvas(len(runs), width=4.2 + 0.8 / len(runs), height=4.2)
    image = None
    for axes, (label, scores) in zip(panels, runs.items()):
        complete = scores.complete_scores
        floor = metrics.rankc_floor(complete.shape[2])
        image = axes.imshow(metrics.rankc(complete), vmin=floor, vmax=1, cmap="viridis")
        axes.set_xticks(range(len(scores.languages)), scores.languages, fontsize=7)
        axes.set_yticks(range(len(scores.languages)), scores.languages, fontsize=7)
        axes.set_title(label)
        axes.grid(False)
    figure.colorbar(image, ax=list(panels), shrink=0.8, label="RankC")
    figure.suptitle(f"{TITLES[name]}: RankC", x=0.01, ha="left")
    return figure


def consistency_histogram(name: str, runs: Runs) -> Any:
    """Share of facts by the number of languages that are correct."""
    figure, ((axes,),) = canvas(width=6.4, height=3.4)
    width = 0.8 / len(runs)
    for number, (label, scores) in enumerate(runs.items()):
        counts = metrics.consistency_histogram(scores.complete >= 1)
        offset = (number - (len(runs) - 1) / 2) * width
        places = np.arange(len(counts)) + offset
        colour = COLOURS[number % len(COLOURS)]
        axes.bar(places, 100 * counts / max(counts.sum(), 1), width, label=label, color=colour)
    axes.set_xticks(range(len(next(iter(runs.values())).languages) + 1))
    axes.set_xlabel("languages in which a fact is correct")
    axes.set_ylabel("facts in %")
    _start_at_zero(axes)
    axes.legend(frameon=False)
    figure.suptitle(f"{TITLES[name]}: consistency", x=0.01, ha="left")
    return figure


def measures(name: str, runs: Runs, unsure: Uncertainty) -> Any:
    """One row per measure: the value of each model with its 95 % interval, percentages and other numbers apart."""
    figure, (panels,) = canvas(2, width=4.6, height=5.0)
    listed = common_measures(runs.values())
    for axes, unit in zip(panels, ("percent", "number")):
        rows = [measure for measure in listed if measure.unit == unit]
        factor = 100 if unit == "percent" else 1
        for number, (label, scores) in enumerate(runs.items()):
            offset = (number - (len(runs) - 1) / 2) * 0.7 / len(runs)
            points = []
            for row, measure in enumerate(rows):
                if measure.applies(scores):
                    low, high = interval(unsure.samples(scores, measure))
                    points.append((factor * measure.of(scores), row + offset, factor * low, factor * high))
            values, places, lows, highs = np.array(points).reshape(-1, 4).T
            errors = np.nan_to_num([np.maximum(values - lows, 0), np.maximum(highs - values, 0)])
            look = {"fmt": "o", "markersize": 3, "color": COLOURS[number % len(COLOURS)]}
            axes.errorbar(values, places, xerr=errors, label=label, **look)
        axes.set_yticks(range(len(rows)), [measure.title for measure in rows], fontsize=7)
        axes.invert_yaxis()
        axes.set_xlabel("%" if unit == "percent" else "")
    panels[0].legend(frameon=False, fontsize=7)
    figure.suptitle(f"{TITLES[name]}: measures", x=0.01, ha="left")
    return figure


def draw_all(benchmarks: Benchmarks, folder: Path, unsure: Uncertainty) -> list[Path]:
    """Every figure that the results allow; returns the files."""
    drawn: list[Figure] = []
    with style():
        for name, runs in benchmarks.items():
            drawn.append(Figure(f"{name}_accuracy", TITLES[name], accuracy_by_language(name, runs)))
            drawn.append(Figure(f"{name}_measures", TITLES[name], measures(name, runs, unsure)))
            if len(next(iter(runs.values())).languages) < 2:
                continue
            drawn.append(Figure(f"{name}_consistency", TITLES[name], consistency_histogram(name, runs)))
            if all(scores.scores is not None for scores in runs.values()):
                drawn.append(Figure(f"{name}_rankc", TITLES[name], rankc_heat_map(name, runs)))
    return write(drawn, folder)
