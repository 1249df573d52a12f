"""Consistency over languages, as a module of `evaluate`; computed by `baselines.metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from baselines import metrics
from baselines.evaluate.hf_metrics import info


class PolyFactConsistency(evaluate.Metric):  # type: ignore[misc]
    """Share of facts correct in all languages, histogram of correct languages, pairwise agreement."""

    def _info(self) -> Any:
        return info(
            self,
            "PolyFact, arXiv 2606.06586",
            "predictions: the option chosen per fact and language; references: the correct one.",
            predictions=datasets.Sequence(datasets.Value("int64")),
            references=datasets.Value("int64"),
        )

    def _compute(self, predictions: Sequence[Sequence[int]], references: Sequence[int]) -> dict[str, Any]:
        chosen = np.asarray(predictions)
        correct = chosen == np.asarray(references)[:, None]
        return {
            "total_consistency": metrics.total_consistency(correct),
            "histogram": metrics.consistency_histogram(correct).tolist(),
            "agreement": metrics.off_diagonal_mean(metrics.pairwise_agreement(chosen)),
        }
