"""The style of all figures: colours, grids, legends and deterministic files.

matplotlib is imported inside the functions, since most commands draw nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): safe for colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
TIER_COLOURS = {"gold": "#c9a227", "silver": "#9aa7b4", "bronze": "#9c5a3c"}
INK, MUTED, RULE = "#24292f", "#656d76", "#d5dae0"


def settings(ink: str = INK, muted: str = MUTED, rule: str = RULE) -> dict[str, Any]:
    """matplotlib's settings of the house style. No dates and no random ids: equal numbers give equal files."""
    return {
        "font.size": 9,
        "legend.frameon": False,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": rule,
        "axes.labelcolor": muted,
        "grid.color": rule,
        "grid.linewidth": 0.7,
        "text.color": ink,
        "xtick.color": rule,
        "ytick.color": rule,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "svg.hashsalt": "polyfact",
    }


@contextmanager
def style(**overrides: Any) -> Iterator[None]:
    """The house style for what is drawn inside, with some of matplotlib's settings overridden; opens no window."""
    import matplotlib

    matplotlib.use("agg")
    with matplotlib.rc_context({**settings(), **overrides}):
        yield


def bare_axes(axes: Axes) -> None:
    """Axes of a chart with one row per name: no frame but the bottom, no tick marks, vertical grid lines."""
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="x")


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """One row per name, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)


def legend_above(axes: Axes, columns: int = 4) -> None:
    """The legend in one line above the axes."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        borderaxespad=0.1,
        handlelength=1.0,
        columnspacing=1.2,
        handletextpad=0.4,
    )


def stacked_bars(axes: Axes, series: Mapping[str, Sequence[float]], colours: Sequence[str], horizontal: bool) -> None:
    """Bars end to end: one row, or column, per place and one part per series."""
    width = len(next(iter(series.values())))
    start = [0.0] * width
    for (label, values), colour in zip(series.items(), colours, strict=True):
        if horizontal:
            axes.barh(range(width), values, 0.7, left=start, color=colour, label=label)
        else:
            axes.bar(range(width), values, 0.8, bottom=start, color=colour, label=label)
        start = [before + value for before, value in zip(start, values)]


def png(figure: Figure, sink: Any, description: str) -> None:
    """Writes a PNG without the version of the software; `description` is kept in its metadata."""
    figure.savefig(sink, format="png", metadata={"Software": None, "Description": description})
