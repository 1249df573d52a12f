"""Distribute a number over keys of limited capacity."""

from __future__ import annotations

from collections.abc import Mapping


def share_evenly(total: int, capacity: Mapping[str, int]) -> dict[str, int]:
    """Shares `total` evenly over the keys, none above its capacity; the remainder goes to the first keys."""
    shares = dict.fromkeys(capacity, 0)
    left = min(total, sum(capacity.values()))
    while left:
        open_keys = [key for key in capacity if shares[key] < capacity[key]]
        share = max(left // len(open_keys), 1)
        for key in open_keys:
            step = min(share, capacity[key] - shares[key], left)
            shares[key] += step
            left -= step
    return shares
