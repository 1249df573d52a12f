"""Gen score, as a module of `evaluate`; computed by `baselines.metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from baselines import metrics
from baselines.evaluate.hf_metrics import info


class PolyFactGenScore(evaluate.Metric):  # type: ignore[misc]
    """Mean over languages of the share of the remaining room that training filled."""

    def _info(self) -> Any:
        return info(
            self,
            "ICLR 2026, OpenReview hdrG6SaTcA",
            "predictions: accuracy of the model in each language; references: accuracy of its base.",
            predictions=datasets.Value("float64"),
            references=datasets.Value("float64"),
        )

    def _compute(self, predictions: Sequence[float], references: Sequence[float]) -> dict[str, Any]:
        return {"gen_score": metrics.gen_score(predictions, references)}
