"""PolyFact as tasks of lm-evaluation-harness: `polyfact_<lang>`, `polyfact_clean_<lang>` and their two groups.

    lm_eval run --include_path "$(python -m baselines.evaluate.harness)" --tasks polyfact_clean --model hf ...
    python -m baselines.evaluate.harness --output tasks --dataset build/release --prompt plain

The first line finds the tasks of the installed package: lm_eval 0.4 looks for tasks of others only there.
The bundled ones are of the published release, in the paper's languages. The second line writes tasks for another
release, by folder (in all of its languages) or Hub id, or with another prompt. The prompts are those of
`baselines.prompts`, so `baselines.evaluate.mcq` gives the same log-likelihoods.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from baselines.data import languages_of
from baselines.evaluate.options import DATASET, split_list
from baselines.prompts import STYLES, Style, prompt
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import write_text
from polyfact_dataset.schema import OPTIONS

TASKS = Path(__file__).parent / "lm_eval_tasks"
VERSION = 1.0
METRICS = ("acc", "acc_norm", "acc_bytes")
SHARED = "_shared_yaml"
HEADER = "# Written by python -m baselines.evaluate.harness; edit that.\n"


def shared(dataset: str, style: Style) -> dict[str, Any]:
    """What all tasks have in common. Of the metrics, `acc_bytes` is `byte`, `acc_norm` is `char`, `acc` is `sum`."""
    letters = style == "letters"
    return {
        "dataset_path": dataset,
        "test_split": "test",
        "fewshot_split": "validation",
        "output_type": "multiple_choice",
        "doc_to_choice": list("ABCD") if letters else "{{[" + ", ".join(OPTIONS) + "]}}",
        "doc_to_target": "answer_index",
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in METRICS],
        "metadata": {"version": VERSION},
    }


def task(name: str, config: str, code: str, style: Style) -> dict[str, Any]:
    """One language of one config."""
    asked = prompt(style, code, "{{question}}", ["{{" + option + "}}" for option in OPTIONS])
    return {
        "include": SHARED,
        "task": name,
        "dataset_name": config,
        "doc_to_text": asked.text,
        "target_delimiter": asked.separator,
    }


def group(name: str, members: Sequence[str]) -> dict[str, Any]:
    """All languages of a config, with the plain mean over items."""
    means = [{"metric": metric, "aggregation": "mean", "weight_by_size": True} for metric in METRICS]
    return {
        "group": name,
        "task": list(members),
        "aggregate_metric_list": means,
        "metadata": {"version": VERSION},
    }


def write_tasks(folder: Path, dataset: str, style: Style, languages: Sequence[str]) -> list[Path]:
    """Writes the YAML files of both configs and returns their paths."""
    from yaml import safe_dump

    content: dict[str, dict[str, Any]] = {SHARED: shared(dataset, style)}
    for name, prefix in (("polyfact", ""), ("polyfact_clean", "clean_")):
        members = {f"{name}_{code}": task(f"{name}_{code}", prefix + code, code, style) for code in languages}
        content |= {f"{member}.yaml": values for member, values in members.items()}
        content[f"_{name}.yaml"] = group(name, list(members))
    for file, values in content.items():
        text = safe_dump(values, sort_keys=False, allow_unicode=True, width=10_000)
        write_text(folder / file, HEADER + text)
    return [folder / file for file in content]


def main(
    output: Annotated[
        Path | None, typer.Option(help="Folder to write tasks to. Default: only print where the bundled ones are.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="Release folder or Hub id.")] = DATASET,
    prompt: Annotated[str, typer.Option(help=", ".join(STYLES))] = "paper",
    languages: Annotated[
        str | None, typer.Option(help="Language codes. Default: those of a release folder, the paper's for a Hub id.")
    ] = None,
) -> None:
    """Print the folder of the tasks for lm_eval, or write them for another release or prompt."""
    if output is None:
        print(TASKS)
        return
    if prompt not in STYLES:
        raise ConfigError(f"unknown prompt style {prompt!r}; known are {', '.join(STYLES)}")
    source = str(Path(dataset).resolve()) if Path(dataset).is_dir() else dataset
    write_tasks(output, source, prompt, split_list(languages) or languages_of(dataset))


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
