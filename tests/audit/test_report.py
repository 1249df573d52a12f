"""Reports state what was measured, and escape hostile text."""

from __future__ import annotations

import pytest

from polyfact_dataset.audit import load, report, run
from polyfact_dataset.audit.checks import leakage
from polyfact_dataset.audit.result import Section, Verdict, shown
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.config.build import load_config
from polyfact_dataset.release.audit_report import AuditReport
from tests.support.audited import as_release, audited, clean_rows, gold, rename

HOSTILE = 'x<script>alert(1)</script>"onload=|[a](http://b)`c`'


@pytest.fixture(scope="module")
def made() -> tuple[AuditReport, list[Section]]:
    rows = clean_rows()
    rename(rows, gold(rows, 0), "en", HOSTILE)
    rename(rows, rows[0]["subject_id"], "en", f"{HOSTILE} 5000")
    release = as_release(rows)
    sections = [module.audit(release, AuditConfig()) for module in run.AUDITS]
    return report.report(release, sections, AuditConfig()), sections


def test_the_sections_do_not_depend_on_the_number_of_processes(
    made: tuple[AuditReport, list[Section]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = clean_rows()
    rename(rows, gold(rows, 0), "en", HOSTILE)
    rename(rows, rows[0]["subject_id"], "en", f"{HOSTILE} 5000")
    monkeypatch.setattr(load, "MANY_FACTS", 1)
    assert run.sections(as_release(rows), load_config(extract__workers=2), Log(quiet=True)) == made[1]


def test_html_escapes_texts(made: tuple[AuditReport, list[Section]]) -> None:
    page = report.as_html(*made)
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page


def test_markdown_escapes_texts(made: tuple[AuditReport, list[Section]]) -> None:
    text = report.as_markdown(*made)
    line = next(line for line in text.splitlines() if "alert" in line)
    assert "\\<script\\>" in line and "\\[a\\]" in line and "\\`c\\`" in line
    assert line.replace("\\|", "").count("|") == 4


def test_the_report_lists_what_is_broken(made: tuple[AuditReport, list[Section]]) -> None:
    summary = made[0]
    assert not summary.passed and any(sentence.startswith("leak_gold (leakage): 1, ") for sentence in summary.broken)
    assert [s.split(" ")[0] for s in summary.not_checked] == ["attacker_popularity", "leak_alias", "multiplicity_clean"]
    assert summary.splits == {"train": 96, "validation": 32, "test": 32}


def test_a_gate_that_no_audit_measures_is_a_bug(made: tuple[AuditReport, list[Section]]) -> None:
    without = [section for module, section in zip(run.AUDITS, made[1], strict=True) if module is not leakage]
    with pytest.raises(AssertionError, match="leak_gold"):
        report.report(as_release(clean_rows()), without, AuditConfig())


@pytest.mark.parametrize(
    ("value", "at", "limit", "status"),
    [
        (0, "most", 0, "held"),
        (1, "most", 0, "broken"),
        (0.5, "least", 0.01, "held"),
        (0.001, "least", 0.01, "broken"),
        (None, "most", 0, "not checked"),
    ],
)
def test_status(value: float | None, at: str, limit: float, status: str) -> None:
    assert Verdict("g", "a", value, at, limit, "because it must", "").status == status


def test_examples_are_spread_over_languages() -> None:
    section = audited(leakage, clean_rows())
    section.find("leak_gold", [f"f{n}" for n in range(50)], "en", ["x"] * 50)
    section.find("leak_gold", ["g1", "g2"], "sw", ["y"] * 2)
    examples = section.examples("leak_gold")
    assert len(examples) == 20 and [e["language"] for e in examples].count("sw") == 2
    assert section.count("leak_gold") == 52


def test_shown_cuts_and_uncovers() -> None:
    assert shown("a\u202eb") == "a\\u202eb" and shown("x" * 200) == "x" * 160 + "…"


def test_written_cells() -> None:
    percents = frozenset({"share"})
    assert report.written("share", 0.25, percents) == "25.00 %" and report.written("share", 1.0, percents) == "100 %"
    assert report.written("p", 0.01234, percents) == "0.0123" and report.written("n", 12345, percents) == "12,345"
    assert report.written("n", None, percents) == "–"
