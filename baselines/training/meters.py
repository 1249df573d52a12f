"""Means of what a loss computes on the way, over steps and processes, for the log."""

from __future__ import annotations

from typing import Any

import torch


class Meters:
    """Sums of values and of their weights by name, since they were last read."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}

    def add(self, name: str, values: torch.Tensor) -> None:
        """Adds the mean of `values`, each of them with the same weight."""
        values = values.detach().double()
        pair = torch.stack([values.sum(), torch.tensor(float(values.numel()), device=values.device).double()])
        self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def read(self, accelerator: Any) -> dict[str, float]:
        """The means over all processes, which must have added the same names; starts anew."""
        names = sorted(self._sums)
        if not names:
            return {}
        sums = accelerator.reduce(torch.stack([self._sums.pop(name) for name in names]), "sum")
        return {name: float(total / count) for name, (total, count) in zip(names, sums.tolist()) if count}


class Logged:
    """A Trainer (as the first base) whose `meters` are logged beside its loss."""

    meters: Meters

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the meters to the lines of training steps."""
        if "loss" in logs:
            logs = {**logs, **self.meters.read(self.accelerator)}  # type: ignore[attr-defined]
        super().log(logs, start_time)  # type: ignore[misc]
