"""Repetition penalty and ban of repeated n-grams for sampling, counted on the completion alone or with its prompt.

Transformers counts the prompt. A prompt that shows the options then makes their names hard or impossible to generate:
with OLMo-2's tokenizer the ban of repeated 3-grams excludes the usual tokens of the correct option in 39 % of English,
89 % of Russian and 99.9 % of Arabic items (`baselines.feasibility` counts it for any tokenizer).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

# What is counted: the completion, or the prompt too.
Scope = Literal["completion", "all"]


def banned_after(tokens: Sequence[int], size: int) -> set[int]:
    """The tokens that would repeat an n-gram of `size` tokens of `tokens`."""
    if len(tokens) < size:
        return set()
    begin = tuple(tokens[len(tokens) - size + 1 :])
    return {
        tokens[start + size - 1]
        for start in range(len(tokens) - size + 1)
        if tuple(tokens[start : start + size - 1]) == begin
    }


def processors(repetition: float, ngram: int | None, scope: Scope, mask: torch.Tensor) -> Any:
    """Logits processors for `generate` on prompts with attention `mask` (B, T), padded on the left.

    Padding is never counted. `repetition` is the penalty of Keskar et al. 2019 (1 has no effect), `ngram` the size of
    n-grams that must not repeat (None for no ban).
    """
    from transformers import LogitsProcessorList

    chosen: list[Any] = []
    width = mask.shape[1]
    starts = [width - int(row) if scope == "all" else width for row in mask.sum(-1).tolist()]
    if repetition != 1:
        chosen.append(_repetition(repetition, starts))
    if ngram:
        chosen.append(_ngrams(ngram, starts))
    return LogitsProcessorList(chosen)


def _repetition(penalty: float, starts: Sequence[int]) -> Any:
    import torch
    from transformers import LogitsProcessor

    class Repetition(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            counted = torch.arange(input_ids.shape[1], device=input_ids.device) >= torch.tensor(
                starts, device=input_ids.device
            ).unsqueeze(-1)
            seen = torch.zeros_like(scores, dtype=torch.int32)
            seen.scatter_add_(1, input_ids, counted.int())
            penalised = torch.where(scores < 0, scores * penalty, scores / penalty)
            return torch.where(seen > 0, penalised, scores)

    return Repetition()


def _ngrams(size: int, starts: Sequence[int]) -> Any:
    import torch
    from transformers import LogitsProcessor

    class Ngrams(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            scores = scores.clone()
            for row, (tokens, start) in enumerate(zip(input_ids.tolist(), starts, strict=True)):
                banned = banned_after(tokens[start:], size)
                if banned:
                    scores[row, list(banned)] = -torch.inf
            return scores

    return Ngrams()
