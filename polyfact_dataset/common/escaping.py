"""Escape untrusted text for Markdown and terminals."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~$&])")
# Control characters other than tab and newline: some of them begin a terminal command.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def markdown(text: str) -> str:
    """A label or question with its markup escaped, on one line, for use in Markdown and its tables."""
    return " ".join(_MARKUP.sub(r"\\\1", text).split())


def printable(text: str) -> str:
    """The text with each control character replaced, since a terminal could interpret it as a command."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
