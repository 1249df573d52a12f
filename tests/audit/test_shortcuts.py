"""The shortcut audit: what refuses a release, what does not, and what each rule takes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from polyfact_dataset.audit import classifiers as trained
from polyfact_dataset.audit.checks import shortcuts
from polyfact_dataset.audit.result import Section
from polyfact_dataset.release.audit_report import Floor
from tests.support.audited import (
    OPTIONS,
    Rows,
    as_release,
    audited,
    broken,
    clean_rows,
    mark,
    offer,
    rename,
)

RELATIONS = ("P36", "P50")


def accuracy(rows: Rows, rule: str, split: str = "all") -> float:
    return floor(audited(shortcuts, rows), rule, split).accuracy


def floor(section: Section, rule: str, split: str, code: str = "all") -> Floor:
    (found,) = [f for f in section.floors if (f.rule, f.split, f.language) == (rule, split, code)]
    return found


def test_distractors_from_all_co_occurring_objects_are_refused_and_exchangeable_ones_pass() -> None:
    """The same facts twice: as the first release drew them, and as the factory does."""
    published, ours = (clean_rows(600, drawing, answers=40) for drawing in ("co-occurring", "exchangeable"))
    assert [row["fact_id"] for row in published] == [row["fact_id"] for row in ours]
    refused = audited(shortcuts, published)
    assert {"shortcut_pooled", "shortcut_cells"} <= broken(refused)
    assert "most_frequent" in next(v.detail for v in refused.verdicts if v.gate == "shortcut_pooled")
    assert floor(refused, "most_frequent", "test").accuracy > 0.5
    assert floor(refused, "choices_classifier", "test").accuracy > 0.4
    assert broken(audited(shortcuts, ours)) == set()


def test_left_out_counts_are_judged_by_what_exchangeable_options_give() -> None:
    # Few facts per answer: without the item its gold is rarer, and that alone is no shortcut.
    rare = floor(audited(shortcuts, clean_rows(600, answers=40)), "least_frequent", "train")
    assert rare.accuracy > 0.3 and rare.expected == pytest.approx(rare.accuracy, abs=0.05) and abs(rare.distance) < 3


@pytest.mark.parametrize(
    ("rule", "name"),
    [("longest", "zzz" * 12), ("shortest", "z"), ("last_in_alphabet", "zzzzzz"), ("first_in_alphabet", "!a")],
)
def test_rules_of_the_text_find_a_gold_that_stands_out(rule: str, name: str) -> None:
    rows = clean_rows()
    for number, row in enumerate(rows):
        item = row["translations"]["en"]
        text = f"{name}{number}" if rule != "shortest" else name
        item["answer_text"] = item[OPTIONS[item["answer_index"]]] = text
    single = [f for f in audited(shortcuts, rows).floors if f.rule == rule]
    assert all(f.accuracy == 1 for f in single if f.language == "en")
    others = [f.accuracy for f in single if f.language == "de"]
    assert max(others) < 0.6


def test_a_favoured_position_is_found() -> None:
    rows = clean_rows()
    for row in rows:
        mark(row, "ja", 2)
    single = [f for f in audited(shortcuts, rows).floors if f.language != "all"]
    shares = {(f.split, f.language): f.accuracy for f in single if f.rule == "position"}
    assert {shares[split, "ja"] for split in ("validation", "test")} == {1.0}
    assert ("train", "ja") not in shares and shares["test", "en"] < 0.5


def _named_after_subjects(facts: int, tier: str = "gold") -> Section:
    """The audit where so many facts of a relation have golds that are their subjects' names, twice."""
    rows = clean_rows(240, relations=("P36", "P50"), answers=12)
    named = [row for row in rows if row["property_id"] == "P50"][:facts]
    for row in named:
        row["quality_tier"] = tier
        for item in row["translations"].values():
            item["answer_text"] = item[OPTIONS[item["answer_index"]]] = " ".join([item["subject_label"]] * 2)
    return audited(shortcuts, rows)


def test_overlap_in_a_relation_is_bounded_and_shown() -> None:
    """Thirty facts of which all give their answers away are beyond chance, six are not."""
    many, few = _named_after_subjects(60), _named_after_subjects(6)
    assert "overlap_relation" in broken(many) and "overlap_relation" not in broken(few)
    grid = next(grid for grid in many.grids if grid.title.startswith("Overlap"))
    assert "P50" in grid.note and "P36" not in grid.note


def test_overlap_in_all_relations_is_bounded() -> None:
    rows = clean_rows()
    for row in rows:
        for item in row["translations"].values():
            item["answer_text"] = item[OPTIONS[item["answer_index"]]] = " ".join([item["subject_label"]] * 2)
    assert {"overlap_pooled", "overlap_relation"} <= broken(audited(shortcuts, rows))


def test_overlap_of_facts_that_are_not_in_the_clean_config_is_allowed() -> None:
    assert "overlap_relation" not in broken(_named_after_subjects(60, "bronze"))


def test_a_release_without_ids_is_measured_by_its_texts() -> None:
    rows = clean_rows(600, "co-occurring", answers=40)
    assert "shortcut_pooled" in broken(audited(shortcuts, rows, without="option_ids"))


def test_grammar_of_the_wording_betrays_the_gold() -> None:
    """Half of the questions say `la` and their golds end in -a; the others `le` and -o."""
    rows = clean_rows(600, answers=40)
    for number, row in enumerate(rows):
        item = row["translations"]["fr"]
        feminine = number % 2 == 0
        item["question"] = ("Quelle est la chose de " if feminine else "Quel est le nom de ") + item["subject_label"]
        for slot, option in enumerate(OPTIONS):
            is_gold = slot == item["answer_index"]
            item[option] = item[option] + ("a" if feminine == is_gold else "o")
        item["answer_text"] = item[OPTIONS[item["answer_index"]]]
    release = as_release(rows)
    items = release.items["fr"]
    train = release.array("split")[items.rows] == "train"
    scores = trained.wording_scores(items, train, 10_000)
    right = scores.argmax(axis=1) == items.gold
    assert right[~train].mean() > 0.6
    plain = as_release(clean_rows(600, answers=40)).items["fr"]
    right = trained.wording_scores(plain, train, 10_000).argmax(axis=1) == plain.gold
    assert right[~train].mean() < 0.5


def test_trained_classifiers_do_not_see_what_is_held_out() -> None:
    rows = clean_rows(600, answers=40)
    release = as_release(rows)
    items = release.items["en"]
    train = release.array("split")[items.rows] == "train"
    relations = release.column("property_id")
    before = [trained.choices_scores(items, train, 1000), trained.question_scores(items, relations, train)]
    moved = (items.gold + (~train)) % 4
    object.__setattr__(items, "gold", moved)
    after = [trained.choices_scores(items, train, 1000), trained.question_scores(items, relations, train)]
    for one, other in zip(before, after):
        assert np.array_equal(one, other) and one[~train].any() and not one[train].any()


def test_question_classifier_takes_the_commonest_answer_of_the_relation() -> None:
    rows = clean_rows(600, answers=40)
    golds = Counter((row["property_id"], row["object_id"]) for row in rows if row["split"] == "train")
    release = as_release(rows)
    items = release.items["en"]
    train = release.array("split")[items.rows] == "train"
    chosen = trained.question_scores(items, release.column("property_id"), train).argmax(axis=1)
    for number in np.flatnonzero(~train):
        times = [golds[rows[number]["property_id"], e] for e in rows[number]["translations"]["en"]["option_ids"]]
        assert times[chosen[number]] == max(times)


def test_nothing_held_out_leaves_the_rules() -> None:
    rows = [row for row in clean_rows() if row["split"] == "train"]
    section = audited(shortcuts, rows)
    rules = {f.rule for f in section.floors}
    assert "longest" in rules and not any(rule.endswith("classifier") for rule in rules)
    assert broken(section) == set()


def test_offer_and_rename_change_what_they_say() -> None:
    rows = clean_rows()
    first = rows[0]["translations"]["en"]["option_ids"][0]
    offer(rows, 0, first, "Q9", "Nine")
    assert rows[0]["translations"]["ja"]["option_ids"].count("Q9") == 1
    rename(rows, rows[0]["subject_id"], "en", "Somewhere")
    assert "Somewhere" in rows[0]["translations"]["en"]["question"]
