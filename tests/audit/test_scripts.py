"""Scripts and characters: planted faults of every kind, and names that only look odd."""

from __future__ import annotations

import pytest

from polyfact_dataset.audit.checks import scripts
from polyfact_dataset.catalog.language import language
from tests.support.audited import OPTIONS, audited, broken, clean_rows, gold, rename, reword


@pytest.mark.parametrize(
    ("text", "code", "question", "checks"),
    [
        ("গ্দাńsk", "bn", False, {"mixed_word"}),
        ("ماtejكو", "ar", False, {"mixed_word"}),
        ("Москвa", "ru", False, {"confusable"}),
        ("Pаris", "fr", False, {"script", "confusable"}),
        ("서울", "zh", False, {"script"}),
        ("首尔서울在哪里？", "zh", True, {"script"}),
        ("ソウル", "zh", False, {"script"}),
        ("東京", "de", False, {"script"}),
        ("Αθήνα", "de", False, {"script"}),
        ("Where was Ivan born?", "ru", True, {"script"}),
        ("abc\u202edef", "en", False, {"characters"}),
        ("abc\u0007", "en", False, {"characters"}),
        ("abc\ue000", "en", False, {"characters"}),
        ("abc\u0378", "en", False, {"characters"}),
        ("abc\u200bdef", "en", False, {"characters"}),
        ("Cafe\u0301", "fr", False, {"normal_form"}),
        ("Лос-Angeles", "ru", False, {"mixed_name"}),
        ("ロンdon", "ja", False, {"mixed_name"}),
        ("গ্দা ńsk", "bn", False, {"mixed_name"}),
        ("[[Lyon]]", "fr", False, {"markup"}),
        ("Où est &amp; Lyon ?", "fr", True, {"markup"}),
        ("ঢা\u200cকা", "bn", False, {"joiners"}),
        ("Ly\u200don", "fr", True, {"joiners"}),
        # Near misses.
        ("Где родился Ivan Gončarov?", "ru", True, set()),
        ("iPhone 12", "ru", False, set()),
        ("Какой автомобиль выпускает Smart-Авто?", "ru", True, set()),
        ("ядро Linux", "ru", False, set()),
        ("Googleマップ", "ja", False, set()),
        ("β-Carotin", "de", False, set()),
        ("T恤", "zh", False, set()),
        ("SEGA株式会社", "ja", False, set()),
        ("南アフリカ共和国の力", "ja", False, set()),
        ("ক্‌ষ", "bn", False, set()),
        ("می‌خواهم", "ar", False, set()),
        ("Wi-Fi 3D (2.0)", "id", False, set()),
        ("Łódź–Żory", "de", False, set()),
        ("ʻOkina", "en", False, set()),
        ("۱۲۳؟", "ar", True, set()),
    ],
)
def test_faults(text: str, code: str, question: bool, checks: set[str]) -> None:
    assert {check for check, _ in scripts.faults(text, language(code).scripts, question)} == checks


@pytest.mark.parametrize("code", ["ru", "de", "zh"])
def test_the_close_look_misses_nothing(code: str) -> None:
    """What is passed over without a close look has no fault under a close look."""
    entry = language(code).scripts
    texts = [
        "Москвa",
        "東京",
        "서울",
        "abc\u202e",
        "Cafe\u0301",
        "München",
        "北京",
        "Где Ivan?",
        "Αθήνα",
        "123",
        "β-X",
        "\u0378",
    ]
    suspects = set(scripts._suspects(texts, entry))
    for number, text in enumerate(texts):
        if list(scripts.faults(text, entry, True)):
            assert number in suspects, text


def test_an_option_in_a_foreign_script_is_found_in_every_item_that_shows_it() -> None:
    rows = clean_rows()
    entity = gold(rows, 0)
    rename(rows, entity, "de", "東京")
    section = audited(scripts, rows)
    shown = [row["fact_id"] for row in rows if entity in row["translations"]["de"]["option_ids"]]
    assert broken(section) == {"script"} and section.count("script") == len(shown)
    found = section.findings({}).to_pylist()
    assert sorted(entry["fact_id"] for entry in found) == sorted(shown)
    assert all(entry["language"] == "de" and "東京" in entry["detail"] for entry in found)


def test_latin_options_elsewhere_are_counted_and_not_refused() -> None:
    rows = clean_rows()
    for row in rows:
        item = row["translations"]["ja"]
        for option in OPTIONS:
            item[option] = "Abc " + row["subject_id"] + option
        item["answer_text"] = item[OPTIONS[item["answer_index"]]]
    section = audited(scripts, rows)
    grid = next(grid for grid in section.grids if "Latin" in grid.title)
    assert dict(grid.rows)["ja"] == 1.0 and dict(grid.rows)["ru"] == 0.0
    assert broken(section) == set()


def test_hidden_characters_are_made_visible() -> None:
    rows = clean_rows()
    reword(rows, 0, "ar", lambda text: text + "\u202e")
    (found,) = audited(scripts, rows).examples("characters")
    assert "\u202e" not in found["detail"] and "\\u202e" in found["detail"] and "U+202E" in found["detail"]


def test_half_a_person_s_name_is_found_where_persons_stand() -> None:
    rows = clean_rows()
    number = {
        relation: next(n for n, row in enumerate(rows) if row["property_id"] == relation) for relation in ("P50", "P17")
    }
    rename(rows, gold(rows, number["P17"]), "ru", "Музей Porsche")
    assert broken(audited(scripts, rows)) == set()
    rename(rows, gold(rows, number["P50"]), "ru", "Иван Smith")
    section = audited(scripts, rows)
    assert broken(section) == {"mixed_name"}
    assert all("Smith" in entry["detail"] for entry in section.examples("mixed_name"))


@pytest.mark.parametrize("where", ["question", "option", "subject label"])
def test_traditional_characters_are_found_wherever_they_stand(where: str) -> None:
    rows = clean_rows()
    if where == "question":
        reword(rows, 0, "zh", lambda text: text + "請問？")
    else:
        rename(rows, gold(rows, 0) if where == "option" else rows[0]["subject_id"], "zh", "臺灣大學")
    section = audited(scripts, rows)
    assert broken(section) == {"traditional"}
    assert {entry["language"] for entry in section.examples("traditional")} == {"zh"}
    assert all(entry["detail"].startswith(where) for entry in section.examples("traditional"))


def test_characters_that_both_forms_share_and_japanese_ones_are_no_traditional() -> None:
    rows = clean_rows()
    rename(rows, gold(rows, 0), "zh", "著名的乾隆")
    rename(rows, gold(rows, 0), "ja", "臺灣大學")
    assert broken(audited(scripts, rows)) == set()
