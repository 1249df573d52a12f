"""What a model's answer is worth."""

from __future__ import annotations

import json

import pytest

from polyfact_dataset.catalog.language import PAPER_LANGUAGES, language
from polyfact_dataset.llm.protocol import Answer, rejection
from polyfact_dataset.questions.parse_response import (
    InvalidResponse,
    other_language,
    parse_name,
    parse_question,
    resolution,
)

SUBJECT, GOLD = "Nokia 3310", "Finland"


def reply(question: object = "In which country was the Nokia 3310 made?", answer: object = GOLD, **more: object) -> str:
    return json.dumps({"question": question, "answer_text": answer, **more}, ensure_ascii=False)


def outcome(text: str, finish: str = "stop", *, code: str = "en", subject: str = SUBJECT, gold: str = GOLD) -> str:
    """The question, or the reason why there is none."""
    try:
        question, _ = parse_question(
            Answer(text, finish), subject=subject, named=subject, gold=gold, code=code, languages=PAPER_LANGUAGES
        )
    except InvalidResponse as error:
        return f"! {error}"
    return question


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (reply(), "In which country was the Nokia 3310 made?"),
        (f"```json\n{reply()}\n```", "In which country was the Nokia 3310 made?"),
        (f"  ```\n{reply()}```\n", "In which country was the Nokia 3310 made?"),
        (reply(thought="it was Finland"), "In which country was the Nokia 3310 made?"),
        (reply(answer=" FINLAND "), "In which country was the Nokia 3310 made?"),
        (reply(question="In which  country was\tthe Nokia 3310 made?"), "In which country was the Nokia 3310 made?"),
        ("", "! not_json"),
        ("In which country was the Nokia 3310 made?", "! not_json"),
        (f"Here it is: {reply()}", "! not_json"),
        (f"{reply()}\n{reply()}", "! not_json"),
        (reply()[:-5], "! not_json"),
        ("[" * 100_000, "! not_json"),
        (f"[{reply()}]", "! wrong_shape"),
        ('{"question": "x"}', "! wrong_shape"),
        (reply(question=None), "! wrong_shape"),
        (reply(answer=["Finland"]), "! wrong_shape"),
        ('{"question": "a", "question": "b", "answer_text": "Finland"}', "! wrong_shape"),
        (reply(question=""), "! empty_question"),
        (reply(question=" \n"), "! empty_question"),
        (reply(answer=""), "! empty_answer"),
        (reply(answer="Sweden"), "! wrong_answer"),
        (reply(answer="Finland."), "! wrong_answer"),
        (reply(question="In which country, Finland, was the Nokia 3310 made?"), "! gold_in_question"),
        (reply(question="In which country was it made?"), "! subject_not_named"),
        (reply(question="In which country was the Nokia 3310 made? " + "x" * 400), "! unusable_question"),
        (reply(question="In which country was the \u202eNokia 3310 made?"), "! unusable_question"),
        (reply(question="In which country was the Nokia 3310 made? 핀란드"), "! wrong_script"),
        (
            reply(question="In welchem Land wurde das folgende Mobiltelefon hergestellt: Nokia 3310?"),
            "! wrong_language",
        ),
    ],
)
def test_answers_and_their_reasons(text: str, expected: str) -> None:
    assert outcome(text) == expected


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", "cut_off"), ("refusal", "refused"), ("content_filter", "refused"), ("unanswered", "unanswered")],
)
def test_unfinished_answers(finish: str, reason: str) -> None:
    assert outcome(reply(), finish) == f"! {reason}"
    with pytest.raises(InvalidResponse, match=reason):
        parse_name(Answer("Nairobi", finish), language("sw"))
    with pytest.raises(InvalidResponse, match="rejected"):
        parse_name(rejection(400, "Nairobi"), language("sw"))


def test_resolution_is_exact_or_folds_case_width_and_spaces() -> None:
    assert resolution("Москва", "Москва") == "exact"
    assert resolution(" МОСКВА", "Москва") == "normalised"
    assert resolution("ＮＡＳＡ", "nasa") == "normalised"
    assert resolution("New  York City", "New York City") == "normalised"
    assert resolution("Moskau", "Москва") is None and resolution("", "Москва") is None


def test_chinese_is_simplified_but_its_names_stay() -> None:
    text = reply("諾基亞 3310 是哪個國家生產的手機？", "芬兰")
    assert outcome(text, code="zh", subject="諾基亞 3310", gold="芬兰") == "諾基亞 3310 是哪个国家生产的手机？"


def test_the_template_questions_of_a_language_pass_and_those_of_others_do_not() -> None:
    alarms, pairs, found = [], 0, 0
    for code in PAPER_LANGUAGES:
        for relation, kind in (("P30", None), ("P37", None), ("P50", "book"), ("P176", "device")):
            wording = language(code).question(relation, kind, "0").replace("0", " ").casefold()
            if other_language(wording, code, PAPER_LANGUAGES) is not None:
                alarms.append((code, wording))
            if sum(map(str.isalpha, wording)) < 8:
                # Too short to be identified; all of these are in scripts of their own, which are checked before.
                assert code in ("ar", "bn", "zh")
                continue
            others = [other for other in PAPER_LANGUAGES if other != code]
            pairs += len(others)
            found += sum(other_language(wording, other, PAPER_LANGUAGES) is not None for other in others)
    assert alarms == [] and found >= 0.97 * pairs
    assert other_language("was", "en", PAPER_LANGUAGES) is None, "too short to tell"


def test_a_subject_that_needs_a_description_is_named_with_it() -> None:
    names = {"subject": "Mercury", "named": "Mercury (planet)", "gold": "Galileo", "code": "en"}
    told = Answer(reply("Who first observed the celestial object Mercury (planet)?", "Galileo"), "stop")
    assert parse_question(told, **names, languages=PAPER_LANGUAGES) == (
        "Who first observed the celestial object Mercury (planet)?",
        "exact",
    )
    untold = Answer(reply("Who first observed the celestial object Mercury?", "Galileo"), "stop")
    with pytest.raises(InvalidResponse, match="subject_not_told_apart"):
        parse_question(untold, **names, languages=PAPER_LANGUAGES)


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("Nairobi", "sw", "Nairobi"),
        (" “নাইরোবি” \n", "bn", "নাইরোবি"),
        ("「ナイロビ」", "ja", "ナイロビ"),
        ("臺北", "zh", "台北"),
        ("", "sw", "! empty"),
        ("Nairobi\n(the capital of Kenya)", "sw", "! not_a_name"),
        ("Найроби", "sw", "! unusable_name"),
        ("নাইroবি", "bn", "! unusable_name"),
        ("x" * 200, "sw", "! unusable_name"),
        ("<b>Nairobi</b>", "sw", "! unusable_name"),
    ],
)
def test_names(text: str, code: str, expected: str) -> None:
    try:
        assert parse_name(Answer(text, "stop"), language(code)) == expected
    except InvalidResponse as error:
        assert f"! {error}" == expected
