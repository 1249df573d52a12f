"""Compares results: the paper's tables with intervals and significance, and its figures. No model is needed.

    python -m baselines.evaluate.compare Base=base.json GRPO=grpo.json klar-base.json ... --figures figures

Results of the same label are one model; the first label is the base. Intervals are 95 % paired bootstraps over facts;
`*` marks a difference from the base with p < 0.05 in a paired permutation test, uncorrected for the number of
comparisons. Results of one kind must have seen the same items. `--recompute` first checks that every stored number
follows from the scores beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from baselines.evaluate import results, tables
from baselines.evaluate.common import split_list
from baselines.evaluate.series import Series, read
from baselines.metrics import NORMALISATIONS
from polyfact_dataset.common.errors import ConfigError, DataError


def named(argument: str) -> tuple[str | None, Path]:
    """`label=path`, or a path alone, whose label the result knows."""
    label, found, path = argument.partition("=")
    return (label, Path(path)) if found and not Path(argument).exists() else (None, Path(argument))


def benchmark(series: Series) -> str:
    """What results can be compared with: the kind, and for Global-MMLU whether it is Lite."""
    kind = series.result.kind
    return series.result.data.config if kind == "global_mmlu" else kind


def collect(loaded: Sequence[Series], strict: bool) -> dict[str, dict[str, Series]]:
    """Benchmark -> label -> result. `strict`: results must have the same languages.

    Raises `DataError` for two results of one label and for results that saw different items.
    """
    found: dict[str, dict[str, Series]] = {}
    for series in loaded:
        own = found.setdefault(benchmark(series), {})
        if series.label in own:
            raise DataError(
                f"{own[series.label].path} and {series.path} are both {benchmark(series)} of {series.label!r}; "
                "give one another name: NAME=FILE"
            )
        own[series.label] = series
    for own in found.values():
        members = {str(series.path): series.result for series in own.values()}
        languages = next(iter(own.values())).languages
        if strict:
            languages = list(dict.fromkeys(code for result in members.values() for code in result.data.languages))
        results.refuse_mixing(members, languages)
    return found


def prompt_notes(found: dict[str, dict[str, Series]]) -> list[str]:
    """What differs between results besides the model."""
    notes = []
    for own in found.values():
        first, *others = own.values()
        for other in others:
            if other.result.prompt != first.result.prompt:
                notes.append(f"{first.path} and {other.path} used different prompts")
            if other.normalisation != first.normalisation:
                notes.append(f"{first.path} and {other.path} score per {first.normalisation}, {other.normalisation}")
            for name in ("names", "boundary", "template", "new_tokens"):
                if first.result.settings.get(name) != other.result.settings.get(name):
                    notes.append(f"{first.path} and {other.path} differ in the setting {name}")
    return notes


def main(
    files: Annotated[
        list[str], typer.Argument(help="Results, as FILE or NAME=FILE. The first one's model is the base.")
    ],
    normalisation: Annotated[str, typer.Option(help="byte, sum, token or char.")] = "byte",
    languages: Annotated[str | None, typer.Option(help="Compare in these languages alone.")] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Check all stored numbers against the scores.")
    ] = False,
    figures: Annotated[Path | None, typer.Option(help="Folder to draw the figures into, PNG and SVG.")] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples and permutations.")] = 5000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resampling.")] = 42,
) -> None:
    """Print the tables of one or more results."""
    if normalisation not in NORMALISATIONS:
        raise ConfigError(f"--normalisation {normalisation!r} is unknown; known are {', '.join(NORMALISATIONS)}")
    codes = split_list(languages)
    loaded = [read(path, label, normalisation, codes, recompute) for label, path in map(named, files)]
    found = collect(loaded, strict=codes is None)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for note in prompt_notes(found):
        console.print(f"note: {note}", markup=False)
    if recompute:
        console.print(f"recomputed: every number of {len(loaded)} results follows from its scores", markup=False)
    print("\n\n".join(tables.all_tables(found, tables.Uncertainty(resamples, seed))))
    if figures:
        from baselines.cli import need
        from baselines.evaluate.figures import draw_all

        need("eval", "matplotlib")
        for path in draw_all(found, figures):
            console.print(f"drew {path}", markup=False)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
