"""The answer's line: cut from texts and from tokens in the same place, whatever the tokens are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs polyfact[train]")

from baselines.answer_lines import LineEnd, answer_line  # noqa: E402


class Pieces:
    """A tokenizer whose tokens are the given texts."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def batch_decode(self, rows: list[list[int]]) -> list[str]:
        return ["".join(self.texts[token] for token in row) for row in rows]


TEXTS = ["", " ", "\n", "\n\n", " \n", "Paris", " Rome", ".\n", "\nParis", "a\nb", "\u2028", "�"]
TOKENIZER = Pieces(TEXTS)


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (" Rome\nQuestion: next", "Rome"),
        ("\n\n Rome ", "Rome"),
        ("", ""),
        (" \n\t\n", ""),
        ("Rome", "Rome"),
        ("Rome\u2028Paris", "Rome"),
        # The third byte of the last letter was not generated.
        ("\u09a2\u09be\u0995\ufffd", "\u09a2\u09be\u0995"),
        ("\ufffd", ""),
    ],
)
def test_an_answer_is_the_first_line_that_is_not_blank(completion: str, answer: str) -> None:
    assert answer_line(completion) == answer


@given(st.lists(st.integers(0, len(TEXTS) - 1), max_size=8))
def test_tokens_are_cut_where_the_text_is(tokens: list[int]) -> None:
    end = LineEnd(TOKENIZER, len(TEXTS))
    cut = end.cut(tokens)
    assert cut == tokens[: len(cut)]
    text = TOKENIZER.batch_decode([cut])[0]
    assert answer_line(text) == answer_line(TOKENIZER.batch_decode([tokens])[0])
    # No shorter part ends the line: nothing behind it is kept.
    for length in range(1, len(cut)):
        assert not end.ended(torch.tensor([cut[:length]]))[0]
    assert len(cut) == len(tokens) or bool(end.ended(torch.tensor([cut]))[0])


def test_the_end_of_the_sequence_ends_an_answer() -> None:
    end = LineEnd(TOKENIZER, len(TEXTS) + 3)
    assert end.cut([5, 0, 0, 0], ends=[0]) == [5, 0]
    assert end.cut([0, 5], ends=[0]) == [0]
    assert end.cut([5, 6]) == [5, 6]


def test_rows_of_a_batch_end_on_their_own() -> None:
    end = LineEnd(TOKENIZER, len(TEXTS))
    # A blank line first, a line that ends, text and break in one token, a break after text of an earlier token.
    rows = torch.tensor([[1, 2], [5, 2], [2, 7], [8, 2]])
    assert end.ended(rows).tolist() == [False, True, True, True]


def test_generation_stops_there(tiny: Callable[[str], Path]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network = AutoModelForCausalLM.from_pretrained(tiny("olmo2")).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny("olmo2"), padding_side="left")
    end = LineEnd.of(network, tokenizer)
    prompts = tokenizer(["Question: Where?\nAnswer:", "A:", "B"], return_tensors="pt", padding=True)
    width = prompts["input_ids"].shape[1]
    torch.manual_seed(3)
    found = network.generate(
        **prompts, do_sample=True, temperature=3.0, max_new_tokens=200, stopping_criteria=end.criteria(width)
    )
    ended = 0
    for row in found[:, width:].tolist():
        cut = end.cut(row, [tokenizer.eos_token_id])
        # What follows is padding alone.
        assert set(row[len(cut) :]) <= {tokenizer.pad_token_id}
        ended += len(cut) < len(row)
    assert ended
