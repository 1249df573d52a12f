"""A reviewer's file: appended, durable, shared by pages, readable after a crash."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.verification.items import Item
from polyfact_dataset.verification.journal import Journal, all_reviews


def item(number: int, code: str = "en") -> Item:
    return Item(f"Q{number}|P36|Q9", code, f"{number:016x}", "P36", f"q{number}?", ("a", "b", "c", "d"), 0)


def test_the_last_line_about_an_item_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "amina")
    with journal.locked():
        journal.add(item(1), "correct")
        journal.add(item(2), "incorrect", "wrong\nyear")
        journal.add(item(1), "ambiguous")
        journal.add(item(1, "ar"), "correct")
    reviews = journal.read()
    assert [(review.fact_id[:2], review.label) for review in reviews.labels.values()] == [
        ("Q2", "incorrect"),
        ("Q1", "ambiguous"),
        ("Q1", "correct"),
    ]
    last = reviews.last("en")
    assert last and last.fact_id == "Q1|P36|Q9" and reviews.label(item(2)).note == "wrong\nyear"
    journal.undo(last)
    assert journal.read().label(item(1)) is None and journal.read().last("en").fact_id == "Q2|P36|Q9"
    # Nothing is ever taken out of the file.
    assert len(journal.path.read_text().splitlines()) == 5


def test_a_line_that_a_crash_cut_short_is_left_behind(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "amina")
    journal.path.parent.mkdir()
    journal.add(item(1), "correct")
    journal.add(item(2), "correct")
    whole = journal.path.read_bytes()
    for cut in range(len(whole) // 2 + 1, len(whole) - 1):
        journal.path.write_bytes(whole[:cut])
        assert journal.read().label(item(1)) and journal.read().label(item(2)) is None
    journal.add(item(3), "ambiguous")
    reviews = journal.read()
    assert [review.fact_id[:2] for review in reviews.labels.values()] == ["Q1", "Q3"] and reviews.broken == [2]


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "amina")
    journal.path.parent.mkdir()
    journal.path.write_text('{"label": "correct"}\n')
    with pytest.raises(DataError, match=r"amina\.jsonl: line 1 is not a review"):
        journal.read()


def test_a_changed_item_is_another_item(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "amina")
    with journal.locked():
        journal.add(item(1), "correct")
    changed = Item(*item(1).key, "f" * 16, "P36", "q1, anew?", ("a", "b", "c", "d"), 0)
    assert journal.read().label(item(1)) and journal.read().label(changed) is None


def test_pages_of_one_reviewer_wait_for_each_other(tmp_path: Path) -> None:
    def label(start: int) -> None:
        for number in range(start, start + 25):
            own = Journal(tmp_path, "amina")
            with own.locked() as reviews:
                if reviews.label(item(number % 30)) is None:
                    own.add(item(number % 30), "correct")

    threads = [threading.Thread(target=label, args=(start,)) for start in (0, 10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in Journal(tmp_path, "amina").path.read_text().splitlines()]
    assert len(lines) == 30 == len({line["fact_id"] for line in lines})


def test_every_name_has_a_file_of_its_own(tmp_path: Path) -> None:
    names = ("amina", "Amina", "بلال", "山田", "a/../../b", "a b", "a-b", "x" * 60)
    assert len({Journal(tmp_path, name).path for name in names}) == len(names)
    assert {Journal(tmp_path, name).path.parent for name in names} == {tmp_path / "reviews"}
    for name in ("", "   ", "a\x00b", "y" * 101):
        with pytest.raises(ConfigError, match="is not a valid reviewer name"):
            Journal(tmp_path, name)


def test_reviewers_are_numbered_by_when_they_began(tmp_path: Path) -> None:
    for name in ("zoe", "amina", "بلال"):
        with Journal(tmp_path, name).locked():
            pass
    zoe, amina = Journal(tmp_path, "zoe"), Journal(tmp_path, "amina")
    zoe.add(item(1), "correct")
    amina.add(item(1), "correct")
    zoe.path.write_text(zoe.path.read_text().replace('"at": "20', '"at": "19'))
    assert [own.reviewer for own in all_reviews(tmp_path)] == ["zoe", "amina"]


def test_only_labels_and_unsure_are_taken(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'fine' is not a label"):
        Journal(tmp_path, "amina").add(item(1), "fine")
    journal = Journal(tmp_path, "amina")
    with journal.locked():
        journal.add(item(1), "unsure")
    assert [review.label for review in journal.read().labels.values()] == ["unsure"]
