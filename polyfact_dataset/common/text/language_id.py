"""Identify the language of a short text with lingua, offline: one identifier for build, audit and rewards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

# Texts with fewer letters cannot be identified. A Chinese or Japanese character carries more information.
_LETTERS, _UNSPACED_LETTERS = 8, 4
# First code point of the East Asian scripts.
_EAST_ASIAN = 0x2E80


def long_enough(text: str, spaced: bool | None = None) -> bool:
    """Whether a text has enough letters to be identified.

    `spaced` is whether its language separates words by spaces; with None the script of its letters decides.
    """
    letters = [char for char in text if char.isalpha()]
    if spaced is None:
        spaced = all(ord(char) < _EAST_ASIAN for char in letters)
    return len(letters) >= (_LETTERS if spaced else _UNSPACED_LETTERS)


class Identifier:
    """lingua for the given ISO 639-1 codes. Codes that lingua does not support are left out: see `codes`."""

    def __init__(self, codes: Sequence[str]) -> None:
        from lingua import IsoCode639_1, Language, LanguageDetectorBuilder

        self._by_code: dict[str, Any] = {}
        for code in dict.fromkeys(codes):
            iso = getattr(IsoCode639_1, code.upper(), None)
            if iso is not None:
                self._by_code[code] = Language.from_iso_code_639_1(iso)
        builder = LanguageDetectorBuilder.from_languages(*self._by_code.values())
        self._detector = builder.with_preloaded_language_models().build()
        self._code_of = {language: code for code, language in self._by_code.items()}

    @property
    def codes(self) -> tuple[str, ...]:
        """The supported ones among the given codes."""
        return tuple(self._by_code)

    def identify(self, texts: list[str]) -> list[str | None]:
        """The most likely code of each text; None where no language is likely."""
        languages = self._detector.detect_languages_in_parallel_of(texts)
        return [None if entry is None else self._code_of[entry] for entry in languages]

    def confidence(self, text: str, code: str) -> float:
        """The probability of a code, 0 to 1 over all codes."""
        return float(self._detector.compute_language_confidence(text, self._by_code[code]))

    def confidences(self, text: str) -> dict[str, float]:
        """The probability of every code, the most likely first."""
        values = self._detector.compute_language_confidence_values(text)
        return {self._code_of[entry.language]: float(entry.value) for entry in values}


@cache
def identifier_of(codes: tuple[str, ...]) -> Identifier:
    """The identifier of these codes, loaded once."""
    return Identifier(codes)
