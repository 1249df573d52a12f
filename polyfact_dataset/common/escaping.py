"""Hostile text where people see it: in Markdown, and on a terminal."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~$&])")
# Controls other than tab and newline: a terminal takes what follows some of them for a command.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def markdown(text: str) -> str:
    """A label or question inside Markdown, in a table too: no markup of its own, one line."""
    return " ".join(_MARKUP.sub(r"\\\1", text).split())


def printable(text: str) -> str:
    """The text with a replacement character for each that a terminal could take for a command."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
