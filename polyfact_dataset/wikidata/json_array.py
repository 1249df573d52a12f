"""JSON arrays in another layout than that of dumps, relayed one entity per line."""

from __future__ import annotations

import codecs
import re
from typing import Protocol

import msgspec
import numpy as np

from polyfact_dataset.common.errors import DataError

# Wikidata's entities have some ten levels.
_MOST_LEVELS = 200
_ESCAPE, _STRING = re.compile(rb"\\.", re.DOTALL), re.compile(rb'"[^"]*"')
# The change of level by each byte outside strings.
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1


class Stream(Protocol):
    """A stream of text: `read` returns up to `size` bytes, b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


class _Shallow:
    """A stream of JSON. Raises `DataError` where it is nested deeper than `_MOST_LEVELS`.

    The parser's memory grows with the square of the depth.
    """

    def __init__(self, stream: Stream, name: str) -> None:
        self._stream, self._name = stream, name
        self._level, self._rest = 0, b""
        self._mark = codecs.BOM_UTF8

    def read(self, size: int) -> bytes:
        data = self._stream.read(size).removeprefix(self._mark)
        # The parser's first call asks for nothing.
        self._mark = b"" if data else self._mark
        text = _ESCAPE.sub(b"", self._rest + data)
        # A trailing backslash, and a string that is still open, continue in the next piece.
        escape = b"\\" if text.endswith(b"\\") else b""
        outside, quote, _ = _STRING.sub(b"", text).partition(b'"')
        self._rest = quote + escape
        levels = self._level + np.cumsum(_STEPS[np.frombuffer(outside, np.uint8)], dtype=np.int64)
        if len(levels):
            self._level = int(levels[-1])
            if levels.max() > _MOST_LEVELS:
                raise DataError(f"dump {self._name} is nested deeper than {_MOST_LEVELS} levels: it is not Wikidata's")
        return data


class Relayed:
    """The entities of a JSON array in any layout, one per line."""

    def __init__(self, stream: Stream, name: str) -> None:
        import ijson

        self._items, self._name = ijson.items(_Shallow(stream, name), "item", use_float=True), name
        self._error: type[Exception] = ijson.JSONError
        self._rest = b""

    def read(self, size: int) -> bytes:
        try:
            parts, total = [self._rest], len(self._rest)
            while total < size:
                line = msgspec.json.encode(next(self._items)) + b"\n"
                parts.append(line)
                total += len(line)
        except StopIteration:
            pass
        except self._error as error:
            raise DataError(f"dump {self._name} is not a valid JSON array: {error}") from error
        text = b"".join(parts)
        part, self._rest = text[:size], text[size:]
        return part
