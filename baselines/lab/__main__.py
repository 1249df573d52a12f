"""The whole comparison of the paper at a small size: pretraining, CPT, SFT, GRPO, evaluation, tables.

    polyfact build --out build --facts 2000
    OMP_NUM_THREADS=1 python -m baselines.lab --dataset build/release --output lab

A tiny Qwen2 or OLMo2 reads text in which English states all facts and the other languages some of them. Then the
paper's six variants are trained by `baselines.cpt`, `baselines.sft` and `baselines.grpo`, and evaluated by the
evaluators, in held-out languages too. The tables go to standard output and to `report.md`. Finished steps are kept:
the same command continues an interrupted one. What holds for a tiny model need not hold for a large one.

    OMP_NUM_THREADS=1 python -m baselines.lab --model smollm2 --dataset build/release --output lab-smollm2

compares all methods on a pretrained model instead (`baselines.lab.comparison`).
"""

from __future__ import annotations

import dataclasses
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from baselines.cli import need
from baselines.evaluate.options import split_list
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import read_json, remove, write_json, write_text

if TYPE_CHECKING:
    from baselines.lab.report import Report

# Facts taught and fresh, the model and its reading, the steps of the methods.
SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "smallest": {
        "world": {"taught": 16, "fresh": 16},
        "model": {"hidden": 48, "vocabulary": 1500, "epochs": 30},
        "steps": {"cpt": 5, "sft": 40, "sft_facts": 8, "grpo": 40, "grpo_facts": 2, "new_tokens": 8},
    },
    "default": {"world": {"taught": 32, "fresh": 32}, "model": {}, "steps": {}},
    # For a GPU.
    "large": {
        "world": {"taught": 1000, "fresh": 200},
        "model": {"hidden": 512, "layers": 8, "vocabulary": 16000, "epochs": 20, "learning_rate": 5e-4},
        "steps": {
            **{"cpt": 200, "cpt_chunks": 16, "sft": 1000, "grpo": 1000, "grpo_facts": 16, "new_tokens": 24},
            **{"cpt_rate": 5e-5, "sft_rate": 1e-4, "grpo_rate": 1e-4},
        },
    },
}


def one_seed(world: Any, folder: Path, family: Any, model_size: Any, steps: Any, tell: Any) -> tuple[Any, Any]:
    """Trains and evaluates all variants of a seed: (model -> measure -> correct, readings)."""
    from baselines.lab.methods import VARIANTS, folder_of, train, trend
    from baselines.lab.pretrain import pretrain
    from baselines.lab.report import Reading, evaluate, readings_of

    tell(f"seed {world.seed}: pretraining")
    base = pretrain(world, family, model_size, folder / "base")
    tell(f"seed {world.seed}: {base['parameters']:,} parameters, {base['tokens']:,} tokens, {base['seconds']:.0f} s")
    models, readings, correct = {"Base": folder / "base"}, [], {}
    for name, variant in VARIANTS.items():
        if variant:
            method, start = variant
            tell(f"seed {world.seed}: {name}")
            run = folder / folder_of(name)
            models[name] = train(method, world, models[start], run, steps)
            figure = {"cpt": "loss", "sft": "loss", "grpo": "reward"}[method]
            readings.append(Reading(world.seed, name, figure, *trend(run, figure)))
        correct[name] = evaluate(world, models[name], folder / "results" / folder_of(name), name, 2 * steps.new_tokens)
    return correct, readings + readings_of(world.seed, correct, len(world.languages))


def _open(output: Path, settings: dict[str, Any], overwrite: bool) -> None:
    """Makes the folder, or checks that it is of the same laboratory."""
    path = output / "lab.json"
    if overwrite:
        remove(output)
    if path.is_file() and read_json(path) != settings:
        raise ConfigError(f"{output} is of other settings; choose another --output or add --overwrite")
    if not path.is_file():
        if output.is_dir() and any(output.iterdir()):
            raise ConfigError(f"{output} holds files that are not of a laboratory; choose another --output")
        write_json(path, settings)


def _parts(size: str, overrides: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The settings of a size by part of the laboratory; `overrides` replaces some of them."""
    from baselines.lab.methods import Steps
    from baselines.lab.pretrain import Size

    if size not in SIZES:
        raise ConfigError(f"--size {size!r} is unknown; known are {', '.join(SIZES)}")
    parts = {
        name: values | {key: value for key, value in overrides[name].items() if value is not None}
        for name, values in SIZES[size].items()
    }
    parts["model"] = dataclasses.asdict(Size(**parts["model"]))
    parts["steps"] = dataclasses.asdict(Steps(**parts["steps"]))
    return parts


def _compare_methods(output: Path, seeds: range, tell: Callable[[str], None]) -> str:
    """Runs the comparison of `lab.json` with every seed; `report.md` is rewritten after each method."""
    from baselines import tiny
    from baselines.lab.comparison import METHODS, WARM, Budget, Measured, compare, folder_of
    from baselines.lab.comparison_report import ComparisonReport
    from baselines.lab.facts_taught import make_world

    settings = read_json(output / "lab.json")
    languages, held_out, floor = (tuple(settings[name]) for name in ("languages", "held_out", "floor"))
    base = Path(settings["model"])
    if settings["model"] in tiny.PRETRAINED:
        base = output / settings["model"]
        if not (base / "tokenizer.json").is_file():
            tell("converting the model")
            tiny.convert(settings["model"], base)
    measured = Measured(settings["generated"], (*languages, *held_out), 16)
    texts: list[str] = []
    for seed in seeds:
        folder = output / f"seed-{seed}"
        sizes = {"taught": settings["taught"], "fresh": settings["fresh"], "stated_share": 1.0}
        world = make_world(settings["dataset"], languages, (*held_out, *floor), **sizes, seed=seed)
        records = {name: folder / folder_of(name) / "run" / "run.json" for name in (WARM, *METHODS)}
        texts.append("")

        def done(results: Any, notes: list[str], seed: int = seed, records: Any = records) -> None:
            report = ComparisonReport(languages, held_out, floor, results, records, notes)
            texts[-1] = f"## Seed {seed}\n\n{report.text()}"
            write_text(output / "report.md", "\n\n".join(texts) + "\n")

        budget = Budget(tokens=settings["tokens"], seconds=settings["seconds"])
        compare(world, base, folder, budget, measured, tell, done)
    return "\n\n".join(texts)


def _compare(output: Path, settings: dict[str, Any], seeds: range, tell: Callable[[str], None]) -> Report:
    """Runs the laboratory of `lab.json` with every seed."""
    from baselines.lab.facts_taught import make_world
    from baselines.lab.methods import Steps
    from baselines.lab.pretrain import Size
    from baselines.lab.report import Report

    size, steps = Size(**settings["model"]), Steps(**settings["steps"])
    languages = tuple(settings["languages"]), tuple(settings["held_out"])
    shape = {**settings["world"], "stated_share": settings["stated_share"]}
    correct: dict[str, dict[tuple[str, str], list[Any]]] = {}
    readings: list[Any] = []
    for seed in seeds:
        world = make_world(settings["dataset"], *languages, **shape, seed=seed)
        by_model, more = one_seed(world, output / f"seed-{seed}", settings["family"], size, steps, tell)
        readings += more
        for model, measures in by_model.items():
            for measure, values in measures.items():
                correct.setdefault(model, {}).setdefault(measure, []).append(values)
    return Report(*languages, correct, sorted(readings, key=lambda r: (r.figure, r.model, r.seed)))


def _six_variants(output: Path, seeds: range, tell: Callable[[str], None]) -> str:
    """Runs the laboratory of `lab.json`, writes `report.md` and `learning.json`, and returns the tables."""
    report = _compare(output, read_json(output / "lab.json"), seeds, tell)
    write_text(output / "report.md", report.text() + "\n")
    write_json(output / "learning.json", [dataclasses.asdict(reading) for reading in report.readings])
    return report.text()


def main(
    dataset: Annotated[str, typer.Option(help="Release folder or Hub id.")],
    output: Annotated[Path, typer.Option(help="Folder to write to.")],
    model: Annotated[
        str | None, typer.Option(help="smollm2, or a model's folder: compares all methods on a pretrained model.")
    ] = None,
    size: Annotated[str, typer.Option(help="smallest, default (minutes on 2 cores) or large (a GPU).")] = "default",
    family: Annotated[str, typer.Option(help="qwen2 or olmo2.")] = "qwen2",
    languages: Annotated[
        str | None, typer.Option(help="Languages to train on, with en. Default: en,de,id; with --model en,de,fr.")
    ] = None,
    held_out: Annotated[
        str | None, typer.Option(help="Languages that are only read and evaluated. Default: es; with --model es,pt.")
    ] = None,
    floor: Annotated[str, typer.Option(help="With --model: languages that the model hardly knows.")] = "sw,bn",
    stated_share: Annotated[float, typer.Option(min=0, max=1, help="Facts stated in a language but English.")] = 0.5,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds: of worlds and models.")] = 1,
    first_seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    taught: Annotated[int | None, typer.Option(min=4, help="Facts that the methods train on.")] = None,
    fresh: Annotated[
        int | None, typer.Option(min=4, help="Facts to evaluate on, read about but not trained on.")
    ] = None,
    generated: Annotated[int, typer.Option(min=1, help="With --model: fresh facts to answer by generation.")] = 200,
    tokens: Annotated[int, typer.Option(min=1, help="With --model: tokens that a method may train on.")] = 120_000,
    seconds: Annotated[float, typer.Option(min=1, help="With --model: CPU seconds that a method may train.")] = 1500,
    hidden: Annotated[int | None, typer.Option(min=8, help="Width of the model.")] = None,
    layers: Annotated[int | None, typer.Option(min=1)] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of pretraining: how reliably the model knows.")] = None,
    sft_steps: Annotated[int | None, typer.Option(min=4)] = None,
    grpo_steps: Annotated[int | None, typer.Option(min=4)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove an earlier laboratory.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Train a small multilingual model by every method, and compare the results."""
    need("train", "torch", "transformers", "trl", "peft", "accelerate")
    warnings.filterwarnings("ignore", category=FutureWarning)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    codes = split_list(languages or ("en,de,fr" if model else "en,de,id")) or ()
    apart = split_list(held_out or ("es,pt" if model else "es")) or ()
    chosen = range(first_seed, first_seed + seeds)

    def tell(text: str) -> None:
        if not quiet:
            print(text, file=sys.stderr, flush=True)

    if model:
        plan: dict[str, Any] = {"taught": taught or 400, "fresh": fresh or 800, "generated": generated}
        plan |= {"tokens": tokens, "seconds": seconds}
        shape = {"languages": list(codes), "held_out": list(apart), "floor": list(split_list(floor) or ())}
        _open(output, {"dataset": dataset, "model": model, **shape, **plan}, overwrite)
        print(_compare_methods(output, chosen, tell))
        return
    overrides = {
        "world": {"taught": taught, "fresh": fresh},
        "model": {"hidden": hidden, "layers": layers, "epochs": epochs},
        "steps": {"sft": sft_steps, "grpo": grpo_steps},
    }
    settings = {"dataset": dataset, "family": family, "languages": list(codes), "held_out": list(apart)}
    _open(output, {**settings, "stated_share": stated_share, **_parts(size, overrides)}, overwrite)
    print(_six_variants(output, chosen, tell))


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
