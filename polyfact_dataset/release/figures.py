"""The figures of the card: PNG on white, for light and dark pages, drawn from the statistics and the manifest.

Each picture carries the digest of the content that it shows, so that `polyfact card --check` detects outdated ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.plot_style import (
    COLOURS,
    TIER_COLOURS,
    bare_axes,
    legend_above,
    name_rows,
    png,
    stacked_bars,
    style,
)
from polyfact_dataset.pipeline.stages import TIER
from polyfact_dataset.release.stats import popularity_names
from polyfact_dataset.schema import TIERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = ("figures/relations.png", "figures/coverage.png", "figures/popularity.png")
_ROW_INCHES, _DOTS_PER_INCH = 0.25, 150


def _axes(rows: int, title: str) -> tuple[Figure, Axes]:
    """A figure with space for this many rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, rows * _ROW_INCHES + 1.25), dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, pad=24)
    bare_axes(axes)
    return figure, axes


def relations(statistics: Mapping[str, Any]) -> Figure:
    """Facts per relation, stacked by tier."""
    entries = list(statistics["relations"].values())
    figure, axes = _axes(len(entries), "Facts per relation, by quality tier")
    parts = {tier: [entry["tiers"][tier] for entry in entries] for tier in TIERS}
    stacked_bars(axes, parts, [TIER_COLOURS[tier] for tier in TIERS], horizontal=True)
    # Set explicitly: with automatic margins, a tier without facts would cut the axis at the end of the bars.
    axes.set_xlim(0, 1.02 * max(sum(entry["tiers"][tier] for tier in TIERS) for entry in entries))
    name_rows(axes, [entry["label"] for entry in entries])
    axes.set_xlabel("facts")
    legend_above(axes)
    return figure


def coverage(attested: Mapping[str, Mapping[str, int]], languages: Sequence[str], facts: int) -> Figure:
    """Per language, the share of facts whose subject, answer and whole item have attested labels."""
    figure, axes = _axes(2 * len(languages), "Labels attested, by language")
    names = (("subjects", "subject"), ("answers", "answer"), ("whole", "subject and all four options"))
    for position, (key, label) in enumerate(names):
        shares = [100 * attested[code][key] / facts for code in languages]
        heights = [row + (position - 1) * 0.26 for row in range(len(shares))]
        axes.barh(heights, shares, height=0.24, color=COLOURS[position], label=label)
    name_rows(axes, [f"{language(code).name} ({code})" for code in languages])
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of facts")
    legend_above(axes)
    return figure


def popularity(statistics: Mapping[str, Any]) -> Figure:
    """Facts by the number of their subject's sitelinks, stacked by tier."""
    figure, axes = _axes(10, "Popularity of the subjects, by quality tier")
    names = popularity_names()
    parts = {tier: statistics["popularity"]["bins"][tier] for tier in TIERS}
    stacked_bars(axes, parts, [TIER_COLOURS[tier] for tier in TIERS], horizontal=False)
    axes.set_xticks(range(len(names)), names)
    axes.grid(axis="x", visible=False)
    axes.grid(axis="y")
    axes.set_xlabel("Wikimedia sitelinks of the subject")
    axes.set_ylabel("facts")
    legend_above(axes)
    return figure


def _png(figure: Figure, content: str) -> bytes:
    sink = BytesIO()
    png(figure, sink, f"content {content}")
    return sink.getvalue()


def draw(statistics: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Path in the release -> PNG, for every figure."""
    attested, content = manifest["stages"][TIER.name]["counts"]["attested"], manifest["content"]
    languages = manifest["build"]["config"]["languages"]
    with style():
        drawn = (
            relations(statistics),
            coverage(attested, languages, statistics["facts"]),
            popularity(statistics),
        )
        return {name: _png(figure, content) for name, figure in zip(FIGURES, drawn, strict=True)}


def content_shown(picture: bytes, name: str) -> str:
    """The digest of the content that a figure shows. Raises `DataError` when it is not a figure of a release."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(picture)) as image:
            description = str(image.info.get("Description", ""))
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{name} is not a PNG: {error}") from error
    return description.removeprefix("content ")
