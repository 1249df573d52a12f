"""Repair a line that the parser rejects because of one value: the value is left out, and the entity is kept.

Dumps of other tools contain lone surrogates (half of a UTF-16 pair) and nulls, which are of no consequence where they
are in a label of another language.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

_SURROGATE = re.compile("[\ud800-\udfff]")
# Marks a value that is left out.
_GONE = object()


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _repaired_value(value: Any) -> Any:
    """The value without nulls and texts that are not Unicode, at any depth.

    An object of a language or site that loses its only value is left out as well.
    """
    if value is None or isinstance(value, str) and _SURROGATE.search(value):
        return _GONE
    if isinstance(value, list):
        return [kept for item in value if (kept := _repaired_value(item)) is not _GONE]
    if isinstance(value, dict):
        members = {key: _repaired_value(item) for key, item in value.items() if not _SURROGATE.search(key)}
        if members.get("value") is _GONE or members.get("title") is _GONE:
            return _GONE
        return {key: item for key, item in members.items() if item is not _GONE}
    return value


def repaired(line: bytes) -> bytes | None:
    """The line without the values that no JSON parser accepts, or None where it is broken in another way."""
    try:
        entity = json.loads(line, parse_constant=_refuse)
        return msgspec.json.encode(_repaired_value(entity)) if isinstance(entity, dict) else None
    except (ValueError, RecursionError):
        return None
