"""The order in which candidates get questions from a model: the sampler's first choices, then replacements.

Questions of a model cost money, so only the necessary candidates get one; templates are used for all candidates. Each
relation's candidates are taken in the order of their priority: first its share of the facts and some spare ones, then
in each round as many as the sampler lacks. A round begins when the previous one is complete, so that the choice depends
only on answers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from polyfact_dataset.common.shares import share_evenly


@dataclass(frozen=True)
class Candidate:
    """A fact that may get questions."""

    fact_id: str
    subject: str
    answer: str


@dataclass
class _Relation:
    """The candidates of one relation by priority, and their state.

    `used` are the subjects of which the sampler has a fact. It takes only one fact of a subject.
    """

    candidates: Sequence[Candidate]
    asked: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    used: Set[str] = frozenset()

    @property
    def open(self) -> list[Candidate]:
        """The candidates that the sampler might still use."""
        return [c for c in self.candidates if c.fact_id not in self.asked and c.subject not in self.used]

    @property
    def success(self) -> float:
        """The share of the requested facts that the sampler takes, or that were kept if it takes none; 1 at first."""
        taken = len(self.used) or len(self.asked) - len(self.failed)
        return max(taken / len(self.asked), 0.1) if self.asked else 1.0

    def take(self, number: int, answer_limit: int) -> list[Candidate]:
        """The next candidates: first those with a new subject and an answer below its limit, then any."""
        kept = [c for c in self.candidates if c.fact_id in self.asked and c.fact_id not in self.failed]
        subjects, answers = {c.subject for c in kept}, Counter(c.answer for c in kept)
        chosen, passed = list[Candidate](), list[Candidate]()
        for candidate in self.open:
            if len(chosen) == number:
                break
            if candidate.subject in subjects or answers[candidate.answer] >= answer_limit:
                passed.append(candidate)
                continue
            chosen.append(candidate)
            subjects.add(candidate.subject)
            answers[candidate.answer] += 1
        chosen += passed[: number - len(chosen)]
        self.asked.update(candidate.fact_id for candidate in chosen)
        return chosen


class CandidateScheduler:
    """Rounds of candidates for `total` facts, balanced over the relations of `pools`.

    `spare_share` is the share of facts requested beyond a relation's number; `answer_share_cap` is the sampler's.
    """

    def __init__(
        self, pools: Mapping[str, Sequence[Candidate]], total: int, spare_share: float, answer_share_cap: float
    ) -> None:
        self._relations = {relation: _Relation(candidates) for relation, candidates in sorted(pools.items())}
        self._total, self._spare, self._cap = total, spare_share, answer_share_cap

    def first(self) -> list[Candidate]:
        """The first round: each relation's share and some spare facts."""
        return self._take(self._shares())

    def fail(self, relation: str, fact_id: str) -> None:
        """Records that a fact is dropped."""
        self._relations[relation].failed.add(fact_id)

    def next(self, used: Mapping[str, Set[str]]) -> list[Candidate]:
        """The next round, given the subjects of the facts that the sampler takes, by relation (`used`).

        Empty when it needs no more, or when no candidate can help.
        """
        for relation, state in self._relations.items():
            state.used = used.get(relation, frozenset())
        shares = self._shares()
        lacking = {relation: shares[relation] - len(state.used) for relation, state in self._relations.items()}
        return self._take({relation: number for relation, number in lacking.items() if number > 0})

    def _shares(self) -> dict[str, int]:
        """The number of facts of each relation: an even share of the total, or fewer where candidates run out."""
        capacity = {
            relation: len(state.used | {candidate.subject for candidate in state.open})
            for relation, state in self._relations.items()
        }
        return share_evenly(self._total, capacity)

    def _take(self, lacking: Mapping[str, int]) -> list[Candidate]:
        chosen: list[Candidate] = []
        for relation, number in lacking.items():
            state = self._relations[relation]
            # The sampler may skip some; requesting a few more each time keeps the number of rounds small.
            needed = math.ceil(number * (1 + self._spare) / state.success) + len(state.asked) // 20 + 2
            share = number + len(state.asked) - len(state.failed)
            chosen += state.take(needed, max(math.ceil(self._cap * share * (1 + self._spare)), 1))
        return chosen
