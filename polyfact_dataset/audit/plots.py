"""Charts of the report as inline SVG in light and dark colours.

Text remains text and colours are CSS variables, so that the page's light and dark styles apply; installed fonts have
no effect. Figures have the width of a phone and scale up; equal data give equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING

from polyfact_dataset.audit.result import Chart, Section
from polyfact_dataset.common.plot_style import bare_axes, legend_above, name_rows, settings, stacked_bars, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib's colour, its CSS variable in the page, and the variable's values in light and dark.
_COLOURS = {
    "#010203": ("ink", "#1f2328", "#e6e8eb"),
    "#010204": ("muted", "#656d76", "#9aa4af"),
    "#010205": ("rule", "#d5dae0", "#3a424c"),
    "#010206": ("one", "#1f6feb", "#6ea8fe"),
    "#010207": ("two", "#c2500a", "#ff9f5a"),
    "#010208": ("three", "#1a7f4b", "#5fd49a"),
    "#010209": ("four", "#8250df", "#c09bff"),
    "#01020a": ("five", "#a40e5c", "#ff86be"),
    "#01020b": ("six", "#6b6b00", "#d9d36a"),
}
_HEX = {name: code for code, (name, _, _) in _COLOURS.items()}
_SERIES = tuple(_HEX[name] for name in ("one", "two", "three", "four", "five", "six"))
_MARKERS = "os^Dv"
_INCH_ROW, _INCH_LETTER = 0.23, 0.083
# Area of a bubble per standard error, in square points, and the largest one.
_BUBBLE, _BUBBLE_MOST = 9, 90


def _variables(column: int) -> str:
    return "".join(f"--{entry[0]}:{entry[column]};" for entry in _COLOURS.values())


STYLE = f":root{{{_variables(1)}}}@media(prefers-color-scheme:dark){{:root{{{_variables(2)}}}}}"


def _figure(chart: Chart) -> tuple[Figure, Axes]:
    """A figure with a row per name, and space for the names on the left."""
    from matplotlib.figure import Figure

    scale = 1.25 if chart.kind == "points" and len(chart.series) > 1 and chart.series[0].errors else 1.0
    left = 0.25 + _INCH_LETTER * max(map(len, chart.rows))
    width, height = 4.7, len(chart.rows) * _INCH_ROW * scale + 0.95
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left / width, 0.45 / height, (width - left - 0.12) / width, (height - 0.85) / height))
    bare_axes(axes)
    name_rows(axes, chart.rows)
    axes.set_xlabel(chart.axis)
    if chart.reference is not None:
        axes.axvline(chart.reference, color=_HEX["muted"], linewidth=1)
    return figure, axes


def _places(chart: Chart, number: int) -> list[float]:
    """The rows of a series, shifted where they have error bars so that these do not overlap."""
    shift = 0.26 * (number - (len(chart.series) - 1) / 2) if chart.series[0].errors else 0.0
    return [row + shift for row in range(len(chart.rows))]


def _points(axes: Axes, chart: Chart) -> None:
    for number, series in enumerate(chart.series):
        colour, places = _SERIES[number % len(_SERIES)], _places(chart, number)
        kept = [(row, value) for row, value in enumerate(series.values) if value is not None]
        axes.errorbar(
            [value for _, value in kept],
            [places[row] for row, _ in kept],
            xerr=[series.errors[row] for row, _ in kept] if series.errors else None,
            fmt=_MARKERS[number % len(_MARKERS)],
            markersize=3.5 if series.errors else 4.5,
            linewidth=1.2,
            linestyle="-" if chart.kind == "lines" else "",
            color=colour,
            label=series.name,
            alpha=0.9,
        )
        marked = [
            row for row, _ in kept if series.expected and abs(series.expected[row] - (chart.reference or 0)) > 0.1
        ]
        axes.plot([series.expected[row] for row in marked], [places[row] for row in marked], "|", ms=7, color=colour)


def _bars(axes: Axes, chart: Chart) -> None:
    height = 0.68 / len(chart.series)
    for number, series in enumerate(chart.series):
        places = [row + height * (number - (len(chart.series) - 1) / 2) for row in range(len(chart.rows))]
        axes.barh(places, [value or 0.0 for value in series.values], height, color=_SERIES[number], label=series.name)


def _stacked(axes: Axes, chart: Chart) -> None:
    parts = {series.name: [value or 0.0 for value in series.values] for series in chart.series}
    stacked_bars(axes, parts, [_SERIES[number % len(_SERIES)] for number in range(len(parts))], horizontal=True)


def _ranges(axes: Axes, chart: Chart) -> None:
    low, middle, high = (series.values for series in chart.series)
    for row in range(len(chart.rows)):
        ends = [value for value in (low[row], high[row]) if value is not None]
        axes.plot(ends, [row] * len(ends), color=_HEX["one"], linewidth=3, alpha=0.45, solid_capstyle="round")
        centre = middle[row]
        if centre is not None:
            axes.plot([centre], [row], "o", color=_HEX["one"], markersize=5)


def _bubbles(axes: Axes, chart: Chart) -> None:
    for colour, label, sign in ((_HEX["two"], "above (largest: 10 or more)", 1), (_HEX["one"], "below", -1)):
        cells = [
            (column, row, abs(value))
            for column, series in enumerate(chart.series)
            for row, value in enumerate(series.values)
            if value is not None and value * sign > 0
        ]
        areas = [min(_BUBBLE * value, _BUBBLE_MOST) for _, _, value in cells]
        axes.scatter([c for c, _, _ in cells], [r for _, r, _ in cells], s=areas, color=colour, label=label)
    axes.set_xticks(range(len(chart.series)), [series.name for series in chart.series])
    axes.set_xlim(-0.6, len(chart.series) - 0.4)


_KINDS: dict[str, Callable[[Axes, Chart], None]] = {
    "points": _points,
    "lines": _points,
    "bars": _bars,
    "stacked": _stacked,
    "ranges": _ranges,
    "bubbles": _bubbles,
}


def _svg(figure: Figure, alt: str) -> str:
    """The figure as an SVG element with CSS variables for colours and only the ids that are referenced."""
    sink = StringIO()
    figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None})
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for code, (name, _, _) in _COLOURS.items():
        text = text.replace(code, f"var(--{name})")
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda match: match.group(0) if match.group(1) in used else "", text)
    view = re.search(r'viewBox="[^"]+"', text)
    assert view is not None
    opening = f'<svg role="img" aria-label="{alt}" xmlns="http://www.w3.org/2000/svg" {view.group(0)}>'
    opening = opening.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ')
    return opening + text[text.index(">") + 1 :]


def _drawn(chart: Chart) -> Figure:
    figure, axes = _figure(chart)
    _KINDS[chart.kind](axes, chart)
    if chart.kind not in ("bubbles",):
        axes.set_xlim(*chart.span)
    if chart.kind != "ranges" and len(chart.series) > 1:
        legend_above(axes, {"stacked": 6, "bubbles": 2}.get(chart.kind, 4))
    return figure


def draw(section: Section) -> list[dict[str, str]]:
    """The section's charts: title, SVG and note each."""
    page = settings(_HEX["ink"], _HEX["muted"], _HEX["rule"])
    with style(**{**page, "svg.fonttype": "none", "font.size": 11, "legend.fontsize": 10}):
        return [
            {"title": chart.title, "svg": _svg(_drawn(chart), chart.title), "note": chart.note}
            for chart in section.charts
            if chart.rows and chart.series
        ]
