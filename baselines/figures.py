"""Figures: one style for print and screen, safe for colour-blind readers, written as SVG and PNG.

Lines differ in colour, dash and marker; heat maps use perceptually uniform maps, or red-blue around zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from polyfact_dataset.common import plot_style
from polyfact_dataset.common.files import atomic
from polyfact_dataset.common.plot_style import COLOURS, MARKERS

DASHES = ("-", "--", "-.", ":")
HATCHES = ("", "//", "..", "xx", "--", "++", "\\\\", "oo")
PNG_DPI = 200
# What differs from the house style: text as paths, since these figures go into papers.
_STYLE = {"axes.grid": True, "figure.constrained_layout.use": True, "svg.fonttype": "path"}


@dataclass(frozen=True)
class Figure:
    """A drawn figure, the name of its files, and what it shows."""

    name: str
    caption: str
    drawn: Any


def style() -> AbstractContextManager[None]:
    """The house style for what is drawn inside; opens no window."""
    return plot_style.style(**_STYLE)


def canvas(
    columns: int = 1, rows: int = 1, width: float = 4.2, height: float = 3.0, sharey: Literal["none", "row"] = "none"
) -> tuple[Any, Any]:
    """A figure and its (rows, columns) array of axes; sizes in inches per panel; `sharey` as in matplotlib."""
    from matplotlib.figure import Figure as Sheet

    sheet = Sheet(figsize=(width * columns, height * rows))
    return sheet, sheet.subplots(rows, columns, squeeze=False, sharey=sharey)


def look(number: int) -> dict[str, Any]:
    """Colour, dash and marker of the n-th line."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[number // len(COLOURS) % len(DASHES)] if number >= len(COLOURS) else DASHES[number % 4],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 3,
        "linewidth": 1.3,
    }


def grouped_bars(axis: Any, names: Sequence[str], series: Mapping[str, ArrayLike], ylabel: str) -> None:
    """One group of bars per name, one bar per series."""
    width = 0.8 / max(len(series), 1)
    places = np.arange(len(names))
    for number, (label, values) in enumerate(series.items()):
        offset = (number - (len(series) - 1) / 2) * width
        colour, hatch = COLOURS[number % len(COLOURS)], HATCHES[number % len(HATCHES)]
        kind = {"color": colour, "hatch": hatch, "edgecolor": "white"}
        axis.bar(places + offset, np.asarray(values, np.float64), width, label=label, **kind)
    axis.set_xticks(places, names)
    axis.set_ylabel(ylabel)
    axis.grid(axis="x", visible=False)
    if len(series) > 1:
        axis.legend(frameon=False)


def heat(sheet: Any, axis: Any, values: ArrayLike, rows: Sequence[str], columns: Sequence[str], **options: Any) -> None:
    """A matrix with a colour bar. `around_zero` centres the colours; `numbers` writes the values in the cells."""
    matrix = np.asarray(values, np.float64)
    around_zero, numbers = options.pop("around_zero", False), options.pop("numbers", False)
    if around_zero:
        most = float(np.nanmax(np.abs(matrix), initial=0)) or 1.0
        options = {"cmap": "RdBu_r", "vmin": -most, "vmax": most, **options}
    image = axis.imshow(matrix, aspect=options.pop("aspect", "auto"), **{"cmap": "cividis", **options})
    axis.grid(visible=False)
    for ticks, labels in ((axis.set_yticks, rows), (axis.set_xticks, columns)):
        step = max(1, len(labels) // 16)
        ticks(range(0, len(labels), step), list(labels)[::step])
    if numbers:
        middle = (image.norm.vmin + image.norm.vmax) / 2
        for (row, column), value in np.ndenumerate(matrix):
            colour = "black" if value > middle else "white"
            axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=6, color=colour)
    sheet.colorbar(image, ax=axis, shrink=0.9)


def layer_axis(axis: Any) -> None:
    """Whole numbers only: there is no layer 1.5."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def layer_names(count: int) -> list[str]:
    """Layers are counted from 1, as in the paper's figure 6 (28-32 of 32)."""
    return [str(number) for number in range(1, count + 1)]


def write(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Writes `<name>.svg` and `<name>.png` of each figure; returns the paths."""
    paths = []
    with style():
        for figure in figures:
            # The layout is found once, for both formats.
            figure.drawn.get_layout_engine().execute(figure.drawn)
            figure.drawn.set_layout_engine("none")
            for suffix in (".svg", ".png"):
                path = folder / f"{figure.name}{suffix}"
                with atomic(path) as temporary:
                    kind = {
                        "format": suffix[1:],
                        "metadata": {"Date": None} if suffix == ".svg" else {"Software": None},
                    }
                    figure.drawn.savefig(temporary, dpi=PNG_DPI, **kind)
                paths.append(path)
    return paths
