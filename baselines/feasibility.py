"""A dry count before GRPO: in how many items can the correct answer be generated at all?

An answer is feasible when its usual tokens, and one that ends the line, fit into `max_new_tokens`, and no token of it
would repeat an n-gram that the ban counts. No model is needed. The repetition penalty makes tokens less likely and is
not counted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from baselines.penalties import Scope, banned_after
from polyfact_dataset.common.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """What restricts a completion."""

    max_new_tokens: int
    ngram: int | None
    scope: Scope


def obstacle(prompt: list[int], answer: list[int], limits: Limits) -> str | None:
    """Why `answer` cannot be generated after `prompt`: `length` or `ngram`; None when it can be."""
    # One more token ends the answer.
    if len(answer) + 1 > limits.max_new_tokens:
        return "length"
    if limits.ngram:
        context = list(prompt) if limits.scope == "all" else []
        for token in answer:
            if token in banned_after(context, limits.ngram):
                return "ngram"
            context.append(token)
    return None


@dataclass(frozen=True)
class Feasibility:
    """Shares of feasible items by language, and of facts that are feasible in all languages."""

    shares: Mapping[str, float]
    whole: float
    facts: int
    # Obstacle -> how many items have it.
    obstacles: Mapping[str, int]

    def __str__(self) -> str:
        by_language = ", ".join(f"{code} {100 * share:.0f} %" for code, share in self.shares.items())
        return f"feasible: {by_language}; all languages {100 * self.whole:.0f} % (of {self.facts} facts)"


def count(facts: Iterable[Mapping[str, tuple[list[int], list[int]]]], limits: Limits) -> Feasibility:
    """`facts` hold (tokens of the prompt, tokens of the answer) by language, the same languages in each."""
    feasible: dict[str, int] = {}
    obstacles = {"length": 0, "ngram": 0}
    total = whole = 0
    for fact in facts:
        total += 1
        reasons = {code: obstacle(prompt, answer, limits) for code, (prompt, answer) in fact.items()}
        for code, reason in reasons.items():
            feasible[code] = feasible.get(code, 0) + (reason is None)
            if reason:
                obstacles[reason] += 1
        whole += not any(reasons.values())
    shares = {code: number / total for code, number in feasible.items()}
    return Feasibility(shares, whole / max(total, 1), total, obstacles)


def require(feasibility: Feasibility, least: float) -> None:
    """Raises `ConfigError` when fewer than a share `least` of a language's answers are feasible."""
    low = [code for code, share in feasibility.shares.items() if share < least]
    if not low:
        return
    cause = "rollouts.no_repeat_ngram counts the prompt; set rollouts.penalise: completion"
    if feasibility.obstacles["length"] > feasibility.obstacles["ngram"]:
        cause = "answers are longer than rollouts.max_new_tokens; raise it"
    raise ConfigError(
        f"{feasibility}: in {', '.join(low)} fewer than {100 * least:.0f} % of the correct answers can be generated, "
        f"so no rollout can earn the reward. {cause}, or lower rollouts.min_feasible"
    )
