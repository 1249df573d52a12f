"""Results in the formats of others: Every Eval Ever's JSON, and the Hub's `.eval_results/*.yaml`.

    python -m baselines.evaluate.exports r.json --every-eval-ever eee.json --eval-results model-repo/.eval_results

The first is one JSON document per result, with a metric per measure and language. The second is a YAML file that a
model's repository on the Hub may hold: its page then shows the results, linked to the dataset's task `polyfact`.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from baselines.evaluate import results
from baselines.evaluate.measures import MEASURES
from baselines.evaluate.results import GENERATED, Result
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import write_text

EVERY_EVAL_EVER_VERSION = "0.2.0"
LOWER_IS_BETTER = frozenset(
    {"ece", "answer_ece", "gap_range", "gap_english", "disagreeing", "same_but_wrong", "declined"}
)


def values_of(result: Result, normalisation: str) -> tuple[dict[str, float], dict[str, float]]:
    """(measure -> value, language -> accuracy) of a result."""
    if result.kind in GENERATED:
        by_language = {code: float(rates["lenient"]) for code, rates in result.metrics["languages"].items()}
        stored = result.metrics["measures"]
    else:
        if normalisation not in result.metrics:
            raise ConfigError(f"the result has no scores per {normalisation}; it has {', '.join(result.metrics)}")
        stored = result.metrics[normalisation]
        by_language = dict(stored["accuracy"])
    names = [measure.name for measure in MEASURES]
    return {name: float(stored[name]) for name in names if stored.get(name) is not None}, by_language


def every_eval_ever(result: Result, normalisation: str, evaluated: datetime) -> dict[str, Any]:
    """One result as a document of Every Eval Ever: source, model, and a list of metrics with their configuration."""
    measures, by_language = values_of(result, normalisation)
    titles = {measure.name: measure.title for measure in MEASURES}
    entries = [(name, titles[name], value) for name, value in measures.items()]
    entries += [(f"accuracy_{code}", f"accuracy in {code}", value) for code, value in by_language.items()]
    dataset = {"dataset_name": f"{result.kind}/{result.data.config}", "source_type": "hf_dataset"}
    return {
        "schema_version": EVERY_EVAL_EVER_VERSION,
        "evaluation_id": f"{result.kind}/{result.label}/{result.scores.sha256[:16]}",
        "retrieved_timestamp": str(int(evaluated.timestamp())),
        "source_metadata": {"source_name": "PolyFact evaluators", "source_type": "evaluation_run"},
        "model_info": {
            "name": result.label,
            "id": str(result.model.get("name", result.label)),
            "additional_details": {
                key: str(value) for key, value in result.model.items() if value is not None and key != "name"
            },
        },
        "eval_library": {"name": "polyfact", "version": result.software.get("polyfact", "unknown")},
        "evaluation_results": [
            {
                "evaluation_name": f"{result.kind}: {title}",
                "source_data": {**dataset, "hf_repo": result.data.source, "hf_split": result.data.split},
                "metric_config": {
                    "metric_name": name,
                    "lower_is_better": name in LOWER_IS_BETTER,
                    "score_type": "continuous",
                    "min_score": -1.0 if name in ("net_score", "gap_english", "kappa_p", "fleiss_kappa") else 0.0,
                    "max_score": 1.0,
                },
                "score_details": {"score": value},
                "generation_config": {"additional_details": {k: str(v) for k, v in result.settings.items()}},
            }
            for name, title, value in entries
        ],
    }


def eval_results(result: Result, normalisation: str, evaluated: datetime) -> list[dict[str, Any]]:
    """The entries of a file in `.eval_results`: mean accuracy and total consistency of a benchmark's task, in %."""
    measures, _ = values_of(result, normalisation)
    entries = []
    for name in ("mean_accuracy", "total_consistency", "rankc"):
        if name in measures:
            value = measures[name] if name == "rankc" else 100 * measures[name]
            entries.append(
                {
                    "dataset": {"id": result.data.source, "task_id": f"{result.kind}_{name}"},
                    "value": round(value, 4),
                    "date": evaluated.date().isoformat(),
                    "notes": f"{result.data.config}/{result.data.split}, prompt {result.prompt.style}, "
                    f"{len(result.data.languages)} languages, {result.data.facts} facts",
                }
            )
    if not entries:
        raise DataError("the result has none of the measures that .eval_results lists")
    return entries


def main(
    file: Annotated[Path, typer.Argument(help="Result of an evaluator (.json).")],
    to_every_eval_ever: Annotated[
        Path | None, typer.Option("--every-eval-ever", help="JSON file of Every Eval Ever to write.")
    ] = None,
    to_eval_results: Annotated[
        Path | None, typer.Option("--eval-results", help="Folder .eval_results of a model's repository.")
    ] = None,
    normalisation: Annotated[str, typer.Option(help="byte, sum, token or char.")] = "byte",
) -> None:
    """Write a result in other formats."""
    if not (to_every_eval_ever or to_eval_results):
        raise ConfigError("nothing to write; pass --every-eval-ever or --eval-results")
    result = results.load_result(file)
    evaluated = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    if to_every_eval_ever:
        document = every_eval_ever(result, normalisation, evaluated)
        write_text(to_every_eval_ever, json.dumps(document, ensure_ascii=False, indent=1) + "\n")
        print(f"wrote {to_every_eval_ever}")
    if to_eval_results:
        from yaml import safe_dump

        path = to_eval_results / f"polyfact_{result.kind}.yaml"
        write_text(path, safe_dump(eval_results(result, normalisation, evaluated), sort_keys=False, allow_unicode=True))
        print(f"wrote {path}")


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
