"""Names in questions: what gives an answer away, and what only looks like it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from polyfact_dataset.audit.checks import leakage
from tests.support.audited import audited, broken, clean_rows, distractor, gold, rename, unchecked


def test_each_leak_is_found_in_the_language_that_has_it() -> None:
    rows = clean_rows()
    rename(rows, gold(rows, 3), "ja", "日本")
    rename(rows, rows[3]["subject_id"], "ja", "日本放送協会")
    section = audited(leakage, rows)
    assert broken(section) == {"leak_gold"}
    (found,) = section.examples("leak_gold")
    assert found["language"] == "ja" and found["fact_id"] == rows[3]["fact_id"] and "日本" in found["detail"]


def test_near_misses_are_no_leaks() -> None:
    rows = clean_rows()
    rename(rows, gold(rows, 0), "en", "Niger")
    rename(rows, rows[0]["subject_id"], "en", "Nigeria Airways")
    rename(rows, distractor(rows, 0), "de", "Au")
    rename(rows, rows[0]["subject_id"], "de", "Au am Rhein")
    assert broken(audited(leakage, rows)) == set()


def test_aliases_count_in_their_language_and_from_mul_where_it_may_stand() -> None:
    rows = clean_rows()
    for code in ("en", "ru"):
        rename(rows, rows[0]["subject_id"], code, "Big Blue Selectric")

    def alias(code: str) -> set[str]:
        table = pa.table({"entity": [gold(rows, 0)], "code": [code], "text": ["Big Blue"]})
        section = audited(leakage, rows, aliases=table)
        return {found["language"] for found in section.examples("leak_alias")}

    assert alias("en") == {"en"} and alias("ru") == {"ru"} and alias("de") == set()
    assert alias("mul") == {"en"}


def test_without_a_build_aliases_are_not_checked() -> None:
    section = audited(leakage, clean_rows())
    assert unchecked(section) == {"leak_alias"}


@pytest.mark.parametrize(
    ("code", "answer", "subject", "check"),
    [
        ("de", "Deutschland", "Die Küche Deutschlands", "leak_inflected"),
        ("ru", "Москва", "Университет Москвы", "leak_inflected"),
        ("ru", "Лев Толстой", "Дневник Льва Толстого", "leak_surname"),
        ("fr", "Victor Hugo", "Le carnet Hugo", "leak_surname"),
        ("de", "Rom", "Romy und die Roms", None),
        ("ru", "Москва", "Московский вокзал", None),
        ("en", "Stephen King", "Kingdom of Kings", None),
        ("en", "Bruce Lee", "Lee Garden", None),
    ],
)
def test_answers_in_disguise(code: str, answer: str, subject: str, check: str | None) -> None:
    rows = clean_rows()
    number = next(n for n, row in enumerate(rows) if row["property_id"] == "P50")
    rename(rows, gold(rows, number), code, answer)
    rename(rows, rows[number]["subject_id"], code, subject)
    section = audited(leakage, rows)
    assert broken(section) == ({check} if check else set())


def test_the_last_word_of_a_place_is_no_family_name() -> None:
    rows = clean_rows()
    number = next(n for n, row in enumerate(rows) if row["property_id"] == "P17")
    rename(rows, gold(rows, number), "en", "United Kingdom")
    rename(rows, rows[number]["subject_id"], "en", "Kingdom Tower")
    assert broken(audited(leakage, rows)) == set()


def test_the_subject_is_found_by_entity_and_by_name() -> None:
    rows = clean_rows()
    rename(rows, distractor(rows, 0), "pt", rows[0]["translations"]["pt"]["subject_label"].upper())
    section = audited(leakage, rows)
    assert {found["language"] for found in section.examples("leak_subject")} == {"pt"}
