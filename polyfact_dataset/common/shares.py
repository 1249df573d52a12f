"""Sharing a number among keys of limited capacity."""

from __future__ import annotations

from collections.abc import Mapping


def share_evenly(total: int, capacity: Mapping[str, int]) -> dict[str, int]:
    """Shares `total` evenly over the keys, none above its capacity; what is left over goes to the first keys."""
    given = dict.fromkeys(capacity, 0)
    left = min(total, sum(capacity.values()))
    while left:
        open_keys = [key for key in capacity if given[key] < capacity[key]]
        share = max(left // len(open_keys), 1)
        for key in open_keys:
            step = min(share, capacity[key] - given[key], left)
            given[key] += step
            left -= step
    return given
