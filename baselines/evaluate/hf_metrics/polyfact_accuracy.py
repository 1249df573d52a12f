"""Accuracy per language, as a module of `evaluate`; computed by `baselines.metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from baselines import metrics
from baselines.evaluate.hf_metrics import info


class PolyFactAccuracy(evaluate.Metric):  # type: ignore[misc]
    """Share of correct facts per language, with their mean."""

    def _info(self) -> Any:
        return info(
            self,
            "PolyFact, arXiv 2606.06586, section 5.1",
            "predictions: the option chosen per fact and language; references: the correct one.",
            predictions=datasets.Sequence(datasets.Value("int64")),
            references=datasets.Value("int64"),
        )

    def _compute(self, predictions: Sequence[Sequence[int]], references: Sequence[int]) -> dict[str, Any]:
        correct = np.asarray(predictions) == np.asarray(references)[:, None]
        by_language = metrics.accuracy(correct)
        return {"accuracy": float(by_language.mean()), "by_language": by_language.tolist()}
