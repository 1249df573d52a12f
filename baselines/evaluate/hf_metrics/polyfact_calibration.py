"""Calibration, as a module of `evaluate`; computed by `baselines.metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from baselines import metrics
from baselines.evaluate.hf_metrics import info


class PolyFactCalibration(evaluate.Metric):  # type: ignore[misc]
    """Expected calibration error of the distribution over the options."""

    def _info(self) -> Any:
        return info(
            self,
            "Guo et al., ICML 2017",
            "predictions: log-scores of the options of each item; references: the correct option.",
            predictions=datasets.Sequence(datasets.Value("float64")),
            references=datasets.Value("int64"),
        )

    def _compute(
        self, predictions: Sequence[Sequence[float]], references: Sequence[int], bins: int = 15
    ) -> dict[str, Any]:
        spread = metrics.option_distribution(predictions)
        correct = metrics.choices(spread) == np.asarray(references)
        return {"ece": metrics.calibration(spread.max(axis=1), correct, bins)[0]}
