"""Simplified Chinese: which texts are in Traditional characters, and their conversion (OpenCC)."""

from __future__ import annotations

from functools import cache
from typing import Any

SIMPLIFIED_CODES = frozenset({"zh-hans", "zh-cn", "zh-sg", "zh-my"})
"""Wikidata codes whose texts are entered in Simplified characters."""

# OpenCC maps them to another character, although they are used in Simplified texts: in names (毕昇, 王汎森), where
# the table of standard characters of 2013 or usage distinguishes them.
_KEPT_IN_NAMES = frozenset("昇汎氾濛璿陞崑脩菴淩彫琱儁俬甦堃喆淼邨甯")
# In GB 2312, the set of Simplified Chinese, but Traditional except in surnames.
_TRADITIONAL_IN_GB2312 = frozenset("後於")
_HAN = (range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xF900, 0xFB00), range(0x20000, 0x2A6E0))


@cache
def _converter() -> Any:
    from opencc import OpenCC

    return OpenCC("t2s")


def _in_gb2312(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


@cache
def traditional_characters() -> frozenset[str]:
    """The characters that exist only in Traditional Chinese."""
    characters = [chr(code) for block in _HAN for code in block]
    converted = _converter().convert("\n".join(characters)).split("\n")
    changed = {char for char, simple in zip(characters, converted) if char != simple}
    return frozenset(
        char for char in changed - _KEPT_IN_NAMES if char in _TRADITIONAL_IN_GB2312 or not _in_gb2312(char)
    )


def is_traditional(text: str) -> bool:
    """Whether a text contains a character that exists only in Traditional Chinese."""
    return not traditional_characters().isdisjoint(text)


def simplified(text: str) -> str:
    """Chinese text in Simplified characters; a text without Traditional-only characters is unchanged."""
    if text.isascii() or not is_traditional(text):
        return text
    converted: str = _converter().convert(text)
    return converted
