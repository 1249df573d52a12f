"""Means of intermediate values of a loss, over steps and processes, for the log."""

from __future__ import annotations

from typing import Any

import torch


class RunningMeans:
    """Sums of values and of their counts by name, since the last `read`."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}

    def add(self, name: str, values: torch.Tensor) -> None:
        """Adds `values` of any shape; each has the same weight in the mean."""
        values = values.detach().double()
        pair = torch.stack([values.sum(), torch.tensor(float(values.numel()), device=values.device).double()])
        self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def read(self, accelerator: Any) -> dict[str, float]:
        """The means over all processes, which must have added the same names. Resets the sums."""
        names = sorted(self._sums)
        if not names:
            return {}
        sums = accelerator.reduce(torch.stack([self._sums.pop(name) for name in names]), "sum")
        return {name: float(total / count) for name, (total, count) in zip(names, sums.tolist()) if count}


class MetricLogging:
    """Mixin for a Trainer (as its first base): logs `means` together with the loss."""

    means: RunningMeans

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the means to the log lines of training steps."""
        if "loss" in logs:
            logs = {**logs, **self.means.read(self.accelerator)}  # type: ignore[attr-defined]
        super().log(logs, start_time)  # type: ignore[misc]
