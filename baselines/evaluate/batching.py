"""Batches by a budget of tokens that is halved when memory runs out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from polyfact_dataset.common.errors import DataError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def out_of_memory(error: Exception) -> bool:
    """Whether an error reports that a device is out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)


class Batcher:
    """Runs a step over batches whose tokens, padding counted, stay within `budget`. The budget only shrinks."""

    def __init__(self, device: torch.device, budget: int | None = None) -> None:
        # A CPU is fastest while a batch stays in its caches; an accelerator needs many tokens to be busy.
        self.budget = budget or (1024 if device.type == "cpu" else 65536)

    def run(
        self,
        items: Iterable[Item],
        cost: Callable[[Item], int],
        step: Callable[[Sequence[Item]], Sequence[Outcome]],
        name: Callable[[Item], str],
    ) -> Iterator[tuple[Item, Outcome]]:
        """Each item with what `step` gave for it. `items` must come in descending order of `cost`, in tokens.

        Raises `DataError`, with the item's `name`, when it does not fit even alone.
        """
        queue = deque(items)
        while queue:
            batch = [queue.popleft()]
            width = cost(batch[0])
            while queue and (len(batch) + 1) * width <= self.budget:
                batch.append(queue.popleft())
            outcomes: Sequence[Outcome] | None = None
            try:
                outcomes = step(batch)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise DataError(f"{name(batch[0])}: one item alone does not fit into memory: {error}") from error
            if outcomes is None:  # out of the handler, whose traceback kept the tensors alive
                self.budget = width * (len(batch) // 2)
                queue.extendleft(reversed(batch))
                clear_device_cache(garbage_collection=True)
                continue
            yield from zip(batch, outcomes, strict=True)

    def answers(
        self,
        numbers: Iterable[int],
        prompts: Sequence[list[int]],
        new_tokens: int,
        generate: Callable[[list[list[int]]], Sequence[Outcome]],
        names: Sequence[str],
    ) -> Iterator[tuple[int, Outcome]]:
        """What `generate` gives for the prompts `numbers` (token ids), longest first; equal numbers stay together."""
        yield from self.run(
            sorted(numbers, key=lambda number: (-len(prompts[number]), number)),
            lambda number: len(prompts[number]) + new_tokens,
            lambda batch: generate([prompts[number] for number in batch]),
            lambda number: names[number],
        )
