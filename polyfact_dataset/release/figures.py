"""The figures of the card: PNG on white, for light and dark pages, drawn from the statistics and the manifest.

Each picture carries the digest of the content that it shows, so that `polyfact card --check` tells an old one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.pipeline.stages import TIER
from polyfact_dataset.release.stats import popularity_names
from polyfact_dataset.schema import TIERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = ("figures/relations.png", "figures/coverage.png", "figures/popularity.png")
_TIER_COLOURS = {"gold": "#c9a227", "silver": "#9aa7b4", "bronze": "#9c5a3c"}
_SERIES = ("#1f5fa8", "#d9822b", "#3a9a6b")
_INK, _RULE = "#24292f", "#d5dae0"
_ROW_INCHES, _DOTS_PER_INCH = 0.25, 150


def _axes(rows: int, title: str) -> tuple[Figure, Axes]:
    """A figure with so many horizontal bars."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, rows * _ROW_INCHES + 1.25), dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=_INK, pad=24)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
    axes.tick_params(length=0, labelsize=9, colors=_INK)
    axes.set_axisbelow(True)
    return figure, axes


def _legend(axes: Axes) -> None:
    place = {"loc": "lower left", "bbox_to_anchor": (-0.01, 1.0), "ncols": 4}
    axes.legend(**place, frameon=False, fontsize=9, handlelength=1.1, labelcolor=_INK)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color=_RULE, linewidth=0.7)


def relations(statistics: Mapping[str, Any]) -> Figure:
    """Facts per relation, stacked by tier."""
    entries = list(statistics["relations"].values())
    figure, axes = _axes(len(entries), "Facts per relation, by quality tier")
    left = [0] * len(entries)
    for tier in TIERS:
        widths = [entry["tiers"][tier] for entry in entries]
        axes.barh(range(len(entries)), widths, left=left, height=0.72, color=_TIER_COLOURS[tier], label=tier)
        left = [start + width for start, width in zip(left, widths)]
    # Set, not left to margins: a tier without facts would hold the axis at the end of the bars.
    axes.set_xlim(0, 1.02 * max(left))
    _rows(axes, [entry["label"] for entry in entries])
    axes.set_xlabel("facts", fontsize=9, color=_INK)
    _legend(axes)
    return figure


def coverage(attested: Mapping[str, Mapping[str, int]], languages: Sequence[str], facts: int) -> Figure:
    """Per language, the share of facts whose subject, answer and whole item Wikidata attests."""
    figure, axes = _axes(2 * len(languages), "Labels attested in Wikidata, by language")
    names = (("subjects", "subject"), ("answers", "answer"), ("whole", "subject and all four options"))
    for place, (key, label) in enumerate(names):
        shares = [100 * attested[code][key] / facts for code in languages]
        heights = [row + (place - 1) * 0.26 for row in range(len(shares))]
        axes.barh(heights, shares, height=0.24, color=_SERIES[place], label=label)
    _rows(axes, [f"{language(code).name} ({code})" for code in languages])
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of facts", fontsize=9, color=_INK)
    _legend(axes)
    return figure


def popularity(statistics: Mapping[str, Any]) -> Figure:
    """Facts by the number of their subject's sitelinks, stacked by tier."""
    figure, axes = _axes(10, "Popularity of the subjects, by quality tier")
    names, bottom = popularity_names(), [0] * len(popularity_names())
    for tier in TIERS:
        heights = statistics["popularity"]["bins"][tier]
        axes.bar(range(len(names)), heights, bottom=bottom, width=0.8, color=_TIER_COLOURS[tier], label=tier)
        bottom = [start + height for start, height in zip(bottom, heights)]
    axes.set_xticks(range(len(names)), names)
    axes.grid(axis="y", color=_RULE, linewidth=0.7)
    axes.set_xlabel("Wikimedia sitelinks of the subject", fontsize=9, color=_INK)
    axes.set_ylabel("facts", fontsize=9, color=_INK)
    _legend(axes)
    return figure


def _png(figure: Figure, content: str) -> bytes:
    sink = BytesIO()
    figure.savefig(sink, format="png", metadata={"Software": None, "Description": f"content {content}"})
    return sink.getvalue()


def draw(statistics: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Path in the release -> PNG, for every figure."""
    attested, content = manifest["stages"][TIER.name]["counts"]["attested"], manifest["content"]
    covered = coverage(attested, manifest["build"]["config"]["languages"], statistics["facts"])
    drawn = (relations(statistics), covered, popularity(statistics))
    return {name: _png(figure, content) for name, figure in zip(FIGURES, drawn, strict=True)}


def content_shown(picture: bytes, name: str) -> str:
    """The digest of the content that a figure shows. Raises `DataError` when it is none of ours."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(picture)) as image:
            said = str(image.info.get("Description", ""))
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{name} is no PNG: {error}") from error
    return said.removeprefix("content ")
