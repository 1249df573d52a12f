"""Progress of a build: a live line on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from polyfact_dataset.common.secrets import redacted

_LOG_EVERY_S = 30.0


class Task(Protocol):
    """The progress of one task. `note` is shown next to the rate."""

    def advance(self, amount: float = 1.0, note: str = "") -> None: ...


class _Bar:
    def __init__(self, progress: Progress, task: object) -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._progress.advance(self._task, amount)  # type: ignore[arg-type]
        task = self._progress.tasks[0]
        if task.speed or note:
            rate = f"{task.speed:,.1f}/s" if task.speed else ""
            self._progress.update(self._task, rate=" ".join(filter(None, (rate, note))))  # type: ignore[arg-type]


class _Plain:
    def __init__(self, log: Log, name: str, unit: str, total: float | None) -> None:
        self._log, self._name, self._unit, self._total = log, name, unit, total
        self._done, self._start = 0.0, time.monotonic()
        self._next = self._start + _LOG_EVERY_S

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self._done += amount
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOG_EVERY_S
        rate = self._done / (now - self._start)
        text = f"{self._name}: {self._done:,.0f} {self._unit}, {rate:,.1f}/s"
        if self._total:
            text += f", {100 * self._done / self._total:.0f} %, about {(self._total - self._done) / rate:,.0f} s left"
        self._log.line(f"{text}; {note}" if note else text)


class Log:
    """Writes to standard error; with `quiet`, only errors."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._quiet = quiet

    def line(self, text: str) -> None:
        """One plain line."""
        if not self._quiet:
            self.console.print(redacted(text), markup=False)

    @contextmanager
    def progress(self, name: str, unit: str, total: float | None = None) -> Iterator[Task]:
        """A task with rate and, when `total` is known, expected end."""
        if self._quiet or not sys.stderr.isatty():
            yield _Plain(self, name, unit, total)
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} " + unit),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield _Bar(progress, progress.add_task(name, total=total, rate=""))
