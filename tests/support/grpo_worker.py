"""GRPO with a judge that a random model's answers can please: outcomes by a hash of the answer."""

from __future__ import annotations

import hashlib
import sys

import baselines.grpo
from baselines.rewards import OUTCOMES, Verdict


class HashJudge:
    """Every outcome for some answers, the same in every process."""

    def __init__(self, facts: object) -> None:
        pass

    def __call__(self, row: int, code: str, answer: str) -> Verdict:
        number = hashlib.sha256(f"{row}|{code}|{answer}".encode()).digest()[0]
        outcome = OUTCOMES[number % len(OUTCOMES)]
        return Verdict(outcome, f"Q{number}" if outcome in ("correct", "incorrect") else None)


if __name__ == "__main__":
    from baselines.cli import run

    baselines.grpo.OptionJudge = HashJudge  # type: ignore[assignment,misc]
    sys.exit(run(baselines.grpo.main))
