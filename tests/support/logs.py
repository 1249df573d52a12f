"""A log that keeps its lines for tests."""

from __future__ import annotations

from polyfact_dataset.common.progress import Log


class Lines(Log):
    """Keeps what would be shown."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)
