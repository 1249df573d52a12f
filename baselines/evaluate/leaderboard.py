"""Rows of a release's leaderboard from result files of `baselines.evaluate.mcq`: values with 95 % intervals over facts.

Every value is computed from the stored scores, per byte of the option, by the measures of `measures`.
"""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from baselines.evaluate import results
from baselines.evaluate.aligned import of_choices
from baselines.evaluate.choices import Choices
from baselines.evaluate.measures import measures_of
from baselines.resampling import bootstrap, interval
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import digest

RESAMPLES = 1000
EVERY = "all"
# Measure of `measures` -> its name in the leaderboard.
LISTED = {
    "mean_accuracy": "accuracy",
    "total_consistency": "total_consistency",
    "kappa_p": "kappa_p",
    "transfer_english": "transfer_english",
    "gap_english": "gap_english",
    "gap_range": "gap_range",
}


def command(result: results.Result) -> str:
    """The command that makes the result again, from what it stores."""
    words = ["python", "-m", f"baselines.evaluate.{result.kind}", "--model", str(result.model["name"])]
    words += ["--dataset", result.data.source, "--config", result.data.config, "--split", result.data.split]
    words += ["--prompt", result.prompt.style, "--seed", str(result.seed)]
    if result.data.revision:
        words += ["--revision", result.data.revision]
    return shlex.join(words)


def rows_of(path: Path, label: str | None = None) -> list[dict[str, Any]]:
    """The leaderboard's rows of a result file (`release.schema.LEADERBOARD`), if its file of scores belongs to it.

    Raises `DataError` for a result of another kind or without its scores.
    """
    result = results.load_result(path)
    if result.kind != "mcq":
        raise DataError(f"{path} is a result of `{result.kind}`; the leaderboard takes those of `mcq`")
    scores = of_choices(Choices.of(results.load_scores(path, result), result.data.languages), "byte")
    shared = {
        "model": label or result.label,
        "facts": len(scores.facts),
        "config": result.data.config,
        "split": result.data.split,
        "content": result.data.content,
        "command": command(result),
        "digest": digest(path),
    }
    values: list[tuple[str, str, float, tuple[float, float]]] = []
    order = list(LISTED)
    for measure in sorted((m for m in measures_of(scores) if m.name in LISTED), key=lambda m: order.index(m.name)):
        value = measure.of(scores)
        if not math.isnan(value):
            ends = interval(measure.value(bootstrap(measure.rows(scores), RESAMPLES)))
            values.append((LISTED[measure.name], EVERY, value, ends))
    samples = bootstrap(scores.correct, RESAMPLES)
    for position, code in enumerate(scores.languages):
        values.append(
            ("accuracy", code, float(np.nanmean(scores.correct[:, position])), interval(samples[:, position]))
        )
    return [
        {**shared, "measure": name, "language": code, "value": value, "low": low, "high": high}
        for name, code, value, (low, high) in values
    ]
