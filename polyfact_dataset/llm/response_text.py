"""The content of a finished answer: its text, or the JSON object in it, or the reason why it is invalid."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from polyfact_dataset.llm.protocol import Answer

_FENCE = re.compile(r"\A```[\w-]*\s*\n(.*?)\n?\s*```\Z", re.DOTALL)


class InvalidResponse(ValueError):
    """An answer that cannot be used; the message is the reason code."""


def finished_text(answer: Answer) -> str:
    """The text of a finished answer. Raises `InvalidResponse`."""
    if answer.finish == "length":
        raise InvalidResponse("cut_off")
    if answer.finish in ("refusal", "content_filter"):
        raise InvalidResponse("refused")
    if answer.finish in ("rejected", "unanswered", "no_content"):
        raise InvalidResponse(answer.finish)
    return answer.text.strip()


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise InvalidResponse("wrong_shape")
    return dict(pairs)


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object in the text, which may be in a code fence; duplicate keys are invalid.

    Raises `InvalidResponse`.
    """
    fenced = _FENCE.match(text)
    try:
        value = json.loads(fenced[1] if fenced else text, object_pairs_hook=_unique)
    except InvalidResponse:
        raise
    except (ValueError, RecursionError):
        raise InvalidResponse("not_json") from None
    if not isinstance(value, dict):
        raise InvalidResponse("wrong_shape")
    return value
