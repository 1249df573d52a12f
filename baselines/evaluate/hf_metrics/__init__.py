"""Our measures for the library `evaluate`: `evaluate.load(hf_metrics.path("rankc"))`. Thin classes over `metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polyfact_dataset.common.errors import ConfigError

MODULES = ("accuracy", "calibration", "consistency", "gen_score", "rankc")


def path(name: str) -> str:
    """The file to give to `evaluate.load`. Raises `ConfigError` for an unknown name."""
    if name not in MODULES:
        raise ConfigError(f"unknown metric {name!r}; known are {', '.join(MODULES)}")
    return str(Path(__file__).parent / f"polyfact_{name}.py")


def info(metric: Any, citation: str, inputs: str, **features: Any) -> Any:
    """What `evaluate` shows of a metric: its docstring, its source, and its inputs with their types."""
    import datasets
    import evaluate

    return evaluate.MetricInfo(
        description=type(metric).__doc__,
        citation=citation,
        inputs_description=inputs,
        features=datasets.Features(features),
    )
