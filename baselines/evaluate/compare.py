"""Compare results: the paper's tables, all measures with intervals and significance, and figures. Needs no model.

    python -m baselines.evaluate.compare Base=base.json GRPO=grpo.json klar-base.json ... --figures figures

Results of the same label are one model; the first label is the base. Intervals are 95 % paired bootstraps over facts;
`*` marks a difference from the base with p < 0.05 in a paired permutation test, uncorrected for the number of
comparisons. Results of one kind must be of the same items. `--recompute` first verifies every stored metric from the
scores.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from baselines.evaluate import results, strata, summary, tables
from baselines.evaluate.aligned import AlignedScores, read
from baselines.evaluate.options import split_list
from baselines.metrics import NORMALISATIONS
from polyfact_dataset.common.errors import ConfigError, DataError

SETTINGS = ("names", "boundary", "template", "new_tokens", "engine", "chat", "thinking", "samples", "temperature")


def named(argument: str) -> tuple[str | None, Path]:
    """`label=path`, or a path alone: its label is that of the result."""
    label, equals, path = argument.partition("=")
    return (label, Path(path)) if equals and not Path(argument).exists() else (None, Path(argument))


def benchmark(scores: AlignedScores) -> str:
    """The benchmark of a result: its kind, and for Global-MMLU whether it is Lite."""
    assert scores.result is not None
    return scores.result.data.config if scores.kind == "global_mmlu" else scores.kind


def collect(loaded: Sequence[AlignedScores], strict: bool) -> tables.Benchmarks:
    """Benchmark -> label -> scores. `strict`: results must have the same languages.

    Raises `DataError` for two results of one label and for results of different items.
    """
    benchmarks: tables.Benchmarks = {}
    for scores in loaded:
        runs = benchmarks.setdefault(benchmark(scores), {})
        if scores.label in runs:
            raise DataError(
                f"{runs[scores.label].path} and {scores.path} are both {benchmark(scores)} of {scores.label!r}; "
                "give one another name: NAME=FILE"
            )
        runs[scores.label] = scores
    for runs in benchmarks.values():
        members = {str(scores.path): scores.result for scores in runs.values() if scores.result}
        languages = next(iter(runs.values())).languages
        if strict:
            languages = list(dict.fromkeys(code for result in members.values() for code in result.data.languages))
        results.refuse_mixing(members, languages)
    return benchmarks


def notes_of(benchmarks: tables.Benchmarks) -> list[str]:
    """Differences between results other than the model, and golds that differ between languages."""
    notes = []
    for runs in benchmarks.values():
        first, *others = runs.values()
        for other in others:
            assert first.result and other.result
            if other.result.prompt != first.result.prompt:
                notes.append(f"{first.path} and {other.path} used different prompts")
            if other.normalisation != first.normalisation:
                notes.append(f"{first.path} and {other.path} score per {first.normalisation}, {other.normalisation}")
            for name in SETTINGS:
                if first.result.settings.get(name) != other.result.settings.get(name):
                    notes.append(f"{first.path} and {other.path} differ in the setting {name}")
        if first.gold is not None:
            highest = first.gold.max(axis=1, keepdims=True)
            facts = int(((first.gold >= 0) & (first.gold != highest)).any(axis=1).sum())
            if facts:
                notes.append(f"{first.path}: the gold of {facts} of {len(first.facts)} facts differs between languages")
    return notes


def load(
    path: Path, label: str | None, normalisation: str, languages: Sequence[str] | None, recompute: bool
) -> AlignedScores:
    """Reads a result; with `recompute` its stored metrics must be those of its scores."""
    if recompute:
        result = results.load_result(path)
        summary.check(path, result, results.load_scores(path, result))
    return read(path, label, normalisation, languages)


def strata_tables(benchmarks: tables.Benchmarks, unsure: tables.Uncertainty) -> list[str]:
    """The tables of strata and tokenisation that the results allow."""
    optional = []
    for name, runs in benchmarks.items():
        optional += [strata.accuracy(name, runs, unsure), strata.articles(name, runs), strata.tokenisation(name, runs)]
    return [table for table in optional if table]


def stratify(benchmarks: tables.Benchmarks, by: str) -> dict[str, tables.Benchmarks]:
    """Stratum -> benchmark -> label -> scores. Only strata in which all results of a benchmark have items."""
    parts: dict[str, tables.Benchmarks] = {}
    for name, runs in benchmarks.items():
        split = {label: strata.strata_of(scores, by) for label, scores in runs.items()}
        for stratum in next(iter(split.values())):
            if all(stratum in parts_of for parts_of in split.values()):
                parts.setdefault(stratum, {})[name] = {label: parts_of[stratum] for label, parts_of in split.items()}
    return parts


def main(
    files: Annotated[
        list[str], typer.Argument(help="Results, as FILE or NAME=FILE. The first one's model is the base.")
    ],
    normalisation: Annotated[str, typer.Option(help="byte, sum, token or char.")] = "byte",
    languages: Annotated[str | None, typer.Option(help="Compare only in these languages.")] = None,
    recompute: Annotated[bool, typer.Option("--recompute", help="Verify all stored metrics from the scores.")] = False,
    figures: Annotated[Path | None, typer.Option(help="Folder to draw the figures into, PNG and SVG.")] = None,
    by: Annotated[
        str | None, typer.Option(help="Print every table for each stratum: script, popularity, article or domain.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples and permutations.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resampling.")] = 42,
) -> None:
    """Print the tables of one or more results."""
    if normalisation not in NORMALISATIONS:
        raise ConfigError(f"--normalisation {normalisation!r} is unknown; known are {', '.join(NORMALISATIONS)}")
    codes = split_list(languages)
    loaded = [load(path, label, normalisation, codes, recompute) for label, path in map(named, files)]
    benchmarks = collect(loaded, strict=codes is None)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for note in notes_of(benchmarks):
        console.print(f"note: {note}", markup=False)
    if recompute:
        console.print(f"recomputed: the scores of {len(loaded)} results give every stored metric", markup=False)
    unsure = tables.Uncertainty(resamples, seed)
    print("\n\n".join(tables.all_tables(benchmarks, unsure) + strata_tables(benchmarks, unsure)))
    for stratum, part in (stratify(benchmarks, by) if by else {}).items():
        print("\n\n" + "\n\n".join([f"## {by}: {stratum}", *tables.all_tables(part, unsure, whole=False)]))
    if figures:
        from baselines.cli import need
        from baselines.evaluate.figures import draw_all

        need("eval", "matplotlib")
        for path in draw_all(benchmarks, figures, unsure):
            console.print(f"drew {path}", markup=False)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
