"""What a finished answer holds: its text, or the JSON object in it, or the reason why it cannot be used."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from polyfact_dataset.llm.protocol import Answer

_FENCE = re.compile(r"\A```[\w-]*\s*\n(.*?)\n?\s*```\Z", re.DOTALL)


class Unusable(ValueError):
    """An answer that cannot be used; the message is the reason code."""


def text_of(answer: Answer) -> str:
    """The text of a finished answer. Raises `Unusable`."""
    if answer.finish == "length":
        raise Unusable("cut_off")
    if answer.finish in ("refusal", "content_filter"):
        raise Unusable("refused")
    if answer.finish in ("rejected", "unanswered"):
        raise Unusable(answer.finish)
    return answer.text.strip()


def _pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise Unusable("wrong_shape")
    return dict(pairs)


def object_of(text: str) -> dict[str, Any]:
    """A JSON object, which may stand in one code fence; no key twice. Raises `Unusable`."""
    fenced = _FENCE.match(text)
    try:
        value = json.loads(fenced[1] if fenced else text, object_pairs_hook=_pairs)
    except Unusable:
        raise
    except (ValueError, RecursionError):
        raise Unusable("not_json") from None
    if not isinstance(value, dict):
        raise Unusable("wrong_shape")
    return value
