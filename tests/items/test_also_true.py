"""What may be true of a subject without being stated is never offered to it."""

from __future__ import annotations

import pyarrow as pa

from polyfact_dataset.items.also_true import also_true

INDIA, KERALA, WALES = "Q668", "Q1186", "Q25"
HINDI, ENGLISH, MALAYALAM, WELSH = "Q1568", "Q1860", "Q36236", "Q9309"


def test_official_languages_of_the_country_are_not_offered() -> None:
    true = {
        (INDIA, "P37"): frozenset({HINDI, ENGLISH}),
        (KERALA, "P37"): frozenset({MALAYALAM}),
        (WALES, "P37"): frozenset({WELSH}),
        (KERALA, "P17"): frozenset({INDIA}),
    }
    features = pa.table({"entity_id": [KERALA, WALES, INDIA], "country": [INDIA, None, INDIA]})
    found = also_true(true, features, {})
    assert found[KERALA, "P37"] == {MALAYALAM, HINDI, ENGLISH}
    assert found[WALES, "P37"] == {WELSH} and found[KERALA, "P17"] == {INDIA}
    assert also_true(true, None, {}) == true


def test_genres_with_a_stem_in_common_are_not_offered_unless_many_have_it() -> None:
    names = {"1": "animation", "2": "animated film", "3": "horror film", "4": "drama film", "5": "war film"}
    true = {(f"f{name}", "P136"): frozenset({name}) for name in names}
    found = also_true(true, None, names)
    assert found["f1", "P136"] == found["f2", "P136"] == {"1", "2"}
    assert found["f3", "P136"] == {"3"}
    assert also_true({("f1", "P27"): frozenset({"1"}), ("f2", "P27"): frozenset({"2"})}, None, names)["f1", "P27"] == {
        "1"
    }
