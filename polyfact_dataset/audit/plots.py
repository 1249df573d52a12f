"""Plots of the report as inline SVG that follows the reader's colours.

Text stays text and colours are CSS variables, so that the page's light and dark styles apply; nothing depends on
installed fonts. Figures are as wide as a phone and scale up; the same data give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from polyfact_dataset.audit.result import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What matplotlib draws with, the variable that stands for it in the page, and its values in light and dark.
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
_SERIES = ("one", "two", "three", "four", "five", "six")
_INCH_ROW = 0.23


def _variables(column: int) -> str:
    return "".join(f"--{entry[0]}:{entry[column]};" for entry in _COLOURS.values())


STYLE = f":root{{{_variables(1)}}}@media(prefers-color-scheme:dark){{:root{{{_variables(2)}}}}}"


def _figure(rows: float, left: float) -> tuple[Figure, Axes]:
    """A figure of so many rows, with `left` inches for their names."""
    from matplotlib.figure import Figure

    width, height = 4.7, rows * _INCH_ROW + 0.95
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left / width, 0.45 / height, (width - left - 0.12) / width, (height - 0.85) / height))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="x", color=_HEX["rule"], linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)


def _legend(axes: Axes, columns: int = 4) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        frameon=False,
        borderaxespad=0.1,
        handlelength=1.0,
        columnspacing=1.2,
        handletextpad=0.4,
    )


def _svg(figure: Figure, alt: str) -> str:
    """The figure as an SVG element with CSS variables for colours and only the ids that something refers to."""
    sink = StringIO()
    figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None})
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for code, (name, _, _) in _COLOURS.items():
        text = text.replace(code, f"var(--{name})")
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda found: found.group(0) if found.group(1) in used else "", text)
    view = re.search(r'viewBox="[^"]+"', text)
    assert view is not None
    opening = f'<svg role="img" aria-label="{alt}" xmlns="http://www.w3.org/2000/svg" {view.group(0)}>'
    opening = opening.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ')
    return opening + text[text.index(">") + 1 :]


def _pooled(section: Section) -> Figure | None:
    """Accuracy of every rule by split with three errors; a bar marks what exchangeable options would give."""
    cells = [row for row in section.series.get("pooled", ()) if row[1] != "all"]
    if not cells:
        return None
    rules = list(dict.fromkeys(row[0] for row in cells))
    splits = list(dict.fromkeys(row[1] for row in cells))
    figure, axes = _figure(len(rules) * 1.25, 1.5)
    axes.axvline(25, color=_HEX["muted"], linewidth=1)
    for number, split in enumerate(splits):
        own = [row for row in cells if row[1] == split]
        places = [rules.index(row[0]) + 0.26 * (number - (len(splits) - 1) / 2) for row in own]
        colour = _HEX[_SERIES[number]]
        axes.errorbar(
            [100 * row[4] for row in own],
            places,
            xerr=[300 * row[6] for row in own],
            fmt="o",
            markersize=3.2,
            linewidth=1.2,
            color=colour,
            label=split,
        )
        shifted = [(place, row) for place, row in zip(places, own) if abs(row[5] - 0.25) > 1e-3]
        axes.plot(
            [100 * row[5] for _, row in shifted], [place for place, _ in shifted], "|", markersize=7, color=colour
        )
    _rows(axes, [rule.replace("_", " ") for rule in rules])
    axes.set_xlabel("accuracy in %, with three standard errors")
    _legend(axes)
    return figure


def _distances(section: Section) -> Figure | None:
    """Errors from expectation of every rule and language on the last split: area by size, colour by side."""
    cells = section.series.get("single", ())
    if not cells:
        return None
    split = list(dict.fromkeys(row[1] for row in cells))[-1]
    own = [row for row in cells if row[1] == split]
    rules, codes = list(dict.fromkeys(row[0] for row in own)), list(dict.fromkeys(row[2] for row in own))
    figure, axes = _figure(len(rules), 1.5)
    for colour, side, sign in (("two", "above (largest: 10 or more)", 1), ("one", "below", -1)):
        chosen = [row for row in own if row[7] * sign > 0]
        axes.scatter(
            [codes.index(row[2]) for row in chosen],
            [rules.index(row[0]) for row in chosen],
            s=[min(9 * abs(row[7]), 90) for row in chosen],
            color=_HEX[colour],
            label=side,
        )
    axes.set_xticks(range(len(codes)), codes)
    axes.set_xlim(-0.6, len(codes) - 0.4)
    _rows(axes, [rule.replace("_", " ") for rule in rules])
    axes.set_xlabel(f"standard errors from expectation, {split}")
    _legend(axes, 2)
    return figure


def _shares(section: Section) -> Figure | None:
    """Share of questions taken for another language."""
    rows = section.series.get("shares")
    if not rows or not any(row[1] for row in rows):
        return None
    figure, axes = _figure(len(rows), 0.5)
    axes.barh(
        [place - 0.18 for place in range(len(rows))],
        [100 * row[1] for row in rows],
        0.34,
        color=_HEX["one"],
        label="taken for another",
    )
    axes.barh(
        [place + 0.18 for place in range(len(rows))],
        [100 * row[2] for row in rows],
        0.34,
        color=_HEX["two"],
        label="surely",
    )
    axes.set_xlim(0, max(1.0, *(105 * row[1] for row in rows)))
    _rows(axes, [row[0] for row in rows])
    axes.set_xlabel("% of questions")
    _legend(axes)
    return figure


def _lengths(section: Section) -> Figure | None:
    """Length of the wordings against English."""
    rows = section.series.get("lengths")
    if not rows:
        return None
    figure, axes = _figure(len(rows), 0.5)
    for place, (_, low, middle, high, _) in enumerate(rows):
        axes.plot([low, high], [place, place], color=_HEX["one"], linewidth=3, alpha=0.45, solid_capstyle="round")
        axes.plot([middle], [place], "o", color=_HEX["one"], markersize=5)
    axes.set_xlim(0, None)
    _rows(axes, [row[0] for row in rows])
    axes.set_xlabel("times the English wording: median, 1st to 99th percentile")
    return figure


def _relations(section: Section) -> Figure | None:
    """Share of each relation in each split."""
    rows = section.series.get("relations")
    if not rows:
        return None
    figure, axes = _figure(len(rows), 0.6)
    for number, split in enumerate(rows[0][1]):
        axes.plot(
            [100 * own[split] for _, own in rows],
            range(len(rows)),
            "os^"[number % 3],
            markersize=4.5,
            color=_HEX[_SERIES[number]],
            label=split,
            alpha=0.85,
        )
    axes.set_xlim(0, None)
    _rows(axes, [relation for relation, _ in rows])
    axes.set_xlabel("% of the split's facts")
    _legend(axes)
    return figure


def _positions(section: Section) -> Figure | None:
    """How often each position holds the gold."""
    rows = section.series.get("positions")
    if not rows:
        return None
    figure, axes = _figure(len(rows), 0.5)
    for slot, name in enumerate(("first", "second", "third", "fourth")):
        shares = [100 * row[1 + slot] / max(sum(row[1:]), 1) for row in rows]
        axes.plot(
            shares, range(len(rows)), "os^D"[slot], markersize=4.5, color=_HEX[_SERIES[slot]], label=name, alpha=0.85
        )
    axes.axvline(25, color=_HEX["muted"], linewidth=1)
    _rows(axes, [row[0] for row in rows])
    axes.set_xlabel("% of golds")
    _legend(axes)
    return figure


def _provenance(section: Section) -> Figure | None:
    """Where the options' labels are from."""
    kinds, rows = section.series.get("provenance", ((), ()))
    if not rows:
        return None
    figure, axes = _figure(len(rows) + 0.8, 0.5)
    start = [0.0] * len(rows)
    for number, kind in enumerate(kinds):
        widths = [100 * row[1 + number] for row in rows]
        axes.barh(range(len(rows)), widths, 0.66, left=start, color=_HEX[_SERIES[number % len(_SERIES)]], label=kind)
        start = [before + width for before, width in zip(start, widths)]
    _rows(axes, [row[0] for row in rows])
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of options")
    _legend(axes, 6)
    return figure


def _popularity(section: Section) -> Figure | None:
    """Sitelinks of the subjects."""
    bins, rows = section.series.get("bins"), section.series.get("popularity")
    if not bins or not rows:
        return None
    figure, axes = _figure(len(bins), 0.8)
    for number, (split, counts) in enumerate(rows):
        shares = [100 * count / max(sum(counts), 1) for count in counts]
        axes.plot(
            shares,
            range(len(bins)),
            "os^"[number % 3],
            markersize=4.5,
            linestyle="-",
            linewidth=1,
            color=_HEX[_SERIES[number]],
            label=split,
        )
    axes.set_xlim(0, None)
    _rows(axes, bins)
    axes.set_xlabel("% of the split's facts, by sitelinks of the subject")
    _legend(axes)
    return figure


_NOTES = {
    "Accuracy of rules that know no fact": "A tick marks what exchangeable options give where that is not 25 %: "
    "inside train, where the item itself is left out of the counts.",
}
_DRAWN: dict[str, tuple[tuple[str, Callable[[Section], Any]], ...]] = {
    "shortcuts": (("Accuracy of rules that know no fact", _pooled), ("Distance by rule and language", _distances)),
    "parallelism": (("Length of the wording against English", _lengths),),
    "language_id": (("Questions taken for another language", _shares),),
    "balance": (("Relations", _relations), ("Position of the gold", _positions)),
    "labels": (("Provenance of labels", _provenance),),
    "popularity": (("Popularity of the subjects", _popularity),),
}


def draw(section: Section) -> list[dict[str, str]]:
    """The section's plots: title, SVG and note each."""
    import matplotlib

    settings: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "polyfact",
        "font.size": 11,
        "legend.fontsize": 10,
        "text.color": _HEX["ink"],
        "axes.labelcolor": _HEX["muted"],
        "axes.edgecolor": _HEX["rule"],
        "xtick.color": _HEX["rule"],
        "ytick.color": _HEX["rule"],
        "xtick.labelcolor": _HEX["muted"],
        "ytick.labelcolor": _HEX["ink"],
    }
    with matplotlib.rc_context(settings):
        drawn = [(title, draw(section)) for title, draw in _DRAWN.get(section.name, ())]
        return [
            {"title": title, "svg": _svg(figure, title), "note": _NOTES.get(title, "")}
            for title, figure in drawn
            if figure is not None
        ]
