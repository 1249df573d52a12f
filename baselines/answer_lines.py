"""The end of a generated answer, which is the first line that is not blank.

`answer_line` cuts a text, `LineEnd` tokens; generation stops there too, so that no token after the answer is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def answer_line(text: str) -> str:
    """The first line that is not blank, without outer spaces; `""` if there is none. Lines as `str.splitlines`.

    A last character of which the end of the generation cut off some bytes is dropped, as vLLM does: a tokenizer decodes
    it as U+FFFD.
    """
    return next((line.strip() for line in text.rstrip("\ufffd").splitlines() if line.strip()), "")


class LineEnd:
    """Finds the token that ends the first line which is not blank.

    A token that holds a line break ends the line if text precedes the break, in the same token or in an earlier one.
    """

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        """`vocabulary` is the size of the model's output, which may be larger than the tokenizer's."""
        import torch

        texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
        size = max(len(tokenizer), vocabulary)
        # Of a token: it is blank; it holds a line break; it holds text and then a line break.
        self._blank = torch.zeros(size, dtype=torch.bool)
        self._breaks = torch.zeros(size, dtype=torch.bool)
        self._closes = torch.zeros(size, dtype=torch.bool)
        for number, text in enumerate(texts):
            self._blank[number] = not text.strip()
            self._breaks[number] = _has_break(text)
            self._closes[number] = _has_break(text.lstrip())

    @classmethod
    def of(cls, network: Any, tokenizer: Any) -> LineEnd:
        """For a model with its tokenizer."""
        return cls(tokenizer, int(network.config.get_text_config().vocab_size))

    def to(self, device: Any) -> LineEnd:
        """Moves the tables of tokens to a device."""
        self._blank, self._breaks, self._closes = (
            table.to(device) for table in (self._blank, self._breaks, self._closes)
        )
        return self

    def ended(self, completions: torch.Tensor) -> torch.Tensor:
        """(B, T) tokens of completions -> (B,) whether the last one ends the line."""
        last = completions[:, -1]
        preceded = (~self._blank[completions[:, :-1]]).any(-1)
        return self._closes[last] | (self._breaks[last] & preceded)

    def cut(self, tokens: Sequence[int], ends: Sequence[int] = ()) -> list[int]:
        """The tokens through the one that ends the line, or through the first of the tokens `ends`."""
        preceded = False
        for position, token in enumerate(tokens):
            if token in ends or self._closes[token] or (preceded and self._breaks[token]):
                return list(tokens[: position + 1])
            preceded = preceded or not self._blank[token]
        return list(tokens)

    def criteria(self, prompt_tokens: int) -> Any:
        """Stopping criteria for `generate` on prompts padded to `prompt_tokens`."""
        from transformers import StoppingCriteria, StoppingCriteriaList

        find = self.ended

        class Ended(StoppingCriteria):  # type: ignore[misc]
            def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
                return find(input_ids[:, prompt_tokens:])

        return StoppingCriteriaList([Ended()])


def _has_break(text: str) -> bool:
    return len(f"x{text}x".splitlines()) > 1
