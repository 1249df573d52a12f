"""Text rules: normalisation, scripts, mentions."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfact_dataset.text import clean, in_scripts, mentions, mixes_scripts, normalise, scripts_of


@given(st.text())
def test_normalise_is_idempotent(text: str) -> None:
    # NFKC after case folding can expose another fold in a few compatibility characters; two rounds must settle.
    assert normalise(normalise(text)) == normalise(normalise(normalise(text)))


@pytest.mark.parametrize("text", ["Ｎｏｋｉａ", " Straße  5000 ", "ＡＢＣ　１２３", "CAFÉ", "İstanbul", "ﬁlm"])
def test_normalise_is_idempotent_on_names(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_normalise_folds_width_case_and_space() -> None:
    assert normalise("  ＮＯＫＩＡ　 5000\t") == "nokia 5000"
    assert normalise("STRASSE") == normalise("Straße")


@given(st.text())
def test_clean_gives_nfc_without_outer_space_or_nothing(text: str) -> None:
    result = clean(text)
    if result is not None:
        assert result == unicodedata.normalize("NFC", result) == result.strip()
        assert not any(unicodedata.category(char) in ("Cc", "Co", "Cn", "Cs") for char in result)
        assert clean(result) == result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Par\u00adis", "Paris"),
        ("\u200eParis\u200f", "Paris"),
        ("Paris\u202egnp.exe", None),
        ("a\u2066b", None),
        ("Paris\x07", None),
        ("\ue000", None),
        ("...", None),
        ("", None),
        ("ক্‍ষ", "ক্‍ষ"),
        ("a\n b", "a b"),
    ],
)
def test_clean(text: str, expected: str | None) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    ("text", "scripts", "allowed"),
    [
        ("Гданьск", ("Cyrl",), True),
        ("Windows", ("Cyrl",), True),
        ("東京タワー", ("Jpan",), True),
        ("東京タワー", ("Hans",), False),
        ("서울", ("Hans",), False),
        ("東京", ("Latn",), False),
        ("β-carotene", ("Latn",), True),
        ("Αθήνα", ("Latn",), False),
        ("Αθήνα", ("Grek",), True),
        ("ʻOkina", ("Latn",), True),
    ],
)
def test_in_scripts(text: str, scripts: tuple[str, ...], allowed: bool) -> None:
    assert in_scripts(text, scripts) is allowed


@pytest.mark.parametrize(
    ("text", "mixed"),
    [
        ("গ্দাńsk", True),
        ("ماtejكو", True),
        ("Мoscow", True),
        ("Windows 10 от Microsoft", False),
        ("SEGA株式会社", False),
        ("Nintendo ويي", False),
        ("X-лучи", False),
    ],
)
def test_mixes_scripts(text: str, mixed: bool) -> None:
    assert mixes_scripts(text) is mixed


def test_scripts_of_ignores_what_all_share() -> None:
    assert scripts_of("Paris 2024 – ー!") == {"Latn"}


@pytest.mark.parametrize(
    ("text", "name", "spaced", "glue", "found"),
    [
        ("who manufactured the nokia 5000?", "nokia", True, "none", True),
        ("who made the nokias?", "nokia", True, "none", False),
        ("is it in peru?", "per", True, "none", False),
        ("is ur a city?", "ur", True, "none", False),  # below the floor of 3
        ("日本国有铁道属于哪个国家？", "日本", False, "none", True),  # two characters leak, too
        ("日本は", "日", False, "none", False),
        ("নোকিয়ার ফোন", "নোকিয়া", True, "suffix", True),
        ("নোকিয়ার ফোন", "নোকিয়া", True, "none", False),
        ("في المغرب؟", "مغرب", True, "prefix", True),
        ("مغربي", "مغرب", True, "prefix", False),
        ("peru, perú", "perú", True, "none", True),
    ],
)
def test_mentions(text: str, name: str, spaced: bool, glue: str, found: bool) -> None:
    assert mentions(text, name, spaced=spaced, glue=glue) is found
