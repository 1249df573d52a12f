"""Names and shared columns: texts that belong to another entity, other names of the gold, columns that contradict."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest

from polyfact_dataset.audit.checks import columns, names
from polyfact_dataset.audit.release import OpenItems
from polyfact_dataset.config.audit import AuditConfig
from tests.support.audited import OPTIONS, as_release, audited, broken, clean_rows, distractor, gold, rename, unchecked


def test_a_text_that_was_exchanged_is_found_where_it_stands() -> None:
    rows = clean_rows()
    item = rows[5]["translations"]["ja"]
    slot = (item["answer_index"] + 1) % 4
    right, item[OPTIONS[slot]] = item[OPTIONS[slot]], "別の都市"
    section = audited(names, rows)
    (found,) = section.examples("one_text")
    assert broken(section) == {"one_text"} and (found["fact_id"], found["language"]) == (rows[5]["fact_id"], "ja")
    assert "別の都市" in found["detail"] and right in found["detail"] and item["option_ids"][slot] in found["detail"]


def test_a_subject_has_the_same_name_as_the_option_that_it_is_elsewhere() -> None:
    rows = clean_rows()
    entity = Counter(row["object_id"] for row in rows).most_common(1)[0][0]
    other = next(row for row in rows if entity not in row["translations"]["en"]["option_ids"])
    other["subject_id"] = entity
    assert audited(names, rows).count("one_text") == 12
    for code, item in other["translations"].items():
        shown = next(row["translations"][code] for row in rows if entity in row["translations"][code]["option_ids"])
        item["subject_label"] = shown[OPTIONS[shown["option_ids"].index(entity)]]
    assert broken(audited(names, rows)) == set()


def test_two_entities_of_one_name_are_no_fault() -> None:
    rows = clean_rows()
    for entity in (rows[0]["subject_id"], rows[1]["subject_id"]):
        rename(rows, entity, "fr", "Saint-Denis")
    assert broken(audited(names, rows)) == set()


def test_without_ids_texts_are_tied_to_nothing() -> None:
    assert "one_text" in unchecked(audited(names, clean_rows(), without="option_ids"))


def test_another_name_of_the_gold_is_found_from_aliases_and_accepted_answers_in_its_language() -> None:
    rows = clean_rows()
    for code in ("en", "ru", "de"):
        rename(rows, distractor(rows, 0), code, "Big Blue")
    aliases = pa.table({"entity": [gold(rows, 0)], "code": ["en"], "text": ["BIG  BLUE"]})
    opened = OpenItems((), {"de": {gold(rows, 0): frozenset({"big blue"})}})
    section = audited(names, rows, aliases=aliases, opened=opened)
    found = {(entry["fact_id"], entry["language"]) for entry in section.examples("alias_option")}
    assert broken(section) == {"alias_option"}
    assert {(rows[0]["fact_id"], "en"), (rows[0]["fact_id"], "de")} <= found
    assert "ru" not in {language for _, language in found}


def test_the_name_of_another_answer_and_the_gold_itself_are_no_aliases() -> None:
    rows = clean_rows()
    item = rows[0]["translations"]["en"]
    known = {
        gold(rows, 0): frozenset({item["answer_text"].casefold()}),
        distractor(rows, 0): frozenset({item[OPTIONS[(item["answer_index"] + 2) % 4]].casefold()}),
    }
    own = [row for row in rows if row["object_id"] != distractor(rows, 0)]
    assert broken(audited(names, own, opened=OpenItems((), {"en": known}))) == set()


def test_without_a_build_or_config_open_other_names_are_not_known() -> None:
    section = audited(names, clean_rows(), opened=None)
    assert unchecked(section) == {"alias_option"}


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("fact_id", "Q1-P38-Q2", "is not Q...|P...|Q..."),
        ("subject", "Nobody", "in the English item"),
        ("object", "Nothing", "in the English item"),
        ("relation", "employer", "relation of P38"),
        ("domain", "works", "domain of P38"),
        ("n_langs_attested", 11, "but 12 languages"),
        ("n_langs_attested", 13, "n_langs_attested is 13"),
        ("name_overlap", ["en"], "name_overlap lists en"),
        ("name_overlap", ["xx"], "name_overlap is"),
        ("n_langs_subject_attested", 2, "but 12 languages"),
        ("popularity", -1, "popularity is -1"),
        ("popularity", 5000, "popularity is 5000"),
        ("popularity", None, "popularity is None"),
        ("quality_tier", "platinum", "quality_tier is platinum"),
        ("verification", "sure", "verification is sure"),
        ("subject_articles", ["xx"], "subject_articles is ['xx']"),
        ("object_articles", None, "object_articles is None"),
    ],
)
def test_a_shared_column_that_contradicts_is_found(column: str, value: object, message: str) -> None:
    rows = clean_rows()
    first = next(row for row in rows if row["property_id"] == "P38")
    first[column] = value
    section = audited(columns, rows)
    found = section.examples("shared_columns")
    assert broken(section) == {"shared_columns"} and {entry["fact_id"] for entry in found} == {first["fact_id"]}
    assert any(message in entry["detail"] for entry in found)


def test_what_is_said_of_an_answer_is_the_same_in_all_its_facts() -> None:
    rows = clean_rows()
    entity, times = Counter(row["object_id"] for row in rows).most_common(1)[0]
    assert times > 2
    own = [row for row in rows if row["object_id"] == entity]
    own[0]["object_articles"] = ["en"]
    section = audited(columns, rows)
    (found,) = section.examples("shared_columns")
    assert found["fact_id"] == own[0]["fact_id"] and entity in found["detail"]
    for row in own:
        row["object_articles"] = ["en"]
    assert broken(audited(columns, rows)) == set()


def test_a_label_that_a_model_made_is_not_attested() -> None:
    rows = clean_rows()
    item = rows[0]["translations"]["sw"]
    item["option_provenance"][item["answer_index"]] = "model:some-model"
    assert broken(audited(columns, rows)) == {"shared_columns"}
    entity = gold(rows, 0)
    for row in rows:
        if row["object_id"] == entity:
            own = row["translations"]["sw"]
            own["option_provenance"][own["answer_index"]] = "model:some-model"
            row["n_langs_attested"] = 11
    assert broken(audited(columns, rows)) == set()


def test_a_release_without_shared_columns_has_none_that_contradict() -> None:
    release = as_release(clean_rows())
    bare = release.facts.select(["fact_id", "subject_id", "property_id", "object_id", "split"])
    object.__setattr__(release, "facts", bare)
    assert broken(columns.audit(release, AuditConfig())) == set()


def test_forms_that_are_listed_under_another_label_are_counted() -> None:
    rows = clean_rows()
    for row in rows:
        row["subject_id"] = f"Q99{row['subject_id'][1:]}00"
    for number, label in ((0, "Kénia"), (1, "kenya")):
        rows[number]["subject_id"] = "Q114"
        item = rows[number]["translations"]["fr"]
        item["question"] = item["question"].replace(item["subject_label"], label)
        item["subject_label"] = label
    section = audited(names, rows)
    # Of Kenya, the forms know "Kenya", in any case.
    (found,) = [example for example in section.examples("form_of_another_label") if example["language"] == "fr"]
    assert found["fact_id"] == rows[0]["fact_id"] and "Q114" in found["detail"] and "Kénia" in found["detail"]
