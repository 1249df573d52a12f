"""The layout of items: options in a drawn order, and the check that stops a build with an invalid item."""

from __future__ import annotations

import pyarrow as pa
import pytest

from polyfact_dataset.items.layout import check, lay_out_batch, order_of

FOUR = ["Lima", "Quito", "La Paz", "Bogotá"]


@pytest.mark.parametrize(
    ("question", "options", "message"),
    [
        ("What is the capital of Peru?", FOUR, None),
        ("Is Quito the capital of Peru?", FOUR, "option 'quito' occurs in the question"),
        ("Is  ＱＵＩＴＯ the capital of Peru?", FOUR, "option 'quito' occurs in the question"),
        ("What is the capital of Peru?", ["Lima", "LIMA", "La Paz", "Bogotá"], "not four distinct texts"),
        ("What is the capital of Peru?", ["Lima", " ", "La Paz", "Bogotá"], "not four distinct texts"),
    ],
)
def test_an_invalid_item_stops_the_build(question: str, options: list[str], message: str | None) -> None:
    # Another item comes first: the fact that is named is the invalid one.
    arguments = "en", ["Which?", question], pa.array(FOUR + options), ["Q1|P36|Q2", "Q419|P36|Q2868"]
    if message is None:
        check(*arguments)
        return
    with pytest.raises(AssertionError, match=rf"Q419\|P36\|Q2868 en: .*{message}"):
        check(*arguments)


def test_an_item_lists_its_entities_in_the_order_that_is_drawn() -> None:
    facts = [(f"Q{n}|P36|Q{n + 10}", f"Q{n + 10}", [f"Q{n + 20}", f"Q{n + 30}", f"Q{n + 40}"]) for n in range(9)]
    columns = {
        "fact_id": [fact for fact, *_ in facts],
        "subject_id": [fact.partition("|")[0] for fact, *_ in facts],
        "property_id": ["P36"] * 9,
        "object_id": [gold for _, gold, _ in facts],
        "split": ["train"] * 9,
        "stratum": ["P36/train/0"] * 9,
        "distractor_ids": [others for *_, others in facts],
        "sources": [{"en": "template", "de": "model:m"}] * 9,
        "templates": [{"en": "P36/safe", "de": ""}] * 9,
    }
    for code in ("en", "de"):
        columns |= {code: [f"{code} {n}?" for n in range(9)], f"options:{code}": [FOUR] * 9}
    laid = lay_out_batch(pa.RecordBatch.from_pydict(columns), 7, ("en", "de")).to_pylist()
    for row, (fact, gold, others) in zip(laid, facts):
        for code in ("en", "de"):
            order = order_of(7, fact, code)
            assert row[code]["option_ids"] == [[gold, *others][place] for place in order]
            assert row[code]["option_ids"][row[code]["answer_index"]] == gold
            assert row[code]["question"].startswith(code)
        assert (row["en"]["question_source"], row["de"]["question_source"]) == ("template", "model:m")
        assert (row["en"]["template"], row["de"]["template"]) == ("P36/safe", "")
