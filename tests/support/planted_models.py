"""Models whose weights are set by hand, and a tokenizer of whole words: what the analyses must find is known."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config

CODES = ("aa", "bb", "cc")
WORDS = 8  # of each language; word i of language k is token k * WORDS + i
HIDDEN = 32
LAYERS, HEADS, WIDTH = 4, 4, 100
# The sizes of a small model with random weights.
SMALL = {
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def token(language: int, word: int) -> int:
    return language * WORDS + word


class Words:
    """A tokenizer: `a3` is token(0, 3); a newline is no token; any single character is the last token."""

    bos_token_id = None

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        ids = [self._id(word) for word in text.split()]
        return {"input_ids": ids}

    def _id(self, word: str) -> int:
        return len(CODES) * WORDS if len(word) == 1 else token("abc".index(word[0]), int(word[1:]))


def line(language: int, *words: int) -> str:
    return " ".join(f"{'abc'[language]}{word}" for word in words)


def blank(layers: int = LAYERS, **settings: Any) -> LlamaForCausalLM:
    """A Llama whose matrices are all zero: each block passes its input on."""
    config = LlamaConfig(
        vocab_size=len(CODES) * WORDS + 1,
        hidden_size=HIDDEN,
        intermediate_size=settings.pop("width", WIDTH),
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        **settings,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.zero_()
    return model


def language_axes(model: LlamaForCausalLM) -> None:
    """Axis k is 1 for the words of language k; axis 10 is 1 for even words and -1 for odd ones, axis 11 always 1."""
    with torch.no_grad():
        for k in range(len(CODES)):
            for word in range(WORDS):
                row = model.model.embed_tokens.weight[token(k, word)]
                row[k], row[10], row[11] = 1.0, 1.0 - 2 * (word % 2), 1.0


def random_qwen2(layers: int = 2) -> Any:
    from transformers import Qwen2ForCausalLM

    torch.manual_seed(0)
    sizes = SMALL | {"num_hidden_layers": layers}
    config = Qwen2Config(**sizes, vocab_size=len(CODES) * WORDS + 1, initializer_range=0.3)
    return Qwen2ForCausalLM(config).eval()
