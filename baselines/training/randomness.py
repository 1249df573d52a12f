"""Code that draws random numbers without changing those of the training around it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def same_randomness() -> Iterator[None]:
    """Restores the states of Python's, NumPy's and PyTorch's generators on exit."""
    state, arrays = random.getstate(), np.random.get_state()
    with fork_rng():
        yield
    random.setstate(state)
    np.random.set_state(arrays)


@contextmanager
def fork_rng() -> Iterator[None]:
    """Restores PyTorch's generators on exit: the CPU's, and the current accelerator's if there is one.

    Without `devices`, PyTorch saves the state of every accelerator of the machine, which creates a context on each.
    """
    import torch

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if device is None:
        with torch.random.fork_rng(devices=[]):
            yield
        return
    with torch.random.fork_rng(devices=[torch.accelerator.current_device_index()], device_type=device.type):
        yield
