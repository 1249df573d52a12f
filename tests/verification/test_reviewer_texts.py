"""The words of the review page in every language."""

from __future__ import annotations

import html

import pytest

from polyfact_dataset.catalog.language import PAPER_LANGUAGES, language
from polyfact_dataset.common.text.scripts import covered, scripts_of
from polyfact_dataset.schema import REVIEW_LABELS
from polyfact_dataset.verification.page import rubric_html
from polyfact_dataset.verification.reviewer_texts import FOLDER, texts_in
from polyfact_dataset.verification.rubric import rubric


def covered_by(code: str) -> frozenset[str]:
    """The scripts of a language's letters."""
    return frozenset().union(*map(covered, language(code).scripts))


@pytest.mark.parametrize("code", PAPER_LANGUAGES)
def test_the_page_has_its_rubric_and_words_in_every_language(code: str) -> None:
    texts, english = texts_in(code), texts_in("en")
    shown = rubric_html(texts)
    assert f'lang="{code}" dir="{language(code).direction}"' in shown
    assert list(texts.meanings()) == list(REVIEW_LABELS) and "{total}" in texts.words.finished
    if code == "en":
        assert texts.rubric is None and html.escape(rubric().task) in shown
        return
    # A translation of everything, in the script of the language.
    assert texts.rubric is not None and len(texts.rubric.between) == len(rubric().between)
    translated = [texts.rubric.task, *texts.meanings().values(), *texts.rubric.between]
    for text, original in zip(translated, [rubric().task, *english.meanings().values(), *rubric().between]):
        assert text != original and html.escape(text) in shown
        assert covered_by(code) & scripts_of(text)
    for name in type(texts.words).model_fields:
        assert getattr(texts.words, name) != getattr(english.words, name), name


def test_a_language_without_texts_is_reviewed_in_english() -> None:
    assert texts_in("nl") == texts_in("en") and not (FOLDER / "nl.toml").exists()
