"""Selecting facts by the pass rate of the model that a run starts from.

A fact whose rollouts all fail, or all succeed, has the same reward in every rollout: its advantages are zero and its
gradient is too (the dynamic sampling of DAPO, Yu et al. 2025, measured once instead of at every step).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from baselines.answer_lines import answer_line
from baselines.data import Fact, Rows
from baselines.rewards import OptionJudge


def pass_rates(facts: Rows[Fact], samples: pa.Table) -> pa.Table:
    """(`fact_id`, `pass_rate`): the share of a fact's samples, over all its languages, that are correct."""
    judge = OptionJudge(facts)
    rows = {fact.fact_id: row for row, fact in enumerate(facts)}
    correct: dict[str, list[bool]] = {fact_id: [] for fact_id in rows}
    for sample in samples.select(["fact_id", "language", "text"]).to_pylist():
        verdict = judge(rows[sample["fact_id"]], sample["language"], answer_line(sample["text"]))
        correct[sample["fact_id"]].append(verdict.outcome == "correct")
    return pa.table(
        {
            "fact_id": pa.array(list(correct), pa.string()),
            "pass_rate": pa.array(
                [float(np.mean(right)) if right else 0.0 for right in correct.values()], pa.float64()
            ),
        }
    )


def chosen_rows(rates: Sequence[float], low: float, high: float) -> list[int]:
    """The rows of facts with a pass rate in [low, high]."""
    return [row for row, rate in enumerate(rates) if low <= rate <= high]
