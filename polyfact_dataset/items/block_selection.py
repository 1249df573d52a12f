"""Which facts are released, in blocks of four that have each other's golds as options.

More facts are selected than are requested, and matched into blocks within relation, split and kind of subject; then
the blocks whose questions give away least are kept, up to the quota of each relation and split. So no gold holds
more than a quarter of what is matched, and the number of facts is a multiple of four everywhere.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from polyfact_dataset.catalog.relation import is_heading
from polyfact_dataset.common.processes import map_inheriting
from polyfact_dataset.common.shares import share_evenly
from polyfact_dataset.config.build import Config, DistractConfig, SampleConfig
from polyfact_dataset.items.blocks import FORBIDDEN, SIZE, Costs, costs_of, dividable, divide, improve
from polyfact_dataset.items.matching import Matcher
from polyfact_dataset.items.small_relations import minimum
from polyfact_dataset.items.splits import Fact, Selection, order_key, select, select_by_quota, split_quotas
from polyfact_dataset.items.strata import Pool
from polyfact_dataset.pipeline.context import Previous
from polyfact_dataset.schema import SPLITS

# How often blocks with an option that must not be offered are searched again.
_REPAIRS = 4
# How many facts more than are missing are matched where blocks of an earlier release are replaced.
_SPARE = 64
# How many times as many facts as are requested are matched where there are hardly more.
_SCARCE_OVERSAMPLE = 1.4
# From so many facts on, the relations are shared out among processes.
_MANY_FACTS = 2_000
_Key = tuple[str, str]


@dataclass(frozen=True)
class Block:
    """Four facts with four golds, and what their pairs cost together."""

    cost: int
    facts: tuple[Fact, ...]


def choose_blocks(pool: Pool, config: Config, previous: Previous) -> tuple[list[dict[str, object]], set[str]]:
    """Rows of `schema.SAMPLED` in no particular order, and the ids of selected facts that are in no valid block.

    Relations and splits are as large as they are without an earlier release. Its blocks come first, as far as all four
    facts are still candidates, so that a build from the same candidates is the same; new ones replace the others.
    """
    pools = {relation: _servable(facts, config.distract) for relation, facts in pool.facts.items()}
    more = _oversample(pool, config)
    number = math.ceil(config.facts * more)
    wide = select(pools, number, config.seed, _wider(config.sample), {} if previous.blocks else previous.splits)
    blocks = _blocks_of(pool, wide, config)
    quotas = block_quotas({key: len(listed) for key, listed in blocks.items()}, config)
    if previous.blocks:
        earlier = _earlier_blocks(pool, previous)
        missing = {key: max(number - len(earlier.get(key, ())), 0) for key, number in quotas.items()}
        known = {name for block in previous.blocks for name in block}
        wide = _replacements(pools, earlier, missing, known, previous, config)
        added = _blocks_of(pool, wide, config)
        # Facts of blocks that were broken are not given up for the sake of a cheaper block.
        for listed in added.values():
            listed.sort(key=lambda block: -sum(fact.id in known for fact in block.facts))
        blocks = {key: [*earlier.get(key, ()), *added.get(key, ())] for key in quotas}
    rows = [
        row
        for (relation, split), number in quotas.items()
        for position, block in enumerate(blocks[relation, split][:number])
        for row in _rows(block, split, f"{relation}/{split}/{position:05}")
    ]
    matched = {fact.id for listed in blocks.values() for block in listed for fact in block.facts}
    unserved = {fact.id for facts in wide.facts.values() for fact in facts} - matched
    servable = {fact.id for facts in pools.values() for fact in facts}
    return rows, unserved | {fact.id for facts in pool.facts.values() for fact in facts if fact.id not in servable}


def _blocks_of(pool: Pool, selection: Selection, config: Config) -> dict[_Key, list[Block]]:
    """The valid blocks of the selected facts by relation and split, those that give away least first."""
    sizes = Counter({relation: 0 for relation, _ in selection.facts})
    for (relation, _), facts in selection.facts.items():
        sizes[relation] += len(facts)
    # A matcher serves a whole relation, so a process gets one; the largest first.
    relations = [relation for relation, _ in sizes.most_common()]
    count = config.extract.workers if sizes.total() >= _MANY_FACTS else 1
    by_relation = dict(zip(relations, map_inheriting(_blocks_in, (pool, selection, config), relations, count)))
    return {(relation, split): by_relation[relation][split] for relation, split in selection.facts}


def _blocks_in(shared: tuple[Pool, Selection, Config], relation: str) -> dict[str, list[Block]]:
    """The valid blocks of one relation by split, those that give away least first."""
    pool, selection, config = shared
    return {
        split: sorted(
            (
                block
                for number, cell in enumerate(_cells(facts, config.distract))
                for block in _match(pool, pool.matcher(relation), cell, config, f"{relation}/{split}/{number}")
            ),
            key=_by_cost,
        )
        for (of, split), facts in selection.facts.items()
        if of == relation
    }


def _by_cost(block: Block) -> tuple[int, str]:
    return block.cost, block.facts[0].id


def _earlier_blocks(pool: Pool, previous: Previous) -> dict[_Key, list[Block]]:
    """The blocks of an earlier release whose facts are candidates and may still have each other's golds as options."""
    facts = {fact.id: fact for listed in pool.facts.values() for fact in listed}
    kept: dict[_Key, list[Block]] = defaultdict(list)
    for names in previous.blocks:
        block = tuple(facts[name] for name in names if name in facts)
        splits = {previous.splits.get(fact.subject, "") for fact in block}
        if len(block) == SIZE and len(splits) == 1 and _is_valid(pool, block):
            cost = costs_of(np.arange(SIZE)[None, :], pool.matcher(block[0].relation).costs(block))[0]
            kept[block[0].relation, splits.pop()].append(Block(int(cost), block))
    return {key: sorted(members, key=_by_cost) for key, members in kept.items()}


def _is_valid(pool: Pool, block: Sequence[Fact]) -> bool:
    """Whether every fact of a block may have the golds of the others as options."""
    questions = dict(zip(block, pool.questions_of(block)))
    return all(
        one.subject != other.subject
        and not pool.conflicting(one.answer, other.answer)
        and not pool.excluded(one, questions[one], other.answer)
        for one, other in permutations(block, 2)
    )


def _replacements(
    pools: Mapping[str, Sequence[Fact]],
    earlier: Mapping[_Key, Sequence[Block]],
    missing: Mapping[_Key, int],
    known: Container[str],
    previous: Previous,
    config: Config,
) -> Selection:
    """Facts for the blocks that an earlier release lacks, those that it has (`known`) first."""
    asked = {(fact.subject, fact.relation) for listed in earlier.values() for block in listed for fact in block.facts}
    free = {
        relation: sorted(left, key=lambda fact: fact.id not in known)
        for relation, facts in pools.items()
        if any(missing.get((relation, split)) for split in SPLITS)
        and (left := [fact for fact in facts if (fact.subject, relation) not in asked])
    }
    quotas = {
        (relation, split): number and SIZE * number + _SPARE
        for relation in free
        for split in SPLITS
        for number in [missing.get((relation, split), 0)]
    }
    return select_by_quota(free, quotas, previous.splits, config.seed, config.sample)


def _oversample(pool: Pool, config: Config) -> float:
    """How many times as many facts as are requested are matched: as many as there are, within bounds."""
    available = sum(map(len, pool.facts.values())) / config.facts
    return min(config.distract.oversample, max(_SCARCE_OVERSAMPLE, available))


def _wider(sample: SampleConfig) -> SampleConfig:
    """The settings of the selection from which blocks are chosen, with larger minima, for matching loses some facts.

    They do not grow with the facts that are matched: what a held-out split of a small relation has too many of is lost.
    """
    names = ("min_split_facts", "min_test_facts")
    return sample.model_copy(update={name: math.ceil(_SCARCE_OVERSAMPLE * getattr(sample, name)) for name in names})


def _servable(facts: Sequence[Fact], config: DistractConfig) -> list[Fact]:
    """The facts of a relation that have a cell, in order: no answer holds more than a quarter of one."""
    kept = {fact.id for cell in _cells(facts, config) for fact in cell}
    return [fact for fact in facts if fact.id in kept]


def _finest(fact: Fact) -> str:
    return fact.kinds[0] if fact.kinds else ""


def _widest(fact: Fact) -> str:
    """The widest kind of a subject whose narrower kinds are alike: not product, which a missile and a console are."""
    return next((kind for kind in reversed(fact.kinds) if not is_heading(kind)), _finest(fact))


# What the facts of a cell agree in; those that are too few for one are put together at the next level.
_LEVELS: tuple[Callable[[Fact], tuple[str, ...]], ...] = (
    lambda fact: (_finest(fact), fact.wording, fact.answer_class),
    lambda fact: (_finest(fact), fact.answer_class),
    lambda fact: (_finest(fact),),
    lambda fact: (_widest(fact), fact.answer_class),
    lambda fact: (_widest(fact),),
)


def _cells(facts: Sequence[Fact], config: DistractConfig) -> list[list[Fact]]:
    """The facts by kind of subject, wording and type of answer, as far as there are enough of each; never across kinds.

    Every cell can be divided into blocks. What is left of too frequent answers goes to wider cells as well.
    """
    cells: list[list[Fact]] = []
    left = list(facts)
    for number, level in enumerate(_LEVELS):
        groups: dict[tuple[str, ...], list[Fact]] = defaultdict(list)
        for fact in left:
            groups[level(fact)].append(fact)
        taken: set[str] = set()
        for key in sorted(groups):
            rows = dividable([fact.answer for fact in groups[key]])
            if rows and (len(rows) >= config.min_cell_facts or number == len(_LEVELS) - 1):
                cells.append([groups[key][row] for row in rows])
                taken.update(fact.id for fact in cells[-1])
        left = [fact for fact in left if fact.id not in taken]
    return cells


def _chunks(facts: Sequence[Fact], size: int, seed: str) -> list[list[Fact]]:
    """The facts in parts of about `size`, over which every answer is spread evenly, each of them dividable."""
    count = max(round(len(facts) / size), 1)
    if count == 1:
        return [list(facts)]
    shuffled = sorted(facts, key=lambda fact: order_key(0, seed, fact.id))
    times = Counter(fact.answer for fact in facts)
    ordered = sorted(shuffled, key=lambda fact: (-times[fact.answer], fact.answer))
    parts = [ordered[number::count] for number in range(count)]
    return [[part[row] for row in dividable([fact.answer for fact in part])] for part in parts]


def _match(pool: Pool, matcher: Matcher, cell: Sequence[Fact], config: Config, name: str) -> list[Block]:
    """Valid blocks of the facts of one relation, split and kind."""
    matched: list[Block] = []
    for number, facts in enumerate(_chunks(cell, config.distract.chunk_facts, f"{config.seed}/{name}")):
        if not facts:
            continue
        rng = np.random.default_rng([config.seed, *f"{name}/{number}".encode()])
        costs = matcher.costs(facts)
        order = rng.permutation(len(facts)).tolist()
        blocks = improve(divide([fact.answer for fact in facts], order), costs, config.distract.rounds, rng)
        blocks = _repaired(pool, facts, blocks, costs, config.distract, rng)
        matched += [
            Block(int(cost), tuple(facts[row] for row in block))
            for cost, block in zip(costs_of(blocks, costs), blocks.tolist())
            if cost < FORBIDDEN
        ]
    return matched


def _repaired(
    pool: Pool,
    facts: Sequence[Fact],
    blocks: np.ndarray,
    costs: Costs,
    config: DistractConfig,
    rng: np.random.Generator,
) -> np.ndarray:
    """The blocks after pairs with an option that must not be offered are forbidden, in `costs` too, and put apart."""
    questions = pool.questions_of(facts)
    sound: set[tuple[int, int]] = set()

    def offered(row: int, other: int) -> bool:
        """Whether the gold of `other` may be an option of `row`."""
        return not pool.excluded(facts[row], questions[row], facts[other].answer)

    for attempt in range(_REPAIRS + 1):
        changed = False
        for block in blocks.tolist():
            pairs = [(one, other) for position, one in enumerate(block) for other in block[position + 1 :]]
            for one, other in (pair for pair in pairs if costs[pair] < FORBIDDEN and pair not in sound):
                apart = pool.conflicting(facts[one].answer, facts[other].answer)
                if apart or not offered(one, other) or not offered(other, one):
                    costs[one, other] = costs[other, one] = FORBIDDEN
                    changed = True
                else:
                    sound.update(((one, other), (other, one)))
            changed = changed or bool(max(costs[pair] for pair in pairs) >= FORBIDDEN)
        if not changed or attempt == _REPAIRS:
            return blocks
        blocks = improve(blocks, costs, max(config.rounds // 3, 1), rng)
    return blocks


def _rows(block: Block, split: str, stratum: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for fact in block.facts:
        rows.append(
            {
                "fact_id": fact.id,
                "subject_id": fact.subject,
                "property_id": fact.relation,
                "object_id": fact.answer,
                "split": split,
                "stratum": stratum,
                # Of no meaning: the order shown is drawn by `items.layout`.
                "distractor_ids": sorted(other.answer for other in block.facts if other is not fact),
            }
        )
    return rows


def block_quotas(available: Mapping[_Key, int], config: Config) -> dict[_Key, int]:
    """How many blocks of each relation and split are kept of those `available`.

    `drop_share` of each are left out. The rest is shared evenly over the relations up to the facts asked for, and over
    the splits by `split_quotas`; what a held-out split lacks goes to train.
    """
    kept = {key: number - math.floor(number * config.distract.drop_share) for key, number in available.items()}
    relations = list(dict.fromkeys(relation for relation, _ in available))
    capacity = {r: sum(kept.get((r, split), 0) for split in SPLITS) for r in relations}
    quotas: dict[_Key, int] = {}
    for relation, number in share_evenly(config.facts // SIZE, capacity).items():
        quotas[relation, "train"] = number
    wanted = _held_out({relation: number for (relation, _), number in quotas.items()}, config.sample)
    for (relation, split), number in wanted.items():
        quotas[relation, split] = min(number, kept.get((relation, split), 0))
        quotas[relation, "train"] -= quotas[relation, split]
    for relation in relations:
        quotas[relation, "train"] = min(quotas[relation, "train"], kept.get((relation, "train"), 0))
    return {key: number for key, number in quotas.items() if number}


def _held_out(blocks: Mapping[str, int], config: SampleConfig) -> dict[_Key, int]:
    """Blocks of validation and test by relation: `split_quotas` in whole blocks, with the same total."""
    facts = split_quotas({relation: SIZE * number for relation, number in blocks.items()}, config)
    numbers: dict[_Key, int] = {}
    for split in ("test", "validation"):
        sizes = {relation: facts[relation, split] for relation in blocks}
        least = {relation: minimum(SIZE * number, config) for relation, number in blocks.items()}
        whole = {
            relation: -(-number // SIZE) if number <= least[relation] else number // SIZE
            for relation, number in sizes.items()
        }
        left = round(sum(sizes.values()) / SIZE) - sum(whole.values())
        for relation in sorted(sizes, key=lambda relation: SIZE * whole[relation] - sizes[relation])[: max(left, 0)]:
            whole[relation] += 1
        numbers |= {(relation, split): number for relation, number in whole.items()}
    return numbers
