"""Prompts against golden files: any change of wording shows as a difference there."""

from __future__ import annotations

from pathlib import Path

import pytest

from baselines import prompts
from baselines.data import Item
from polyfact_dataset.catalog.language import PAPER_LANGUAGES, known
from polyfact_dataset.common.errors import ConfigError

GOLDEN = Path(__file__).parent / "golden"
OPTIONS = ("Toronto", "Canberra", "Perth", "Wien")


def rendered(style: str) -> str:
    """All languages of a style; `|` marks where the prompt and where the separator ends."""
    blocks = []
    for code in PAPER_LANGUAGES:
        asked = "{question}"
        found = prompts.free_prompt(code, asked) if style == "free" else prompts.prompt(style, code, asked, OPTIONS)
        blocks.append(f"[{code}]\n{found.text}|{found.separator}|\n")
    return "\n".join(blocks)


@pytest.mark.parametrize("style", [*prompts.STYLES, "free"])
def test_prompts_are_the_golden_ones(style: str) -> None:
    assert rendered(style) == (GOLDEN / f"{style}.txt").read_text(encoding="utf-8")


def test_the_separator_follows_the_colon() -> None:
    for code in known():
        found = prompts.prompt("paper", code, "?")
        assert not found.text.endswith(" ")
        assert found.separator == ("" if found.text.endswith("：") else " ")
    assert not prompts.prompt("paper", "zh", "?").separator and prompts.prompt("paper", "sw", "?").separator
    assert prompts.prompt("plain", "ja", "?").separator == " "


def test_what_is_scored() -> None:
    item = Item("?", OPTIONS, ("Q1", "Q2", "Q3", "Q4"), 1)
    assert prompts.answers("letters", item.options) == ("A", "B", "C", "D")
    assert prompts.answers("paper", item.options) == OPTIONS == prompts.answers("choose", item.options)
    assert "B. Canberra" in prompts.item_prompt("letters", "sw", item).text
    assert "Canberra" not in prompts.item_prompt("paper", "sw", item).text


def test_the_hash_covers_wording_and_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {prompts.prompt_hash(style, PAPER_LANGUAGES) for style in (*prompts.STYLES, "free")}
    assert len(hashes) == 5
    before = prompts.prompt_hash("paper", ("en", "ja"))
    assert before != prompts.prompt_hash("paper", ("en",))
    real = prompts.language
    changed = real("ja").prompt.model_copy(update={"answer": "答え："})
    monkeypatch.setattr(
        prompts,
        "language",
        lambda code: real(code).model_copy(update={"prompt": changed}) if code == "ja" else real(code),
    )
    assert prompts.prompt_hash("paper", ("en", "ja")) != before


def test_an_unknown_style() -> None:
    with pytest.raises(ConfigError, match="known are paper, plain, letters, choose"):
        prompts.prompt("fancy", "en", "?")  # type: ignore[arg-type]
