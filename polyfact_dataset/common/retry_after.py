"""Parse the Retry-After header."""

from __future__ import annotations

import email.utils
import math
import time


def retry_after_s(header: str | None) -> float | None:
    """Seconds of a `Retry-After` header, which is a number or a date; None where it is neither."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
