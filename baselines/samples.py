"""Sampled completions for inspection: `samples.jsonl`, and tables in W&B and trackio where the run reports to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from baselines.rewards import Judged
from polyfact_dataset.common.files import keep_lines


class Samples:
    """Every `every` steps, the first fact of the batch: `rollouts` of its rollouts in all languages."""

    def __init__(
        self, path: Path, facts: Sequence[Any], every: int, report_to: Sequence[str] = (), rollouts: int = 2
    ) -> None:
        self.path = path
        self._facts = facts
        self._every = every
        self._rollouts = rollouts
        self._report_to = tuple(report_to)
        self._last = -1

    def forget_from(self, step: int) -> None:
        """Removes what an interrupted run wrote after its last checkpoint."""
        if self.path.is_file():
            keep_lines(self.path, lambda line: line["step"] < step)

    def __call__(self, judged: list[Judged], step: int) -> None:
        """Writes the samples of a step, once, if they are due."""
        if step % self._every or step == self._last:
            return
        self._last = step
        row = judged[0].row
        rows = [
            sample_of(self._facts[row], one, step) for one in judged if one.row == row and one.rollout < self._rollouts
        ]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in rows))
        for name in self._report_to:
            if name in _TABLES:
                _TABLES[name](rows)


def sample_of(fact: Any, judged: Judged, step: int) -> dict[str, Any]:
    """One row of samples: the question with its gold, the completion as generated, and what it earned."""
    item = fact.items[judged.language]
    gold = item.options[item.answer] if hasattr(item, "options") else item.answer
    return {
        "step": step,
        "fact": fact.fact_id,
        "language": judged.language,
        "rollout": judged.rollout,
        "question": item.question,
        "gold": gold,
        "completion": judged.completion,
        "tokens": judged.tokens,
        "answer": judged.answer,
        "outcome": judged.verdict.outcome,
        "own": judged.language_reward,
        "reward": judged.reward,
    }


def _to_wandb(rows: Sequence[dict[str, Any]]) -> None:
    import wandb

    if wandb.run is not None:
        wandb.log({"samples": wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])})


def _to_trackio(rows: Sequence[dict[str, Any]]) -> None:
    import pandas as pd
    import trackio

    trackio.log({"samples": trackio.Table(dataframe=pd.DataFrame(rows))})


_TABLES = {"wandb": _to_wandb, "trackio": _to_trackio}
