"""Sequences of tokens as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def pad_left(rows: Sequence[Sequence[int]], pad: int, device: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T) tokens padded on the left with `pad`, and their mask."""
    return _pad(rows, pad, True, device)


def pad_right(rows: Sequence[Sequence[int]], pad: int, device: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T) tokens padded on the right with `pad`, and their mask."""
    return _pad(rows, pad, False, device)


def _pad(rows: Sequence[Sequence[int]], pad: int, left: bool, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(rows):
        part = slice(width - len(tokens), width) if left else slice(0, len(tokens))
        ids[row, part] = torch.tensor(tokens, dtype=torch.long)
        mask[row, part] = 1
    return ids.to(device), mask.to(device)
