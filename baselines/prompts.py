"""The prompts of evaluation and training, worded by the `[prompt]` literals of the language files.

Styles for an item with options:

- `paper`: the instruction in the target language around the question, no options shown (paper, appendix A);
- `plain`: `Question: ...` and `Answer:` in English words for every language, no options shown;
- `letters`: the options shown as A to D, the letter is the answer (paper, equation 3);
- `choose`: the options shown as A to D, the text of the option is the answer (paper, section 3, GRPO).

`free_prompt` asks an open question. A prompt ends without a space; `separator` goes between prompt and answer:
a space, and nothing after a full-width colon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from baselines.data import Item
from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import digest_json

Style = Literal["paper", "plain", "letters", "choose"]
STYLES: tuple[Style, ...] = get_args(Style)
LETTERS = ("A", "B", "C", "D")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text to continue, and the separator between it and the answer."""

    text: str
    separator: str
    # The beginning of the text that instructs, for a chat template's system message; empty where there is none.
    instruction: str = ""


def _join(literal: str, text: str) -> str:
    """A literal such as `Question:` before a text; a full-width colon needs no space."""
    return literal + ("" if literal.endswith("：") else " ") + text


def _separator(literal: str) -> str:
    return "" if literal.endswith("：") else " "


def _listed(options: Sequence[str]) -> str:
    return "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True))


def prompt(style: Style, code: str, question: str, options: Sequence[str] = ()) -> Prompt:
    """The prompt for a question in language `code`; `options` are shown where the style shows them."""
    if style == "plain":
        return Prompt(f"Question: {question}\nAnswer:", " ")
    words = language(code).prompt
    question_line = _join(words.question, question)
    if style == "paper":
        lines = [words.instruction, question_line, words.answer]
    elif style in ("letters", "choose"):
        wish = words.letter if style == "letters" else words.choose
        lines = [f"{words.instruction} {wish}" if _separator(words.answer) else words.instruction + wish]
        lines += [question_line, words.options, _listed(options), words.answer]
    else:
        raise ConfigError(f"unknown prompt style {style!r}; known are {', '.join(STYLES)}")
    return Prompt("\n".join(lines), _separator(words.answer), lines[0])


def free_prompt(code: str, question: str) -> Prompt:
    """The prompt for an open question in language `code`."""
    words = language(code).prompt
    lines = (words.free, _join(words.question, question), words.answer)
    return Prompt("\n".join(lines), _separator(words.answer), words.free)


def answers(style: Style, options: Sequence[str]) -> tuple[str, ...]:
    """The text to be answered for each option: its letter, or the option itself."""
    return LETTERS if style == "letters" else tuple(options)


def item_prompt(style: Style, code: str, item: Item) -> Prompt:
    """The prompt of an item."""
    return prompt(style, code, item.question, item.options)


def prompt_hash(style: Style | Literal["free"], codes: Sequence[str]) -> str:
    """SHA-256 of the prompts of a fixed question in all languages: changes when any wording does."""
    options = ("1", "2", "3", "4")
    prompts = {code: free_prompt(code, "?") if style == "free" else prompt(style, code, "?", options) for code in codes}
    return digest_json({code: [p.text, p.separator] for code, p in prompts.items()})
