"""What judge and people say together, and what follows for a relation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import write_json, write_parquet
from polyfact_dataset.config.build import TiersConfig
from polyfact_dataset.items.evidence import relation_evidence, verdict
from polyfact_dataset.verification.journal import Review, Reviews
from polyfact_dataset.verification.table import JudgeTable, as_table, judge_table, table_rows

C, A, I = "correct", "ambiguous", "incorrect"  # noqa: E741
NOBODY = JudgeTable(None, {}, {})


@pytest.mark.parametrize(
    ("judge", "people", "drift", "together"),
    [
        (None, [], [], None),
        (C, [], [], C),
        (A, [], [], A),
        (I, [], [], I),
        (C, [C, C], [], C),
        (None, [C], [], C),
        # Doubt from anybody.
        (A, [C], [], A),
        (C, [C, A], [], A),
        (C, [C, I], [], A),
        (C, [], ["subject"], A),
        (None, [], ["language"], A),
        # People outrank the judge.
        (C, [I], [], I),
        (I, [C], [], A),
        (I, [A], [], A),
        (I, [I, I], [], I),
        (I, [I, A], [], A),
    ],
)
def test_verdict(judge: str | None, people: list[str], drift: list[str], together: str | None) -> None:
    assert verdict(judge, people, drift) == together


def judged(fact: str, label: str | None, code: str = "en", **more: Any) -> dict[str, Any]:
    row = {"fact_id": fact, "language": code, "item": "i", "question": "q?", "answer_text": "a", "label": label}
    return {
        **row,
        "rationale": "because",
        "urls": ["https://x.example"],
        "also_right": [],
        "date": "2026-01-02",
        **more,
    }


def as_source(*rows: dict[str, Any]) -> JudgeTable:
    keyed = {(row["fact_id"], row["language"], row["item"]): row for row in rows}
    return JudgeTable("judge-1", {"model": "judge"}, keyed)


def reviews(name: str, labels: dict[str, str]) -> Reviews:
    listed = [
        Review(fact, "en", "i", label, "q?", "a", "", "2026-02-03T04:05:06+00:00") for fact, label in labels.items()
    ]
    return Reviews(name, {review.key: review for review in listed}, first_at="2026")


def test_the_table_joins_judge_drift_and_people() -> None:
    judge = as_source(judged("Q1|P36|Q2", C), judged("Q3|P50|Q4", None, reason="refused"), judged("Q5|P50|Q6", A))
    drift = as_source(
        {**judged("Q1|P36|Q2", None), "problems": ["extra"]},
        {**judged("Q7|P50|Q8", None), "problems": []},
        {**judged("Q9|P50|Q8", None), "problems": None},
    )
    people = [reviews("amina", {"Q5|P50|Q6": A, "Q3|P50|Q4": C}), reviews("bilal", {"Q5|P50|Q6": C})]
    rows = as_table(table_rows(judge, drift, people)).to_pylist()
    # Neither facts without a label nor names of reviewers are in it.
    assert [(row["fact_id"], row["property_id"], row["label"]) for row in rows] == [
        ("Q1|P36|Q2", "P36", A),
        ("Q3|P50|Q4", "P50", C),
        ("Q5|P50|Q6", "P50", A),
    ]
    assert (
        rows[0]["drift"] == ["extra"] and rows[0]["judge_model"] == "judge" and rows[0]["judge_rationale"] == "because"
    )
    assert rows[1]["judge_label"] is None and rows[1]["judge_model"] is None and rows[1]["judge_date"] is None
    assert (rows[2]["reviewers"], rows[2]["human_labels"]) == (["r1", "r2"], [A, C])
    assert rows[2]["human_dates"] == ["2026-02-03"] * 2


def test_a_relation_with_few_items_keeps_the_papers_default_and_says_so() -> None:
    def rows(relation: str, doubtful: int, items: int) -> list[dict[str, Any]]:
        labels = [A] * doubtful + [C] * (items - doubtful)
        return [{"property_id": relation, "judge_label": label, "human_labels": [], "label": label} for label in labels]

    config = TiersConfig(min_judged_items=30, prior_items=10)
    table = [*rows("P136", 0, 29), *rows("P50", 12, 30), *rows("P17", 0, 141), *rows("P36", 29, 29)]
    found = relation_evidence(table, ("P136", "P50", "P17", "P36", "P19"), config)
    overall = 41 / 229
    assert found["P136"].ambiguity == 0.25 and found["P136"].source == (
        "0.25 of the paper's Table 7: 29 items judged, fewer than 30"
    )
    assert (
        found["P50"].ambiguity == pytest.approx((12 + 10 * overall) / 40) and found["P50"].source == "30 items judged"
    )
    assert found["P17"].ambiguity == pytest.approx(10 * overall / 151)
    assert found["P36"].ambiguity is None and found["P36"].source.startswith("not known: 29 items judged")
    assert found["P19"].ambiguity == 0.25 and found["P19"].judged == 0
    bare = relation_evidence(table, ("P50",), TiersConfig(prior_items=0))
    assert bare["P50"].ambiguity == 0.4


def test_rates_are_the_judges_and_peoples_where_it_has_no_label() -> None:
    rows = [
        {"property_id": "P50", "judge_label": C, "human_labels": [A]},
        {"property_id": "P50", "judge_label": None, "human_labels": [A]},
        {"property_id": "P50", "judge_label": None, "human_labels": []},
    ]
    found = relation_evidence(rows, ("P50",), TiersConfig(min_judged_items=1, prior_items=0))["P50"]
    assert (found.judged, found.doubtful, found.ambiguity) == (2, 1, 0.5)


def test_the_judge_that_counts_must_be_clear(tmp_path: Path) -> None:
    assert judge_table(tmp_path, "judgements", "") == NOBODY
    schema = as_table([]).schema
    for name in ("gpt-4o-11111111", "gpt-4o-22222222"):
        write_parquet(tmp_path / "judgements" / f"{name}.parquet", schema.empty_table())
        write_json(tmp_path / "judgements" / f"{name}.json", {"model": name, "api": "chat", "search_tool": ""})
    with pytest.raises(ConfigError, match=r"contains gpt-4o-11111111, gpt-4o-22222222; select one"):
        judge_table(tmp_path, "judgements", "")
    with pytest.raises(ConfigError, match="contains gpt-4o-11111111, gpt-4o-22222222"):
        judge_table(tmp_path, "judgements", "claude")
    assert judge_table(tmp_path, "judgements", "gpt-4o-2").about["model"] == "gpt-4o-22222222"
