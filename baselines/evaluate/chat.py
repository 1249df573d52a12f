"""Chat templates and reasoning: render a prompt as messages, and remove the reasoning from an answer."""

from __future__ import annotations

from typing import Any

from baselines.prompts import Prompt
from polyfact_dataset.common.errors import ConfigError

# Opening and closing marks of reasoning: Qwen3 and DeepSeek-R1, Magistral, gpt-oss.
MARKS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)


def messages(instruction: str, text: str, system: bool) -> list[dict[str, str]]:
    """The prompt as chat messages; with `system` its instruction is the system message."""
    if system and instruction and text.startswith(instruction):
        rest = text[len(instruction) :].lstrip("\n")
        return [{"role": "system", "content": instruction}, {"role": "user", "content": rest}]
    return [{"role": "user", "content": text}]


class ChatTemplate:
    """A tokenizer's chat template. `system` says whether it has a role for the instruction."""

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigError("--chat: the tokenizer has no chat template; leave --chat out for a base model")
        self._tokenizer = tokenizer
        self.system = self._has_system()

    def _render(self, chat: list[dict[str, str]]) -> str:
        return str(self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))

    def _has_system(self) -> bool:
        from jinja2 import TemplateError

        try:
            rendered = self._render(messages("INSTRUCTION", "INSTRUCTION\nquestion", system=True))
        except TemplateError:
            return False  # templates without the role raise an error
        return "INSTRUCTION" in rendered

    def render(self, prompt: Prompt) -> Prompt:
        """The prompt in the template, up to where the model's turn begins; no separator precedes the answer."""
        return Prompt(self._render(messages(prompt.instruction, prompt.text, self.system)), "")


def split_thinking(text: str) -> tuple[str, str]:
    """(reasoning, answer) of a generation: the reasoning ends at its last closing mark.

    A generation that opens reasoning and never closes it is reasoning alone: its answer is empty. A template may have
    opened it in the prompt, so a closing mark alone counts.
    """
    for opening, closing in MARKS:
        before, mark, after = text.rpartition(closing)
        if mark:
            return before + mark, after
        if text.lstrip().startswith(opening):
            return text, ""
    return "", text
