"""Folding of answers: punctuation of every script, formatting characters, and names that differ by a sign."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfact_dataset.common.text.answers import fold, same_answer


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("ঢাকা।", "ঢাকা"),
        ("دكا،", "دكا"),
        ("دكا؛", "دكا"),
        ("دكا؟", "دكا"),
        ("دكـــا", "دكا"),
        ("¡Daca!", "Daca"),
        ("¿Daca?", "daca"),
        ("\u200fدكا", "دكا"),
        ("\u202bدكا\u202c", "دكا"),
        ("ＮＨＫ", "NHK"),
        *((f"Baden{hyphen}Baden", "Baden-Baden") for hyphen in "\u2010\u2011\u2012\u2013\u2014\u2015\u2212－"),
        ("レオナルド‧ダ•ヴィンチ", "レオナルド・ダ·ヴィンチ"),
        ("Hawaiʻi", "Hawai'i"),
        ("**Paris**", "Paris"),
        ("`Paris`", "Paris"),
        ("《紅樓夢》", "紅樓夢"),
        ("Coˆte d’Ivoire".replace("oˆ", "ô"), "CÔTE D'IVOIRE"),
        ("so\u00adft", "soft"),
    ],
)
def test_the_same_answer(answer: str, name: str) -> None:
    assert fold(answer) == fold(name) != "" and same_answer(answer, name)


@pytest.mark.parametrize(
    ("one", "other"),
    [("C++", "C#"), ("C", "C++"), ("C", "C#"), ("Canal", "Canal+"), ("1.5", "15"), ("Peru", "Perú"), ("a b", "ab")],
)
def test_names_that_stay_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other) and not same_answer(one, other)


def test_signs_count_at_the_end_of_a_word_alone() -> None:
    assert (fold("C++."), fold("# Paris"), fold("+49"), fold("a + b")) == ("c++", "paris", "49", "a b")


def test_names_of_punctuation_alone() -> None:
    assert fold("!!!") == "" and same_answer("!!!", "!!!") and not same_answer("!!!", "...")
    assert not same_answer("", "") and not same_answer("", "Paris")


@given(st.text(max_size=20))
def test_folding_is_idempotent_and_leaves_no_punctuation(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert all(unicodedata.category(char)[0] not in "PZ" or char in " #" for char in folded)
    assert not any(unicodedata.category(char) == "Cf" for char in folded)


@given(st.text(max_size=12), st.text(alphabet="।،؛?!.,;:。、！？“”«»", max_size=4))
def test_final_punctuation_changes_nothing(text: str, marks: str) -> None:
    assert fold(text + " " + marks) == fold(text)
