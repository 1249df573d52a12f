"""Equal numbers of forward passes on all processes.

With FSDP and ZeRO-3 every forward pass gathers weights from all processes. A process that has fewer batches or shorter
generations than another would then leave the other waiting forever. Inside `lockstep`, a process that is done takes
part in the others' passes with an input of one token.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_active: list[LockStep] = []


class LockStep:
    """Announces each forward pass of `network` to the other processes.

    One round is one all-reduce followed by one forward pass on every process: a real one, or a dummy one on processes
    that called `finish`.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self._dummy = False

    def _announce(self, busy: bool) -> int:
        """The number of processes that have a real forward pass to make in this round."""
        import torch
        import torch.distributed

        flag = torch.tensor([int(busy)], device=next(self.network.parameters()).device)
        torch.distributed.all_reduce(flag)
        return int(flag.item())

    def before_forward(self, *_: Any) -> None:
        """The hook on the network."""
        if not self._dummy:
            self._announce(True)

    def finish(self) -> None:
        """Takes part in the passes of others until no process has one left.

        Evaluators must use `torch.no_grad`: FSDP cannot train weights that were gathered in inference mode.
        """
        import torch

        ids = torch.zeros((1, 1), dtype=torch.long, device=next(self.network.parameters()).device)
        while self._announce(False):
            self._dummy = True
            try:
                with torch.no_grad():
                    self.network(input_ids=ids, use_cache=False)
            finally:
                self._dummy = False


@contextmanager
def lockstep(network: Any, needed: bool) -> Iterator[None]:
    """All processes must enter and leave together. `needed` is whether a forward pass of `network` is a collective."""
    if not needed:
        yield
        return
    step = LockStep(network)
    # First of all hooks: a dummy pass announces itself before FSDP's hook gathers weights, and so must a real one.
    handle = network.register_forward_pre_hook(step.before_forward, prepend=True)
    _active.append(step)
    try:
        yield
        step.finish()
    finally:
        _active.remove(step)
        handle.remove()


def finish() -> None:
    """To call before a barrier inside `lockstep`; has no effect elsewhere."""
    if _active:
        _active[-1].finish()
