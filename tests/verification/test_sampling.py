"""The sample is balanced, seeded, nested, and stays where it is when a release grows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import digest
from polyfact_dataset.items.evidence import item_digest
from polyfact_dataset.verification.items import load_facts, load_sample
from polyfact_dataset.verification.sampling import Draw, draw_sample, write_sample
from tests.support.judged import LANGUAGES, sampled, write_release


def facts_of(rows: list[dict], code: str = "en") -> list[str]:
    return [row["fact_id"] for row in rows if row["language"] == code]


def test_relations_take_turns_and_a_small_one_leaves_its_place_to_the_others(tmp_path: Path) -> None:
    release = write_release(tmp_path, {"P36": 30, "P50": 30, "P17": 2})
    rows, facts = draw_sample(release, Draw(14, 42))
    for code in LANGUAGES:
        assert Counter(row["property_id"] for row in rows if row["language"] == code) == {"P36": 6, "P50": 6, "P17": 2}
    assert facts_of(rows, "ar") == facts_of(rows) == facts_of(rows, "bn")
    first = [row["property_id"] for row in rows if row["language"] == "en"][:6]
    assert Counter(first) == {"P36": 2, "P50": 2, "P17": 2}
    assert [row["place"] for row in rows if row["language"] == "bn"] == list(range(1, 15))
    assert len(facts) == 14 and [own["language"] for own in facts[0]["items"]] == list(LANGUAGES)


def test_a_larger_sample_holds_the_smaller_one_and_another_seed_another(tmp_path: Path) -> None:
    release = write_release(tmp_path, {"P36": 40, "P50": 40})
    small, large = (facts_of(draw_sample(release, Draw(number, 42))[0]) for number in (10, 25))
    assert large[:10] == small
    assert set(facts_of(draw_sample(release, Draw(10, 43))[0])) != set(small)


def test_growing_by_a_tenth_changes_about_a_tenth(tmp_path: Path) -> None:
    before, _ = draw_sample(write_release(tmp_path / "a", {"P36": 200, "P50": 200}), Draw(100, 42))
    after, _ = draw_sample(write_release(tmp_path / "b", {"P36": 220, "P50": 220}), Draw(100, 42))
    kept = set(facts_of(before)) & set(facts_of(after))
    gone = set(facts_of(before)) - kept
    assert 80 <= len(kept) < 100
    # What left made room for new facts, never for old ones that had been passed over.
    new = set(facts_of(after)) - kept
    assert len(new) == len(gone) and all(int(fact[1:].partition("|")[0]) >= 200 for fact in new)


def test_languages_can_have_facts_of_their_own(tmp_path: Path) -> None:
    release = write_release(tmp_path, {"P36": 40, "P50": 40})
    rows, facts = draw_sample(release, Draw(10, 42, independent=True))
    assert set(facts_of(rows, "en")) != set(facts_of(rows, "ar"))
    assert len(facts) > 10 and all(len(fact["items"]) == 3 for fact in facts)


def test_a_census_takes_all_of_a_split(tmp_path: Path) -> None:
    release = write_release(tmp_path, {"P36": 30, "P50": 20})
    rows, _ = draw_sample(release, Draw(None, 42, splits=("test",), languages=("ar",)))
    assert len(rows) == 5 and {(row["language"], row["split"]) for row in rows} == {("ar", "test")}


def test_the_files_are_the_same_twice_and_hold_what_the_release_holds(tmp_path: Path) -> None:
    folder, again = sampled(tmp_path / "a"), sampled(tmp_path / "b")
    for name in ("sample.parquet", "facts.parquet", "sample.json"):
        assert digest(folder / name) == digest(again / name)
    sample, facts = load_sample(folder), load_facts(folder)
    item = sample.of("ar")[0]
    assert item.question.startswith("ar: ") and item.answer == item.options[item.marked]
    asked = next(own for fact in facts if fact.fact_id == item.fact_id for own in fact.items if own.language == "ar")
    assert (asked.item, asked.question, asked.answer) == (item.item, item.question, item.answer)


def test_the_digest_is_of_the_item_and_not_of_the_order_of_its_options() -> None:
    options = ["a", "b", "c", "d"]
    digest_of = item_digest("q", "a", options)
    assert digest_of == item_digest("q", "a", options[::-1]) and len(digest_of) == 16
    assert len({digest_of, item_digest("q?", "a", options), item_digest("q", "b", options)}) == 3


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (Draw(5, 1, languages=("xx",)), "has no xx; its languages are en, ar, bn"),
        (Draw(5, 1, splits=("dev",)), "has no dev; its splits are train, validation, test"),
        (Draw(5, 1, splits=("test",)), "contains no item of test"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, draw: Draw, message: str) -> None:
    release = write_release(tmp_path, {"P36": 3})
    for splits in ("en", "ar", "bn"):
        assert (release / f"data/{splits}/train.parquet").is_file()
    with pytest.raises(ConfigError, match=message):
        write_sample(release, tmp_path / "v", draw)
    with pytest.raises(ConfigError, match="it is not a release"):
        write_sample(tmp_path / "none", tmp_path / "v", Draw(5, 1))
