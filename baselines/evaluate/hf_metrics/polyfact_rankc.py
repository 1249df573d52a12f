"""RankC, as a module of `evaluate`; computed by `baselines.metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from baselines import metrics
from baselines.evaluate.hf_metrics import info


class PolyFactRankC(evaluate.Metric):  # type: ignore[misc]
    """Weighted overlap of the rankings of the options in each pair of languages, with floor and chance."""

    def _info(self) -> Any:
        return info(
            self,
            "Qi et al., EMNLP 2023",
            "predictions: the scores of the options of each fact in each language, options aligned.",
            predictions=datasets.Sequence(datasets.Sequence(datasets.Value("float64"))),
        )

    def _compute(self, predictions: Sequence[Sequence[Sequence[float]]]) -> dict[str, Any]:
        scores = np.asarray(predictions, np.float64)
        matrix = metrics.rankc(scores)
        return {
            "rankc": metrics.off_diagonal_mean(matrix),
            "matrix": matrix.tolist(),
            "floor": metrics.rankc_floor(scores.shape[2]),
            "chance": metrics.rankc_chance(scores.shape[2]),
        }
