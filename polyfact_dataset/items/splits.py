"""Balanced sampling and splits by subject, as pure functions.

Round robin over the relations' shuffled pools (paper, appendix D.1) is equivalent to filling relations evenly up to
their capacity. A subject belongs to one split. No answer holds more than a quarter of a
relation's facts in a split, which is what exchangeable distractors need.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from polyfact_dataset.common.shares import share_evenly
from polyfact_dataset.config.build import SampleConfig
from polyfact_dataset.items.distractors import slack
from polyfact_dataset.schema import SPLITS

_HELD_OUT = ("test", "validation")
# Up to this many facts in a bin, they are chosen so that they can be distractors of one another.
_SMALL = 24


@dataclass(frozen=True)
class Fact:
    """A valid candidate, as far as sampling is concerned.

    `group` is the widest kind of its subject and the class of its answer.
    """

    id: str
    subject: str
    relation: str
    answer: str
    group: str = ""
    # All objects ever stated for the subject in this relation: they must not be its distractors.
    true: frozenset[str] = frozenset()
    # The kind of the subject and the wider ones, the widest last.
    kinds: tuple[str, ...] = ()
    # The key of the English wording, and the type of the answer (`strata.answer_classes`).
    wording: str = ""
    answer_class: str = ""


@dataclass
class Selection:
    """Chosen facts by (relation, split), each in the order of its pool."""

    facts: dict[tuple[str, str], list[Fact]] = field(default_factory=dict)

    def total(self, split: str | None = None) -> int:
        """The number of facts, of one split or of all."""
        return sum(len(rows) for (_, fact_split), rows in self.facts.items() if split in (None, fact_split))

    def of(self, relation: str) -> int:
        """The number of facts of one relation."""
        return sum(len(rows) for (fact_relation, _), rows in self.facts.items() if fact_relation == relation)


def order_key(seed: int, purpose: str, name: str) -> bytes:
    """A reproducible random key: sorting by it shuffles."""
    return blake2b(f"{seed}:{purpose}:{name}".encode(), digest_size=16).digest()


def largest(counts: Iterable[int], limit: int, share_cap: float) -> int:
    """The largest n up to `limit` such that n facts can be chosen with no answer above `share_cap` of them."""
    sizes = list(counts)
    n = min(limit, sum(sizes))
    while n:
        possible = sum(min(size, int(n * share_cap)) for size in sizes)
        if possible >= n:
            return n
        n = min(n - 1, possible)
    return 0


def split_quotas(quotas: Mapping[str, int], config: SampleConfig) -> dict[tuple[str, str], int]:
    """The number of facts of each relation in each split.

    Held-out splits hold their share of all facts, shared evenly over the relations that can hold at least four there
    (an item has four options) and keep the larger part for train. A relation with at least `min_relation_facts` has at
    least `min_split_facts` in each, even where that is more than its share, and a smaller one at least four. In a small
    release a relation with at least `test_relation_facts` has at least `min_test_facts` in test.
    """
    total = sum(quotas.values())
    result: dict[tuple[str, str], int] = {}
    for split, share in (("test", config.test_share), ("validation", config.validation_share)):
        fair = _fair_shares(round(total * share), quotas)
        for relation, quota in quotas.items():
            floor = config.min_split_facts if quota >= config.min_relation_facts else 4 if quota >= 12 else 0
            if split == "test" and total < config.small_release_facts and quota >= config.test_relation_facts:
                floor = max(floor, config.min_test_facts)
            result[relation, split] = max(fair.get(relation, 0), floor)
    for relation, quota in quotas.items():
        result[relation, "train"] = quota - sum(result[relation, split] for split in _HELD_OUT)
    return result


def _fair_shares(total: int, quotas: Mapping[str, int]) -> dict[str, int]:
    """`total` facts over the largest relations, as many of them as can have at least four each."""
    room = {relation: max(quota // 4, 4) for relation, quota in quotas.items() if quota >= 12}
    largest_first = sorted(room, key=lambda relation: -quotas[relation])
    for count in range(len(room), 0, -1):
        chosen = set(largest_first[:count])
        shares = share_evenly(max(total, 4), {relation: size for relation, size in room.items() if relation in chosen})
        if min(shares.values()) >= 4:
            return shares
    return {}


class _Bin:
    """The facts of one relation in one split while they are being chosen."""

    def __init__(self, quota: int, share_cap: float, groups: Collection[str] | None) -> None:
        self.quota, self.answer_limit, self.groups = quota, int(quota * share_cap), groups
        self.facts: list[Fact] = []
        self.subjects: set[str] = set()
        self.answers: Counter[str] = Counter()
        # In how many facts an entity is true without being the answer.
        self.also_true: Counter[str] = Counter()

    def full(self) -> bool:
        return len(self.facts) >= self.quota

    def takes(self, fact: Fact) -> bool:
        return (
            not self.full()
            and fact.subject not in self.subjects
            and self.answers[fact.answer] < self.answer_limit
            and (self.groups is None or fact.group in self.groups)
            and self._can_be_offered(fact)
            and self._leaves_room(fact)
        )

    def _can_be_offered(self, fact: Fact) -> bool:
        """Whether, with this fact, every answer still has enough rows as a distractor (`distractors.feasible`)."""
        room = self.quota - slack(self.quota)
        return 4 * (self.answers[fact.answer] + 1) + self.also_true[fact.answer] <= room and all(
            4 * self.answers[other] + self.also_true[other] < room
            for other in fact.true
            if other != fact.answer and self.answers[other]
        )

    def _leaves_room(self, fact: Fact) -> bool:
        """In a small held-out bin an answer may be true of one other fact at most, or no drawing exists."""
        if self.groups is None or self.quota > _SMALL:
            return True
        others = (other for other in self.facts if other.answer != fact.answer)
        return sum(fact.answer in other.true or other.answer in fact.true for other in others) <= 1

    def add(self, fact: Fact) -> None:
        self.facts.append(fact)
        self.subjects.add(fact.subject)
        self.answers[fact.answer] += 1
        self.also_true.update(other for other in fact.true if other != fact.answer)

    def trim(self, share_cap: float) -> list[Fact]:
        """Drops the last facts of answers with too large a share of the facts; returns the others."""
        size = largest(self.answers.values(), len(self.facts), share_cap)
        limit, seen = int(size * share_cap), Counter[str]()
        kept: list[Fact] = []
        for fact in self.facts:
            seen[fact.answer] += 1
            if seen[fact.answer] <= limit and len(kept) < size:
                kept.append(fact)
        return kept


def _allowed_groups(facts: Sequence[Fact], quota: int, config: SampleConfig) -> frozenset[str]:
    """The answer classes of a small held-out split: as many as can each form a stratum."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for fact in facts:
        answers[fact.group][fact.answer] += 1
    able = {
        group: largest(counts.values(), sum(counts.values()), config.answer_share_cap)
        for group, counts in answers.items()
    }
    ordered = sorted(able, key=lambda group: (-able[group], group))
    whole = [group for group in ordered if able[group] >= 3 * quota] or ordered
    return (
        frozenset(whole[: max(quota // config.min_split_facts, 1)]) if able[whole[0]] >= quota else frozenset(ordered)
    )


def _held_out(
    pools: Mapping[str, Sequence[Fact]],
    quotas: Mapping[tuple[str, str], int],
    previous: Mapping[str, str],
    seed: int,
    config: SampleConfig,
) -> tuple[dict[tuple[str, str], _Bin], dict[str, str]]:
    """Assigns subjects to test and validation, first those whose facts can all be used."""
    bins = {
        (relation, split): _Bin(
            quotas[relation, split],
            config.answer_share_cap,
            _allowed_groups(
                # Subjects in train of an earlier release cannot be held out.
                [fact for fact in pools[relation] if previous.get(fact.subject) != "train"] or pools[relation],
                quotas[relation, split],
                config,
            )
            if quotas[relation, split]
            else None,
        )
        for relation in pools
        for split in _HELD_OUT
    }
    by_subject: dict[str, dict[str, list[Fact]]] = defaultdict(lambda: defaultdict(list))
    for relation, facts in pools.items():
        for fact in facts:
            by_subject[fact.subject][relation].append(fact)
    # Held-out subjects of an earlier release come first, so that its test set is preserved.
    shuffled = sorted(by_subject, key=lambda s: (previous.get(s) not in _HELD_OUT, order_key(seed, "split", s)))
    split_of = dict(previous)
    for wasted_share in (0.0, 0.34, 0.5, 0.75, 1.0):
        if all(entry.full() for entry in bins.values()):
            break
        for subject in shuffled:
            pinned = previous.get(subject)
            if pinned == "train" or (pinned is None and subject in split_of):
                continue
            order = _HELD_OUT if order_key(seed, "side", subject)[0] % 2 else _HELD_OUT[::-1]
            for split in (pinned,) if pinned else order:
                facts = _takeable(by_subject[subject], split, bins)
                wasted = len(by_subject[subject]) - len(facts)
                if not facts or (not pinned and wasted > wasted_share * len(by_subject[subject])):
                    continue
                for fact in facts:
                    bins[fact.relation, split].add(fact)
                split_of[subject] = split
                break
    return bins, split_of


def _takeable(facts: Mapping[str, Sequence[Fact]], split: str, bins: Mapping[tuple[str, str], _Bin]) -> list[Fact]:
    """The subject's first fact of each relation that the split still takes; one fact per subject and relation."""
    chosen = []
    for relation, relation_facts in facts.items():
        entry = bins[relation, split]
        if entry.full():
            continue
        first = next((fact for fact in relation_facts if entry.takes(fact)), None)
        if first is not None:
            chosen.append(first)
    return chosen


def _train(facts: Sequence[Fact], quota: int, held_out: Mapping[str, str], config: SampleConfig) -> list[Fact]:
    """The first facts of the pool that are neither held out nor a second question about the same subject."""
    free = [fact for fact in facts if held_out.get(fact.subject) not in _HELD_OUT]
    size = quota
    while size:
        entry = _Bin(size, config.answer_share_cap, None)
        for fact in free:
            if entry.takes(fact):
                entry.add(fact)
        if len(entry.facts) == size:
            return entry.facts
        size = len(entry.facts)
    return []


def select(
    pools: Mapping[str, Sequence[Fact]],
    total: int,
    seed: int,
    config: SampleConfig,
    previous: Mapping[str, str] | None = None,
) -> Selection:
    """Chooses up to `total` facts, balanced over relations and split by subject.

    `pools` holds each relation's valid candidates in their shuffled order; `previous` the split of subjects in an
    earlier release, which they keep. One fact per subject and relation: two would share one question with two golds.
    """
    capacity = {relation: len({fact.subject for fact in facts}) for relation, facts in pools.items()}
    best = Selection()
    while True:
        quotas = share_evenly(total, capacity)
        selection = select_by_quota(pools, split_quotas(quotas, config), previous or {}, seed, config)
        if selection.total() > best.total() or not best.facts:
            best = selection
        short = {relation: selection.of(relation) for relation in pools if selection.of(relation) < quotas[relation]}
        if not short or all(capacity[relation] <= number for relation, number in short.items()):
            return best
        if sum(quotas.values()) < total and sum(capacity.values()) <= total:
            return best
        capacity.update(short)


def select_by_quota(
    pools: Mapping[str, Sequence[Fact]],
    quotas: Mapping[tuple[str, str], int],
    previous: Mapping[str, str],
    seed: int,
    config: SampleConfig,
) -> Selection:
    """Chooses up to so many facts of each relation and split; otherwise as `select`."""
    bins, split_of = _held_out(pools, quotas, previous, seed, config)
    selection = Selection()
    for relation, facts in pools.items():
        chosen = {split: bins[relation, split].trim(config.answer_share_cap) for split in _HELD_OUT}
        chosen["train"] = _train(facts, quotas[relation, "train"], split_of, config)
        position = {fact.id: index for index, fact in enumerate(facts)}
        for split in SPLITS:
            if len(chosen[split]) >= 4:
                selection.facts[relation, split] = sorted(chosen[split], key=lambda fact: position[fact.id])
    return selection
