"""Splits, shares, multiplicity, positions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from polyfact_dataset.audit import load
from polyfact_dataset.audit.build_tables import BuildTables
from polyfact_dataset.audit.checks import balance
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.config.build import load_config
from tests.support.audited import Rows, audited, broken, clean_rows, distractor, gold, mark, offer


def test_distractors_of_another_distribution_break_multiplicity() -> None:
    section = audited(balance, clean_rows(600, "co-occurring", answers=40))
    assert broken(section) == {"multiplicity"}
    assert next(v.value for v in section.verdicts if v.gate == "multiplicity") > 0.3


def test_a_withdrawn_fact_is_borne() -> None:
    rows = clean_rows(600, answers=40)
    section = audited(balance, rows[1:])
    assert broken(section) == set()
    assert section.count("multiplicity") == 4
    assert {entry["fact_id"] for entry in section.examples("multiplicity")} == {f"{rows[0]['property_id']}/train"}


def test_single_facts_that_are_not_clean_break_multiplicity_in_clean(small: Path) -> None:
    release = load.read(small, load_config(), BuildTables(small.parent))
    assert broken(balance.audit(release, AuditConfig())) == set()
    place = release.facts.column_names.index("quality_tier")
    tiers = release.column("quality_tier")
    tiers[::5] = ["bronze"] * len(tiers[::5])
    facts = release.facts.set_column(place, "quality_tier", pa.chunked_array([tiers]))
    section = balance.audit(dataclasses.replace(release, facts=facts), AuditConfig())
    assert broken(section) == {"multiplicity_clean"} and section.count("multiplicity") == 0
    assert section.count("multiplicity_clean") > 20


def test_excess_counts_options_beyond_four_per_gold() -> None:
    rows = clean_rows()
    assert _value(rows) == 0
    offer(rows, 0, distractor(rows, 0), "Q5", "Five")
    assert _value(rows) == pytest.approx(1 / (4 * len(rows)), abs=1e-6)


def _value(rows: Rows) -> float:
    verdicts = audited(balance, rows).verdicts
    return next(verdict.value for verdict in verdicts if verdict.gate == "multiplicity")


def test_an_answer_above_a_quarter_of_its_stratum_is_named() -> None:
    rows = clean_rows()
    mine = [row for row in rows if row["property_id"] == "P17" and row["split"] == "test"]
    for row in mine[: len(mine) // 2]:
        row["object_id"] = "Q42"
    section = audited(balance, rows)
    assert "answer_share" in broken(section)
    (found,) = section.examples("answer_share")
    assert found["fact_id"] == "P17/test" and "Q42 is 4 of 8" in found["detail"]


def test_a_quarter_is_allowed() -> None:
    rows = clean_rows()
    strata = Counter((row["property_id"], row["split"]) for row in rows)
    golds = Counter((row["property_id"], row["split"], gold(rows, number)) for number, row in enumerate(rows))
    worst = max(times / strata[key[:2]] for key, times in golds.items())
    value = next(v.value for v in audited(balance, rows).verdicts if v.gate == "answer_share")
    assert value == pytest.approx(worst) and value <= 0.25


def test_a_subject_in_two_splits_is_found_with_all_its_facts() -> None:
    rows = clean_rows()
    test = next(row for row in rows if row["split"] == "test")
    test["subject_id"] = rows[0]["subject_id"]
    section = audited(balance, rows)
    found = section.findings({row["fact_id"]: row["split"] for row in rows}).to_pylist()
    own = [entry for entry in found if entry["check"] == "split_subjects"]
    assert {(entry["fact_id"], entry["split"]) for entry in own} == {
        (test["fact_id"], "test"),
        (rows[0]["fact_id"], "train"),
    }


def test_a_subject_with_two_relations_in_one_split_is_none() -> None:
    rows = clean_rows()
    first, second = [row for row in rows if row["split"] == "train"][:2]
    second["subject_id"] = first["subject_id"]
    assert broken(audited(balance, rows)) == set()


def test_one_language_with_a_favoured_position_is_found_among_twelve() -> None:
    rows = clean_rows()
    for row in rows[::2]:
        mark(row, "bn", 3)
    section = audited(balance, rows)
    assert broken(section) == {"gold_position"}
    assert "bn" in next(v.detail for v in section.verdicts if v.gate == "gold_position")
