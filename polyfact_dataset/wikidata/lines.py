"""Lines across cuts: the first and last line of a chunk may be completed by its neighbours."""

from __future__ import annotations

from typing import NamedTuple


def joined(first: bytes, second: bytes, limit: int) -> bytes:
    """Two parts of one line. A line is truncated to `limit` + 1 bytes, so that it is rejected."""
    return (first + second[: max(limit + 1 - len(first), 0)])[: limit + 1]


class Lines(NamedTuple):
    """Whole lines with their newlines, in place: `data[start:stop]`."""

    data: bytes
    start: int
    stop: int


class LineCutter:
    """Cuts text that arrives in pieces into whole lines.

    `head` is the text before the first newline (None where the text begins with a line, or has no newline yet),
    `tail` the text after the last. Only lines cut by the pieces are copied: copying all would take a fifth of the
    parsing time.
    """

    def __init__(self, limit: int, *, at_line: bool) -> None:
        self._limit = limit
        self._wants_head = not at_line
        self.head: bytes | None = None
        self.tail = b""

    def feed(self, text: bytes) -> list[Lines]:
        """Takes the next piece; returns the lines that it completes, without the head."""
        cut = text.rfind(b"\n") + 1
        if not cut:
            self.tail = joined(self.tail, text, self._limit)
            return []
        tail, self.tail = self.tail, text[cut:]
        if not tail and not self._wants_head:
            return [Lines(text, 0, cut)]
        end = text.find(b"\n")
        first, others = joined(tail, text[:end], self._limit), Lines(text, end + 1, cut)
        if self._wants_head:
            self.head, self._wants_head = first, False
            return [others]
        return [Lines(first + b"\n", 0, len(first) + 1), others]
