"""Our measures for the library `evaluate`: `evaluate.load(hf_metrics.path("rankc"))`. Thin classes over `metrics`."""

from __future__ import annotations

from pathlib import Path

from polyfact_dataset.common.errors import ConfigError

MODULES = ("accuracy", "calibration", "consistency", "gen_score", "rankc")


def path(name: str) -> str:
    """The file to give to `evaluate.load`. Raises `ConfigError` for an unknown name."""
    if name not in MODULES:
        raise ConfigError(f"unknown metric {name!r}; known are {', '.join(MODULES)}")
    return str(Path(__file__).parent / f"polyfact_{name}.py")
