"""Failure modes of generated answers, and which answers training corrected or broke (paper, appendix C; figure 10).

    python -m baselines.analysis.failure_modes --result base.open.json --output base.failures.json

`--result` is a result of `baselines.evaluate.open` or `.klar`: each answer is correct, the right fact in another
language, a wrong entity in the right language, or incoherent. Here the other language is named, answers are separated
by proper and common nouns, and (in the report) two models are compared answer by answer.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

from baselines import figures
from baselines.analysis import common, failures, files
from baselines.analysis.common import Loaded
from baselines.evaluate import options, results
from baselines.evaluate.results import MODES
from baselines.evaluate.summary import noun_of
from baselines.figures import Figure
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.plot_style import COLOURS

NOUNS = ("proper", "common")


def summarise(table: pa.Table, languages: Sequence[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Rows of `results.GENERATIONS` -> metrics by language, and per answer `facts`, `languages`, `nouns`, `modes`.

    Answers are sorted by fact and language, so that the rows of two models are aligned.
    """
    table = table.sort_by([("fact_id", "ascending"), ("language", "ascending")])
    rows = table.select(["fact_id", "language", "group", "prediction", "accepted", "mode"]).to_pylist()
    accepted: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        accepted.setdefault(row["fact_id"], {})[row["language"]] = row["accepted"]
    codes = np.array([row["language"] for row in rows], dtype=str)
    nouns = np.array([noun_of(row["group"]) for row in rows], dtype=str)
    modes = np.array([MODES.index(row["mode"]) for row in rows], np.int64)
    metrics: dict[str, Any] = {}
    for code in languages:
        selected = codes == code
        wrong = [rows[int(n)] for n in np.flatnonzero(selected & (modes == MODES.index("wrong_language")))]
        answered_in = [failures.answer_languages(row["prediction"], code, accepted[row["fact_id"]]) for row in wrong]
        metrics[code] = {
            "items": int(selected.sum()),
            "modes": _counts(modes[selected]),
            "nouns": {noun: _counts(modes[selected & (nouns == noun)]) for noun in NOUNS},
            "answered_in": failures.shares(answered_in, languages),
        }
    facts = np.array([row["fact_id"] for row in rows], dtype=str)
    return metrics, {"facts": facts, "languages": codes, "nouns": nouns, "modes": modes}


def _counts(modes: NDArray[np.int64]) -> dict[str, int]:
    return dict(zip(MODES, np.bincount(modes, minlength=len(MODES)).tolist()))


def draw(loaded: Sequence[Loaded]) -> list[Figure]:
    """Modes by language, the languages of wrong-language answers, and for each further model its flow and gains."""
    codes = loaded[0][0].languages
    with figures.style():
        sheet, axes = figures.canvas(len(loaded), 1, 4.6, 3.2)
        for axis, (result, _) in zip(axes[0], loaded):
            below = np.zeros(len(codes))
            for number, mode in enumerate(MODES):
                parts = [result.metrics[code] for code in codes]
                values = np.array([100 * part["modes"][mode] / max(part["items"], 1) for part in parts])
                look = {"color": COLOURS[number], "hatch": figures.HATCHES[number], "edgecolor": "white"}
                axis.bar(codes, values, bottom=below, label=mode.replace("_", " "), **look)
                below += values
            axis.set(title=result.label, ylabel="% of answers", ylim=(0, 100))
        axes[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        drawn = [Figure("failure_modes", "Failure modes by language.", sheet)]

        sheet, axes = figures.canvas(len(loaded), 1, 4.0, 3.6)
        for axis, (result, _) in zip(axes[0], loaded):
            grid = [[result.metrics[code]["answered_in"][other] for other in codes] for code in codes]
            figures.heat(sheet, axis, grid, codes, codes, vmin=0, vmax=max(1, np.max(grid)))
            axis.set(title=result.label, xlabel="language of the answer", ylabel="language of the question")
        drawn.append(Figure("failure_languages", "Right facts in another language: which.", sheet))
        for result, arrays in loaded[1:]:
            drawn.append(_draw_flow(loaded[0], (result, arrays)))
        if len(loaded) > 1:
            drawn.append(_draw_gains(loaded))
    return drawn


def _draw_flow(base: Loaded, trained: Loaded) -> Figure:
    table = failures.flow(base[1]["modes"], _aligned(base, trained)["modes"])
    sheet, axes = figures.canvas(width=4.6, height=3.6)
    names = [mode.replace("_", " ") for mode in MODES]
    figures.heat(sheet, axes[0, 0], table, names, names, numbers=True)
    axes[0, 0].set(xlabel=trained[0].label, ylabel=base[0].label)
    axes[0, 0].tick_params(axis="x", rotation=20)
    caption = f"Answers of {base[0].label} (rows) and what they are for {trained[0].label} (columns)."
    return Figure(f"failure_flow_{files.slug(trained[0].label)}", caption, sheet)


def _draw_gains(loaded: Sequence[Loaded]) -> Figure:
    codes = loaded[0][0].languages
    sheet, axes = figures.canvas(1, len(loaded) - 1, 7, 2.6)
    for axis, trained in zip(axes[:, 0], loaded[1:]):
        gains = {noun: [100 * (_gain(loaded[0], trained, code, noun) or 0.0) for code in codes] for noun in NOUNS}
        figures.grouped_bars(axis, codes, gains, "accuracy, points")
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_title(f"{loaded[0][0].label} to {trained[0].label}")
    return Figure("failure_nouns", "Change of accuracy by kind of noun (paper, figure 10).", sheet)


def _aligned(base: Loaded, trained: Loaded) -> Any:
    """The arrays of `trained`, after checking that they are about the answers of `base`."""
    for name in ("facts", "languages"):
        if not np.array_equal(base[1][name], trained[1][name]):
            raise DataError(f"{base[0].label} and {trained[0].label} answered different questions; evaluate both alike")
    return trained[1]


def _gain(base: Loaded, trained: Loaded, code: str, noun: str | None = None) -> float | None:
    after = _aligned(base, trained)
    selected = (base[1]["languages"] == code) & ((base[1]["nouns"] == noun) | (noun is None))
    if not selected.any():
        return None
    right = [(arrays["modes"][selected] == failures.CORRECT).mean() for arrays in (after, base[1])]
    return float(right[0] - right[1])


def compare(loaded: Sequence[Loaded]) -> list[dict[str, Any]]:
    """Rows of model and language: rates, and the answers corrected and broken since the first model.

    `proper among broken`: share of the broken answers that belong to relations with proper-noun answers.
    """
    rows = []
    base = loaded[0]
    for result, arrays in loaded:
        after = _aligned(base, (result, arrays))
        for code in result.languages:
            selected = base[1]["languages"] == code
            part = result.metrics[code]
            row: dict[str, Any] = {"model": result.label, "language": code, "answers": part["items"]}
            row |= {
                f"{mode.replace('_', ' ')} (%)": 100 * n / max(part["items"], 1) for mode, n in part["modes"].items()
            }
            table = failures.flow(base[1]["modes"][selected], after["modes"][selected])
            lost = selected & (base[1]["modes"] == failures.CORRECT) & (after["modes"] != failures.CORRECT)
            row |= {f"corrected, was {mode.replace('_', ' ')}": n for mode, n in failures.corrected(table).items()}
            row |= {f"broken, is {mode.replace('_', ' ')}": n for mode, n in failures.broken(table).items()}
            proper = 100 * float((base[1]["nouns"][lost] == "proper").mean()) if lost.any() else None
            rows.append({**row, "proper among broken (%)": proper})
    return rows


def main(
    result: Annotated[Path, typer.Option(help="Result of baselines.evaluate.open or .klar (.json).")],
    output: options.Output,
    label: options.Label = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Classify how each generated answer fails."""
    files.prepare(output, overwrite)
    evaluated = results.load_result(result)
    analysis = common.Analysis("failure_modes", output, label or evaluated.label, draw)
    if evaluated.kind not in ("open", "klar"):
        raise ConfigError(f"{result} is of kind {evaluated.kind}; failure modes need generated answers: open or klar")
    metrics, arrays = summarise(results.load_scores(result, evaluated), evaluated.data.languages)
    inputs = evaluated.data.model_dump(mode="json")
    settings = {"kind": evaluated.kind, "prompt": evaluated.prompt.sha256}
    model = {**evaluated.model, "answers": evaluated.scores.sha256}
    analysis.finish(metrics, arrays, evaluated.data.languages, [model], inputs, settings)


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
