"""Tokens of a prompt with its answer, and where the answer begins."""

from __future__ import annotations

from typing import Any

from baselines.prompts import Prompt


def answer_tokens(tokenizer: Any, prompt: Prompt, answer: str) -> tuple[list[int], int]:
    """The tokens of prompt and answer, and how many of them the prompt has alone.

    Where the answer merges with the prompt's last token, that token belongs to the answer.
    """
    start: list[int] = tokenizer(prompt.text)["input_ids"]
    whole: list[int] = tokenizer(prompt.text + prompt.separator + answer)["input_ids"]
    same = next((position for position, (a, b) in enumerate(zip(start, whole)) if a != b), min(len(start), len(whole)))
    return whole, same


def labelled(tokenizer: Any, prompt: Prompt, answer: str) -> tuple[list[int], list[int]]:
    """`input_ids` and `labels` (-100 on the prompt) of an answer followed by the end-of-sequence token."""
    whole, same = answer_tokens(tokenizer, prompt, answer)
    whole = [*whole, tokenizer.eos_token_id]
    return whole, [-100] * same + whole[same:]
