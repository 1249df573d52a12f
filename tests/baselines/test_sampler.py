"""Facts stay whole in generation batches and on processes, in an order that depends on seed and epoch alone."""

from __future__ import annotations

import pytest

from baselines.sampler import FactSampler, batch_facts
from polyfact_dataset.common.errors import ConfigError


def test_a_fact_is_a_block_of_languages_times_generations() -> None:
    rows = list(FactSampler(facts=5, languages=3, generations=2, batch_facts=1, repeats=1, seed=1))
    assert len(rows) == 5 * 6 and sorted(rows) == sorted(row for row in range(15) for _ in range(2))
    for start in range(0, len(rows), 6):
        fact = rows[start] // 3
        assert rows[start : start + 6] == [3 * fact, 3 * fact, 3 * fact + 1, 3 * fact + 1, 3 * fact + 2, 3 * fact + 2]


def test_a_batch_repeats_for_each_step_and_the_rest_is_left_out() -> None:
    sampler = FactSampler(facts=5, languages=2, generations=2, batch_facts=2, repeats=3, seed=1)
    rows = list(sampler)
    assert len(rows) == len(sampler) == 2 * 8 * 3
    assert rows[:8] == rows[8:16] == rows[16:24] != rows[24:32]
    assert len({row // 2 for row in rows}) == 4


def test_the_order_depends_on_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = FactSampler(20, 1, 1, 1, 1, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1, 2)}) == 6


def test_processes_get_whole_facts() -> None:
    assert batch_facts(per_device=8, steps=12, processes=1, languages=12, generations=8) == 1
    assert batch_facts(per_device=16, steps=6, processes=4, languages=12, generations=4) == 8
    with pytest.raises(ConfigError, match="12 languages x 8 generations = 96"):
        batch_facts(per_device=8, steps=8, processes=2, languages=12, generations=8)
    with pytest.raises(ConfigError, match="3 facts do not fill a batch of 4"):
        FactSampler(3, 1, 1, 4, 1, 0)
