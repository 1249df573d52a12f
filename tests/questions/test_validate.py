"""All or nothing: one unsound language drops the fact."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polyfact_dataset.config.build import load_config
from polyfact_dataset.pipeline.stages import VALIDATE, stage_folder
from polyfact_dataset.questions.validate import fault
from tests.support.planted import build, item, labels, reasons, state, world


@pytest.mark.parametrize(
    ("code", "question", "subject", "gold", "reason"),
    [
        ("en", "Who manufactured the Nokia 5000?", "Nokia 5000", "Nokia", "gold_in_question"),
        ("en", "Who manufactured the Lumia 5000?", "Lumia 5000", "Nokia", None),
        ("zh", "日本国有铁道属于哪个国家？", "日本国有铁道", "日本", "gold_in_question"),
        ("zh", "东方铁道属于哪个国家？", "东方铁道", "日本", None),
        ("en", "What is the capital?", "Peru", "Lima", "subject_not_named"),
        ("en", "", "Peru", "Lima", "empty_question"),
        ("en", "What is the capital of Singapore?", "Singapore", "SINGAPORE", "subject_is_gold"),
        ("bn", "নোকিয়ার ফোন কে তৈরি করে?", "ফোন", "নোকিয়া", "gold_in_question"),
        ("de", "Wo endet die Geschichte Deutschlands?", "Geschichte Deutschlands", "Deutschland", "gold_inflected"),
        ("ru", "Где находится метро Москвы?", "метро Москвы", "Москва", "gold_inflected"),
        ("ar", "ما عاصمة المغرب؟", "المغرب", "مغرب", "gold_in_question"),
        ("en", "Where is the Limagne?", "Limagne", "Lima", None),
    ],
)
def test_fault(code: str, question: str, subject: str, gold: str, reason: str | None) -> None:
    assert fault(question, subject, gold, code) == reason


def test_one_language_is_enough_to_drop_a_fact(tmp_path: Path) -> None:
    entities = world(30)
    entities[0]["labels"]["ja"]["value"] = entities[1]["labels"]["ja"]["value"] + "国"
    entities += [
        state(item("Q301", labels("Double", ru="Париж двойник"), titles={"enwiki": "Double"}), "P36", "Q1005"),
        state(item("Q302", labels("Other", ru="париж ДВОЙНИК"), titles={"enwiki": "Other"}), "P36", "Q1006"),
        state(item("Q303", labels("Third", ru="Париж двойник")), "P47", "Q1006"),
    ]
    # Namesakes as widely known as the subject are let pass, so that the last guard has something to find.
    config = load_config(facts=1000, extract__workers=1, namesakes__min_sitelinks_share=2.0)
    out = build(tmp_path, entities, "validate", config)
    found = reasons(pq.read_table(stage_folder(out, VALIDATE) / "rejects.parquet").to_pylist())
    assert found == {
        "Q1|P36|Q1001": ["gold_in_question:ja"],
        "Q301|P36|Q1005": ["ambiguous_subject:ru"],
        "Q302|P36|Q1006": ["ambiguous_subject:ru"],
    }


@pytest.mark.parametrize(
    ("subject", "gold", "people", "reason"),
    [
        ("Дневник Толстого", "Лев Толстой", "answers", "surname_in_question"),
        ("Дневник Толстого", "Лев Толстой", None, None),
        ("Дневник", "Лев Smith", "answers", "half_transliterated"),
        ("Лев Smith", "Лион", "subjects", "half_transliterated"),
        ("ядро Linux", "Финляндия", None, None),
    ],
)
def test_people_have_family_names(subject: str, gold: str, people: str | None, reason: str | None) -> None:
    assert fault(f"Что такое {subject}?", subject, gold, "ru", people) == reason


@pytest.mark.parametrize(
    ("code", "question", "name", "reason"),
    [
        ("en", "In which country is the Bank of America?", "America", "alias_in_question"),
        ("en", "In which country is the Bank of Americana?", "America", None),
        ("en", "Is it us?", "US", None),
        ("zh", "美国银行位于哪个国家？", "美国", "alias_in_question"),
        ("bn", "আমেরিকার ব্যাংক কোন দেশে?", "আমেরিকা", "alias_in_question"),
    ],
)
def test_other_names_of_the_gold_leak_too(code: str, question: str, name: str, reason: str | None) -> None:
    assert fault(question, question[:2], "x" * 30, code, None, [name]) == reason
