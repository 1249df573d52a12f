"""Leaks planted in every language file: what validation refuses, the audit finds, and nothing else.

The cases are generated from the file: its affixes, endings and templates, with its autonym as the name of the answer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import pytest

from polyfact_dataset.catalog.language import Language, known, language
from polyfact_dataset.common.text.mentions import mention
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.questions.validate import fault

VIRAMA = 9  # the canonical combining class
# A place whose name mentions none of the autonyms.
NEUTRAL = {"Cyrl": "Лужа", "Arab": "سمرقند", "Beng": "মধুপুর", "Jpan": "富士見", "Hans": "富士山"}


def neutral(entry: Language) -> str:
    return NEUTRAL.get(entry.scripts[0], "Quxville")


def answer_of(entry: Language) -> str:
    """The name of the planted answer: the language's name in itself, its last word."""
    return entry.autonym.split()[-1]


def joined(name: str, suffix: str) -> str:
    """A name with a suffix written onto it: a vowel sign takes the place of a virama (தமிழ் + ின் = தமிழின்)."""
    is_vowel_sign = unicodedata.category(suffix[0]) in {"Mc", "Mn"}
    return (name[:-1] if is_vowel_sign and unicodedata.combining(name[-1]) == VIRAMA else name) + suffix


def test_a_vowel_sign_takes_the_place_of_a_virama() -> None:
    assert joined("தமிழ்", "ின்") == "தமிழின்" and joined("தமிழ்", "மொழி") == "தமிழ்மொழி"
    assert joined("ಕನ್ನಡ್", "ಿಗ") == "ಕನ್ನಡಿಗ" and joined("ഇന്ത്യ", "ുടെ") == "ഇന്ത്യുടെ"


def planted(entry: Language) -> Iterator[tuple[str, str, str, str | None, tuple[str, ...], str]]:
    """(what is planted, what the subject is called, gold, which end is a person, other names, reason code)."""
    gold, other = answer_of(entry), neutral(entry)
    gap = " " if entry.spaced else ""
    yield "gold", f"{other}{gap}{gold}", gold, None, (), "gold_in_question"
    yield "alias", f"{other}{gap}{gold}", other * 2, None, (gold,), "alias_in_question"
    if entry.shortest:
        yield (
            "short name",
            f"{other}{gap}{gold[: entry.shortest]}",
            gold[: entry.shortest],
            None,
            (),
            "gold_in_question",
        )
    for prefix in entry.glue.prefixes:
        yield f"prefix {prefix}", f"{other} {prefix}{gold}", gold, None, (), "gold_in_question"
    for suffix in entry.glue.suffixes:
        form = joined(gold, suffix)
        reason = "gold_in_question" if form.startswith(gold) else "gold_inflected"
        yield f"suffix {suffix}", f"{form} {other}", gold, None, (), reason
    word = "Zarat" if entry.scripts == ("Latn",) else gold
    for ending, others in entry.endings.items():
        for replaced in others:
            name, form = f"{word}{ending}", f"{word}{replaced}"
            if not normalise(form).startswith(normalise(name)):
                yield f"{name} as {form}", f"{other} {form}", name, None, (), "gold_inflected"
    family = f"{other}{gap or '・'}{word * 2}"
    yield "surname", f"{other * 2}{gap}{word * 2}", family, "answers", (), "surname_in_question"


CASES = [(code, *case) for code in known() for case in planted(language(code))]


@pytest.mark.parametrize(("code", "what", "subject", "gold", "people", "names", "reason"), CASES)
def test_a_planted_leak_is_refused(
    code: str, what: str, subject: str, gold: str, people: str | None, names: tuple[str, ...], reason: str
) -> None:
    question = language(code).question("P17", None, subject)
    found = fault(question, subject, gold, code, people, names)
    assert found == reason or (reason == "gold_inflected" and found == "gold_in_question"), (what, question)


@pytest.mark.parametrize("code", known())
def test_a_template_and_an_innocent_subject_mention_nothing(code: str) -> None:
    entry = language(code)
    gold, other = answer_of(entry), neutral(entry)
    for key, text in entry.texts.items():
        assert fault(text.replace("{subject}", other), other, gold, code) is None, key


@pytest.mark.parametrize("code", known())
def test_a_distractor_in_the_question_is_mentioned(code: str) -> None:
    entry = language(code)
    asked = normalise(entry.question("P17", None, f"{answer_of(entry)} {neutral(entry)}"))
    assert mention(asked, normalise(answer_of(entry)), entry.mention_rule) == "name"
