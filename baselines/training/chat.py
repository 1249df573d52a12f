"""Prompts inside a model's chat template."""

from __future__ import annotations

from typing import Any

from baselines.prompts import Prompt
from polyfact_dataset.common.errors import ConfigError


def chat_prompt(prompt: Prompt, tokenizer: Any) -> Prompt:
    """The prompt as the user's turn, followed by the beginning of the assistant's turn.

    The answer follows without a separator. A beginning-of-sequence token that the tokenizer adds itself is removed from
    the template's text, or there would be two. Raises `ConfigError` for a tokenizer without a chat template.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ConfigError("chat: the tokenizer has no chat template; set chat to false for a base model")
    messages = [{"role": "user", "content": prompt.text}]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    begin = tokenizer.bos_token
    if begin and text.startswith(begin) and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]:
        text = text.removeprefix(begin)
    return Prompt(text, "")
