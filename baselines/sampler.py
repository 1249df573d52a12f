"""The order in which GRPO sees a dataset of (fact, language) rows: the L rows of a fact stay together.

TRL's sampler shuffles rows, which scatters a fact's languages over batches and processes; a reward pooled over
them is then silently wrong. Here a generation batch holds whole facts, and so does each process's part of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from polyfact_dataset.common.errors import ConfigError


class FactSampler:
    """Row indices of facts in random order: per fact its L rows, each G times; a new order in every epoch.

    Row `fact * languages + position` of the dataset is a fact's row in one language. `batch_facts` facts form a
    generation batch of all processes, which comes `repeats` times in a row (TRL takes a slice of it each time).
    Facts that do not fill a last batch are left out in that epoch.
    """

    def __init__(self, facts: int, languages: int, generations: int, batch_facts: int, repeats: int, seed: int) -> None:
        if facts < batch_facts:
            raise ConfigError(f"{facts} facts do not fill a batch of {batch_facts}: use more facts or a smaller batch")
        self.facts = facts
        self.languages = languages
        self.generations = generations
        self.batch_facts = batch_facts
        self.repeats = repeats
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of each epoch, and when it resumes into one."""
        self.epoch = epoch

    def __len__(self) -> int:
        batches = self.facts // self.batch_facts
        return batches * self.batch_facts * self.languages * self.generations * self.repeats

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.facts).tolist()
        for start in range(0, self.facts - self.batch_facts + 1, self.batch_facts):
            chosen = order[start : start + self.batch_facts]
            for _ in range(self.repeats):
                for fact in chosen:
                    for row in range(fact * self.languages, (fact + 1) * self.languages):
                        yield from [row] * self.generations


def batch_facts(per_device: int, steps: int, processes: int, languages: int, generations: int) -> int:
    """Facts in a generation batch of `per_device * steps` rows per process.

    Raises `ConfigError` unless every process gets whole facts.
    """
    rows, block = per_device * steps, languages * generations
    if rows % block:
        raise ConfigError(
            f"{per_device} rows per device x {steps} steps per generation = {rows} rows per process, but a fact takes "
            f"{languages} languages x {generations} generations = {block}: make the first a multiple of the second"
        )
    return rows // block * processes
