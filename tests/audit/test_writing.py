"""Writing: negations, options that are no answers, grammar that gives the answer away, and the export."""

from __future__ import annotations

import pytest

from polyfact_dataset.audit.checks import writing
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.release.schema import CONTAMINATION
from tests.support.audited import OPTIONS, as_release, audited, broken, clean_rows, rename, reword


@pytest.mark.parametrize(
    ("wording", "code", "negated"),
    [
        ("Which is not an official language of ?", "en", True),
        ("Which isn’t an official language of ?", "en", True),
        ("Which notable person wrote ?", "en", False),
        ("Какой язык не является официальным?", "ru", True),
        ("В какой стране находится озеро Неро?", "ru", False),
        ("কোনটি সরকারি ভাষা নয়?", "bn", True),
        ("কার নাম কেনা হয়?", "bn", False),
        ("以下哪个不是的官方语言？", "zh", True),
        ("以下哪个是的官方语言？", "zh", False),
        ("次のうち公用語ではないものはどれですか。", "ja", True),
        ("ما هي اللغة التي ليست رسمية؟", "ar", True),
        ("Lugha ipi si rasmi?", "sw", True),
        ("Lugha ipi ni rasmi ya Sinai?", "sw", False),
        ("Welche Sprache ist keine Amtssprache?", "de", True),
        ("Quelle langue n’est pas officielle ?", "fr", True),
        ("Quelle langue parle-t-on dans le Pas-de-Calais ?", "fr", True),
        ("Bahasa mana yang bukan bahasa resmi?", "id", True),
        ("¿Qué lengua no es oficial?", "es", True),
        ("Qual não é a língua oficial?", "pt", True),
    ],
)
def test_negation(wording: str, code: str, negated: bool) -> None:
    assert (writing.negation(wording, code) is not None) is negated


@pytest.mark.parametrize("code", known())
def test_no_template_is_negated_or_ends_in_an_article(code: str) -> None:
    for key, text in language(code).texts.items():
        bare = " ".join(text.replace("{subject}", " ").split())
        assert writing.negation(bare, code) is None, key
        assert writing.open_end(bare, code) is None, key


@pytest.mark.parametrize("code", known())
def test_every_language_lists_its_cues(code: str) -> None:
    assert len(language(code).cues.negation) >= 5 and len(language(code).cues.catch_all) >= 3


def test_a_name_that_negates_is_no_negation() -> None:
    rows = clean_rows()
    rename(rows, rows[0]["subject_id"], "fr", "Pas-de-Calais")
    rename(rows, rows[1]["subject_id"], "ru", "Не горюй!")
    assert broken(audited(writing, rows)) == set()


def test_without_subject_labels_a_name_is_no_negation() -> None:
    rows = clean_rows()
    for number, name in enumerate(("Pas-de-Calais", "Ne me quitte pas", "Jamais le dimanche", "Rien à déclarer")):
        rename(rows, rows[number]["subject_id"], "fr", name)
    rename(rows, rows[4]["subject_id"], "ru", "Не горюй!")
    rename(rows, rows[5]["subject_id"], "zh", "我不在的时候")
    section = audited(writing, rows, without="subject_label")
    assert broken(section) == set() and section.count("negation_unsure") >= 5
    assert any("reported apart" in verdict.detail for verdict in section.verdicts if verdict.gate == "negation")


@pytest.mark.parametrize(
    ("code", "question"),
    [
        ("en", "Which of these currencies is not used in {}?"),
        ("ru", "Какая валюта не используется в стране {}?"),
        ("zh", "以下哪种货币不是{}的货币？"),
    ],
)
def test_without_subject_labels_a_negated_template_is_found(code: str, question: str) -> None:
    rows = clean_rows()
    facts = [number for number, row in enumerate(rows) if row["property_id"] == "P38"][:6]
    for number in facts:
        reword(rows, number, code, question)
    section = audited(writing, rows, without="subject_label")
    assert broken(section) == {"negation"} and section.count("negation") == 6


@pytest.mark.parametrize(
    ("wording", "code", "found"),
    [
        ("He was an?", "en", True),
        ("He was a ____ ?", "en", True),
        ("Es una", "es", True),
        ("Is it Bahama?", "en", False),
    ],
)
def test_open_end(wording: str, code: str, found: bool) -> None:
    assert (writing.open_end(wording, code) is not None) is found


@pytest.mark.parametrize(
    ("options", "slot"),
    [
        (["Paris", "Rome", "Paris and Rome", "Berlin"], 2),
        (["Guinea", "Guinea-Bissau", "Bissau", "Niger"], None),
        (["巴黎", "巴黎和罗马城", "罗马城", "柏林"], None),
        (["巴黎城", "巴黎城和罗马城", "罗马城", "柏林"], 1),
        (["New York", "York", "New", "Newark"], None),
        (["Paris", "none of these", "Rome", "Berlin"], 1),
    ],
)
def test_catch_all(options: list[str], slot: int | None) -> None:
    phrases = frozenset(language("en").cues.catch_all)
    assert writing.catch_all([normalise(o) for o in options], phrases) == slot


def test_the_one_option_with_brackets_may_be_any_option() -> None:
    rows = clean_rows()
    for number, row in enumerate(rows):
        item = row["translations"]["en"]
        slot = OPTIONS[number % 4]
        item[slot] = f"{item[slot]} (x)"
        item["answer_text"] = item[OPTIONS[item["answer_index"]]]
    section = audited(writing, rows)
    assert broken(section) == set()
    traits = {row[0]: row for row in next(g for g in section.grids if g.title.startswith("The one option")).rows}
    assert traits["bracket"][1] == len(rows) and 0.1 < traits["bracket"][2] < 0.4


def test_contamination_exports_what_is_held_out() -> None:
    rows = clean_rows()
    table = writing.contamination(as_release(rows))
    assert table.schema == CONTAMINATION.schema
    held = [row for row in rows if row["split"] != "train"]
    assert len(table) == 12 * len(held) and set(table.column("split").to_pylist()) == {"validation", "test"}
    first = table.slice(0, 1).to_pylist()[0]
    row = next(row for row in held if row["fact_id"] == first["fact_id"])
    item = row["translations"][first["language"]]
    assert (first["question"], first["answer"]) == (item["question"], item["answer_text"])
    assert first["query"] == normalise(f"{item['question']} {item['answer_text']}")


def test_the_rubric_has_its_nineteen_flaws() -> None:
    assert len({flaw for flaw, _ in writing.RUBRIC}) == 19


def test_a_gap_is_found() -> None:
    rows = clean_rows()
    reword(rows, 0, "id", lambda text: text.rstrip("?") + " ___?")
    assert broken(audited(writing, rows)) == {"article"}
