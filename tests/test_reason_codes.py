"""Every reason code of a rejected fact is in the docs, and no stage may use another."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from polyfact_dataset.pipeline.context import Tally
from polyfact_dataset.pipeline.reasons import REASONS, is_reason

ROOT = Path(__file__).parents[1]


def test_the_docs_list_every_reason_code_and_no_other() -> None:
    page = (ROOT / "docs" / "maintaining.md").read_text(encoding="utf-8")
    rows = page.partition("| reason | meaning |")[2].partition("\n\n")[0].splitlines()[2:]
    listed = {code for row in rows for code in re.findall("`([a-z_]+)`", row.split("|")[1])}
    assert listed == set(REASONS) and "`model_...`" in page


def test_a_stage_may_use_no_other_code() -> None:
    tally = Tally(Counter(P17=2), Counter(P17=1), {"P17": Counter({"alias_in_question:en": 1})})
    tally.check("validate")
    tally.rejected["P17"] = Counter({"looks_odd:en": 1})
    with pytest.raises(AssertionError, match=r"validate: pipeline/reasons.py lacks looks_odd:en"):
        tally.check("validate")


@pytest.mark.parametrize(("reason", "known"), [("model_empty:de", True), ("ended", True), ("end", False)])
def test_a_language_may_follow(reason: str, known: bool) -> None:
    assert is_reason(reason) is known
