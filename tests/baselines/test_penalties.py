"""Penalties on completions: against Transformers' own processors, with and without the prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("transformers", reason="needs polyfact[train]")

from baselines.penalties import banned_after, processors  # noqa: E402

TOKENS = st.lists(st.integers(0, 5), min_size=1, max_size=12)


def scores(seed: int) -> torch.Tensor:
    return torch.randn((1, 6), generator=torch.Generator().manual_seed(seed))


@given(TOKENS, TOKENS, st.integers(1, 4), st.integers(0, 9))
def test_all_is_what_transformers_does_without_padding(
    prompt: list[int], completion: list[int], size: int, seed: int
) -> None:
    from transformers import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

    ids = torch.tensor([prompt + completion])
    ours = processors(1.5, size, "all", torch.ones((1, len(prompt)), dtype=torch.long))(ids, scores(seed))
    theirs = NoRepeatNGramLogitsProcessor(size)(ids, RepetitionPenaltyLogitsProcessor(1.5)(ids, scores(seed)))
    assert torch.equal(ours, theirs)


@given(TOKENS, TOKENS, st.integers(1, 4), st.integers(0, 9))
def test_completion_does_not_see_the_prompt(prompt: list[int], completion: list[int], size: int, seed: int) -> None:
    ids = torch.tensor([prompt + completion])
    mask = torch.ones((1, len(prompt)), dtype=torch.long)
    alone = torch.tensor([completion])
    ours = processors(1.5, size, "completion", mask)(ids, scores(seed))
    without = processors(1.5, size, "all", torch.ones((1, 0), dtype=torch.long))(alone, scores(seed))
    assert torch.equal(ours, without)


def test_padding_is_never_counted() -> None:
    """Token 0 pads, as the end-of-sequence token of many models does: it must stay as likely as it was."""
    ids, mask = torch.tensor([[0, 0, 0, 3, 4]]), torch.tensor([[0, 0, 0, 1]])
    before = torch.ones((1, 6))
    after = processors(2.0, None, "all", mask)(ids, before.clone())
    assert after[0].tolist() == [1, 1, 1, 0.5, 0.5, 1]
    assert processors(1.0, None, "all", mask) == []


def test_banned_tokens() -> None:
    assert banned_after([1, 2, 3, 1, 2], 3) == {3}
    assert banned_after([1, 2], 3) == set()
    assert banned_after([1, 2, 1, 3, 1], 2) == {2, 3}
    assert banned_after([4, 4], 1) == {4}
