"""Lines across cuts: what a chunk begins and ends with is a part of a line that its neighbours complete."""

from __future__ import annotations


def joined(first: bytes, second: bytes, limit: int) -> bytes:
    """Two parts of one line. Of a line above `limit` bytes one byte too many is kept: enough to refuse it."""
    return (first + second[: max(limit + 1 - len(first), 0)])[: limit + 1]


class LineCutter:
    """Cuts text that arrives in pieces into whole lines.

    `head` is what stood before the first newline (None where the text begins with a line, or has no newline yet),
    `tail` what stands behind the last, `newlines` how many there were. Lines are handed on with their newlines.
    """

    def __init__(self, limit: int, *, at_line: bool) -> None:
        self._limit = limit
        self._wants_head = not at_line
        self.head: bytes | None = None
        self.tail = b""
        self.newlines = 0

    def feed(self, text: bytes) -> bytes:
        """Takes the next piece; returns the lines that it completes, without the head."""
        cut = text.rfind(b"\n") + 1
        if not cut:
            self.tail = joined(self.tail, text, self._limit)
            return b""
        self.newlines += text.count(b"\n", 0, cut)
        first = 0
        if self._wants_head:
            first = text.find(b"\n")
            self.head, self._wants_head = joined(self.tail, text[:first], self._limit), False
            self.tail, first = b"", first + 1
        if not self.tail:
            lines = text[first:cut]
        elif len(self.tail) + text.find(b"\n") > self._limit:
            end = text.find(b"\n")
            lines = joined(self.tail, text[:end], self._limit) + text[end:cut]
        else:
            lines = self.tail + text[:cut]
        self.tail = text[cut:]
        return lines
