"""Which names of a fact give its answer away, in scripts with and without spaces."""

from __future__ import annotations

import pyarrow as pa
import pytest

from polyfact_dataset.items.name_overlap import overlaps, stems, tells
from polyfact_dataset.schema import LOCALISED_TEXT

OTHERS = {"en": ["euro", "yen", "Danish krone"], "zh": ["日元", "欧元", "丹麦克朗"], "ja": ["円", "ユーロ", "クローネ"]}


@pytest.mark.parametrize(
    ("code", "subject", "answer", "found"),
    [
        ("en", "Kenya", "Kenyan shilling", True),
        ("en", "Mexico", "Mexico City", True),
        ("en", "Boeing 767", "Boeing", True),
        ("en", "Io", "Io (moon)", True),
        ("en", "Iran", "Iraqi dinar", False),
        ("en", "Kenneth Kaunda", "Kenyan shilling", False),
        ("de", "Rumänien", "rumänischer Leu", True),
        ("ru", "Кения", "кенийский шиллинг", True),
        ("ar", "كينيا", "الشلن الكيني", True),
        ("ar", "الكويت", "الكونغو", False),
        ("ar", "ال كابوني", "ال باتشينو", False),
        ("bn", "কেনিয়া", "কেনীয় শিলিং", False),
        ("bn", "কেনিয়া", "কেনিয়ান শিলিং", True),
        ("bn", "অ্যানি হল", "উডি অ্যালেন", False),
        ("bn", "সোমালিয়া", "সোমালি শিলিং", True),
        ("sw", "Kenya", "Shilingi ya Kenya", True),
        ("ja", "ケニア", "ケニア・シリング", True),
        ("ja", "トンガ", "トンガ語", True),
        ("ja", "ルイ・アームストロング", "スウィング", False),
        ("zh", "肯尼亚", "肯尼亚先令", True),
        ("zh", "中华人民共和国", "人民币", True),
        ("zh", "中国", "中文", False),
        ("ko", "케냐", "케냐 실링", True),
    ],
)
def test_a_shared_stem_tells_the_answer(code: str, subject: str, answer: str, found: bool) -> None:
    assert tells(subject, answer, ["Yyyyy", "Xxxxx", "Zzzzz"], code) is found


def test_a_distractor_with_the_same_stem_hides_the_answer() -> None:
    universities = ["University of Oxford", "Harvard University", "Yale University"]
    assert tells("Paris Hilton", "Paris Observatory", universities, "en")
    assert not tells("Paris Hilton", "Paris Observatory", ["Parisian Academy", *universities[1:]], "en")
    assert tells("Mexico", "Mexico City", ["Mexican Town", "Lima", "Bogotá"], "en"), "the whole name is contained"


def test_stems_of_mixed_scripts() -> None:
    assert stems("南スーダン・ポンド", "ja") == {"スー", "ポン"}
    assert stems("Windows的国际象棋", "zh") == {"wind", "的国", "国际", "际象", "象棋"}
    assert stems("অ্যালেন কেনিয়ান শিল", "bn") == {"অ্যালে", "কেনি"}
    assert stems("", "en") == stems("a b", "en") == frozenset()


def test_overlaps_are_listed_by_language() -> None:
    names = {
        "en": ["Kenya", "Kenyan shilling", *OTHERS["en"]],
        "zh": ["肯亚", "肯尼亚先令", *OTHERS["zh"]],
        "ja": ["ケニア", "ケニア・シリング", *OTHERS["ja"]],
    }
    columns = {
        code: pa.array([{"text": text, "provenance": "label", "attested": True} for text in texts], LOCALISED_TEXT)
        for code, texts in names.items()
    }
    labels = pa.table({"entity_id": ["Q1", "Q2", "Q3", "Q4", "Q5"], **columns})
    facts = [
        {"subject_id": "Q1", "object_id": "Q2", "distractor_ids": ["Q3", "Q4", "Q5"]},
        {"subject_id": "Q1", "object_id": "Q3", "distractor_ids": ["Q2", "Q4", "Q5"]},
    ]
    assert overlaps(facts, labels, ("en", "zh", "ja")) == [["en", "ja"], []]
