"""Cues among options: capitals, class words, and nouns of the question."""

from __future__ import annotations

import pytest

from polyfact_dataset.audit.checks import cues
from polyfact_dataset.audit.checks.cues import has_word, is_capital, is_small
from polyfact_dataset.catalog.language import known, language
from tests.support.audited import OPTIONS, Rows, audited, clean_rows

CHECKS = ("first_letter", "class_word", "noun_repeated")


def _offer(rows: Rows, code: str, texts: tuple[str, ...]) -> None:
    """Gives the options of the first item other texts."""
    item = rows[0]["translations"][code]
    item.update(zip(OPTIONS, texts))
    item["answer_text"] = item[OPTIONS[item["answer_index"]]]


@pytest.mark.parametrize(
    ("code", "texts", "question", "expected"),
    [
        ("id", ("Film laga", "drama", "komedi", "western"), None, (1, 1, 0)),
        ("pt", ("língua sueca", "francês", "russo", "inglês"), None, (0, 1, 0)),
        ("en", ("samurai film", "drama", "western", "comedy"), "Which genre is the film “{}”?", (0, 1, 1)),
        ("en", ("samurai film", "war film", "western", "comedy"), "Which genre is the film “{}”?", (0, 1, 0)),
        ("en", ("samurai film", "war film", "spy film", "epic film"), "Which genre is the film “{}”?", (0, 0, 0)),
        ("de", ("Actionfilm", "Drama", "Komödie", "Satire"), "Welches Genre hat der Film „{}“?", (0, 1, 1)),
        ("zh", ("战争片", "喜剧", "科幻", "惊悚"), None, (0, 1, 0)),
        ("ja", ("サンスクリット", "英語", "日本語", "タイ語"), None, (0, 1, 0)),
        # No letters with case.
        ("ar", ("دراما", "رعب", "إثارة", "خيال"), None, (0, 0, 0)),
        ("en", ("7 Up", "Pepsi", "Fanta", "Sprite"), None, (0, 0, 0)),
    ],
)
def test_options_that_differ_are_counted(
    code: str, texts: tuple[str, ...], question: str | None, expected: tuple[int, ...]
) -> None:
    rows = clean_rows()
    before = audited(cues, rows)
    for row in rows:
        item = row["translations"][code]
        item.update(dict.fromkeys(OPTIONS, "Xy" if code in ("de", "en", "pt") else "xy"))
    empty = audited(cues, rows)
    _offer(rows, code, texts)
    if question is not None:
        item = rows[0]["translations"][code]
        item["question"] = question.format(item["subject_label"])
    section = audited(cues, rows)
    assert before.verdicts[0].status == "held"
    assert tuple(section.count(check) - empty.count(check) for check in CHECKS) == expected
    assert all(example["fact_id"] == rows[0]["fact_id"] for example in section.examples("noun_repeated"))


def test_first_letters() -> None:
    assert is_capital("Film laga") and is_capital("2 Unlimited") and is_small("’s film") and is_small("iPhone")
    assert not is_small("映画") and not is_capital("映画") and not is_small("1917")


def test_words_by_pattern() -> None:
    assert has_word("*film*", True, "Action-Spielfilme") and not has_word("film", True, "Filme")
    assert has_word("语", False, "法语") and not has_word("片", False, "法语")


@pytest.mark.parametrize("code", known())
def test_every_language_lists_its_class_words(code: str) -> None:
    assert len(language(code).cues.class_words) >= 4
