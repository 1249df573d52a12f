"""What changed between two releases: every kind of change is planted once, and found as what it is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.release.diff import Diff, changelog, compare, next_version, require_no_leak
from polyfact_dataset.release.reader import config_files
from tests.support.command import polyfact
from tests.support.released import Rows, edited, parallel_rows_of


@pytest.fixture(scope="module")
def old(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return edited(small, tmp_path_factory.mktemp("old"), lambda rows: None)


def change(old: Path, target: Path, edit) -> Diff:
    return compare(old, edited(old, target, edit))


def test_equal_releases_do_not_differ(old: Path, tmp_path: Path) -> None:
    diff = change(old, tmp_path / "new", lambda rows: None)
    assert diff == Diff() and diff.level == "none"
    assert changelog(diff) == ["- No change of content."]


def test_other_files_with_the_same_rows_are_a_patch(old: Path, tmp_path: Path) -> None:
    diff = change(old, tmp_path / "new", lambda rows: rows[::-1])
    assert diff == Diff(content_changed=True, facts_before=200) and diff.level == "patch"
    assert changelog(diff) == ["- The same rows in other files."]


def test_a_reworded_question_is_a_patch(old: Path, tmp_path: Path) -> None:
    def edit(rows: Rows) -> None:
        rows[0]["translations"]["sw"]["question"] = "Ni nani?"

    diff = change(old, tmp_path / "new", edit)
    assert diff.questions == {"sw": 1} and diff.level == "patch"
    row = parallel_rows_of(old)[0]
    assert diff.examples["questions"] == [f"{row['fact_id']} sw: {row['translations']['sw']['question']} -> Ni nani?"]
    assert changelog(diff) == ["- Questions reworded: sw 1."]


def test_another_wording_is_counted_by_language_and_by_its_keys(old: Path, tmp_path: Path) -> None:
    def edit(rows: Rows) -> None:
        for row in rows[:2]:
            row["translations"]["sw"]["template"] = "P19/female/dead"
        rows[0]["translations"]["en"]["template"] = ""

    before = [row["translations"]["sw"]["template"] for row in parallel_rows_of(old)[:2]]
    diff = change(old, tmp_path / "new", edit)
    assert diff.templates == {"en": 1, "sw": 2} and diff.values == {} and diff.level == "patch"
    moved = {key: number for key, number in diff.moved_templates.items() if key.startswith("sw ")}
    assert moved == dict(Counter(f"sw {key} -> P19/female/dead" for key in before))
    assert any(key.startswith("en ") and key.endswith(" -> model") for key in diff.moved_templates)
    assert "- Wordings exchanged: en 1, sw 2." in changelog(diff)


def test_a_number_that_all_languages_share_is_said_once() -> None:
    diff = Diff(options={"en": 3, "sw": 3}, questions={"en": 1, "sw": 2}, labels={"sw": 4})
    assert changelog(diff) == [
        "- Questions reworded: en 1, sw 2.",
        "- Options exchanged: 3 in each of 2 languages.",
        "- Labels corrected: sw 4.",
    ]


def test_a_corrected_label_is_a_patch_and_another_entity_or_order_is_minor(old: Path, tmp_path: Path) -> None:
    def relabel(rows: Rows) -> None:
        rows[0]["translations"]["en"]["option_a"] += " (city)"

    def exchange(rows: Rows) -> None:
        rows[1]["translations"]["en"]["option_ids"][0] = "Q1"

    def turn(rows: Rows) -> None:
        item = rows[2]["translations"]["en"]
        item["option_ids"] = item["option_ids"][::-1]

    diff = change(old, tmp_path / "label", relabel)
    assert (diff.labels, diff.options, diff.orders, diff.level) == ({"en": 1}, {}, {}, "patch")
    diff = change(old, tmp_path / "entity", exchange)
    assert (diff.labels, diff.options, diff.orders, diff.level) == ({}, {"en": 1}, {}, "minor")
    diff = change(old, tmp_path / "order", turn)
    assert (diff.labels, diff.options, diff.orders, diff.level) == ({}, {}, {"en": 1}, "minor")


def test_other_columns_are_counted_by_name(old: Path, tmp_path: Path) -> None:
    def edit(rows: Rows) -> None:
        rows[0]["popularity"] += 1
        for code in ("en", "sw"):
            rows[1]["translations"][code]["subject_provenance"] = "title"

    diff = change(old, tmp_path / "new", edit)
    assert diff.values == {"popularity": 1, "translations.*.subject_provenance": 2} and diff.level == "patch"


def test_facts_added_and_removed(old: Path, tmp_path: Path) -> None:
    def edit(rows: Rows) -> Rows:
        rows[-1]["fact_id"] = "Q1|P1|Q2"
        return rows[1:]

    diff = change(old, tmp_path / "new", edit)
    facts = [row["fact_id"] for row in parallel_rows_of(old)]
    assert list(diff.added) == ["Q1|P1|Q2"] and set(diff.removed) == {facts[0], facts[-1]}
    assert diff.level == "minor"
    assert changelog(diff) == ["- Facts added: 1.", "- Facts removed: 2."]


def test_tier_moves_are_minor_and_split_moves_major(old: Path, tmp_path: Path) -> None:
    def demote(rows: Rows) -> None:
        rows[0]["quality_tier"] = "silver" if rows[0]["quality_tier"] != "silver" else "gold"

    def hold_out(rows: Rows) -> None:
        next(row for row in rows if row["split"] == "train")["split"] = "test"

    diff = change(old, tmp_path / "tier", demote)
    assert sum(diff.tiers.values()) == 1 and diff.level == "minor"
    diff = change(old, tmp_path / "split", hold_out)
    assert diff.splits == {"train -> test": 1} and diff.leaked == [] and diff.level == "major"


def test_a_held_out_subject_in_train_is_an_error_even_with_another_fact(old: Path, tmp_path: Path) -> None:
    def leak(rows: Rows) -> None:
        row = next(row for row in rows if row["split"] == "test")
        row.update(split="train", fact_id=f"{row['subject_id']}|P1|Q2")

    diff = change(old, tmp_path / "new", leak)
    assert diff.splits == {} and len(diff.leaked) == 1 and diff.level == "major"
    with pytest.raises(DataError, match=diff.leaked[0].replace("|", r"\|")):
        require_no_leak(diff)
    result = polyfact("diff", old, tmp_path / "new", check=False)
    assert result.returncode == 1 and "Held-out subjects in train: 1" in result.stdout
    assert "--previous" in result.stderr and len(result.stderr.strip().splitlines()) == 1


def test_schema_changes(old: Path, tmp_path: Path) -> None:
    schema = pq.read_schema(next(iter(config_files(old, "parallel").values()))[0])
    wider = schema.append(pa.field("note", pa.string()))
    diff = compare(old, edited(old, tmp_path / "added", lambda rows: [{**row, "note": ""} for row in rows], wider))
    assert diff.columns == {"note": "added"} and diff.level == "minor"
    narrower = schema.remove(schema.get_field_index("domain"))
    diff = compare(old, edited(old, tmp_path / "removed", lambda rows: None, narrower))
    assert diff.columns == {"domain": "removed"} and diff.level == "major"
    index = schema.get_field_index("popularity")
    other = schema.set(index, pa.field("popularity", pa.int64(), nullable=False))
    diff = compare(old, edited(old, tmp_path / "type", lambda rows: None, other))
    assert diff.columns == {"popularity": "type int32 -> int64"} and diff.level == "major"
    languages = schema.field("translations").type
    one = schema.set(
        schema.get_field_index("translations"),
        pa.field("translations", pa.struct([languages.field("en")]), nullable=False),
    )
    diff = compare(old, edited(old, tmp_path / "language", lambda rows: None, one))
    assert diff.languages == {"sw": "removed"} and diff.level == "major"
    diff = compare(tmp_path / "language", old)
    assert diff.languages == {"sw": "added"} and diff.level == "minor"


@pytest.mark.parametrize(
    ("level", "version"), [("major", "2.0.0"), ("minor", "1.3.0"), ("patch", "1.2.4"), ("none", "1.2.3")]
)
def test_next_version(level: str, version: str) -> None:
    assert next_version("1.2.3", level) == version


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="1.2"):
        next_version("1.2", "minor")


def test_a_folder_that_is_no_release_is_named(old: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="manifest.json"):
        compare(old, tmp_path)
