"""The leaderboard: values from the scores with intervals, the page, and what card and explorer show of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baselines.evaluate.leaderboard import rows_of
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import digest, read_json
from polyfact_dataset.release import documents, leaderboard
from tests.support.choice_results import choices, write
from tests.support.command import call, done
from tests.support.released import copy_of

CODES = ("en", "sw")


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """English is right in 30 of 40 facts, Swahili in 10 of those."""
    table = choices(40, CODES, lambda fact, code: fact < (30 if code == "en" else 10))
    return write(tmp_path / "base.json", table, "Base")


def by_name(rows: list[dict]) -> dict[tuple[str, str], dict]:
    return {(row["measure"], row["language"]): row for row in rows}


def test_values_and_intervals_are_those_of_the_scores(result: Path) -> None:
    rows = by_name(rows_of(result))
    values = {key: round(row["value"], 6) for key, row in rows.items()}
    assert values["accuracy", "en"] == 0.75 and values["accuracy", "sw"] == 0.25 and values["accuracy", "all"] == 0.5
    assert values["total_consistency", "all"] == 0.25
    assert values["transfer_english", "all"] == round(10 / 30, 6)
    assert values["gap_english", "all"] == values["gap_range", "all"] == 0.5
    for row in rows.values():
        assert row["low"] <= row["value"] <= row["high"] and row["facts"] == 40
        assert row["digest"] == digest(result) and row["content"] == "c" * 64
    assert rows["accuracy", "all"]["command"] == (
        "python -m baselines.evaluate.mcq --model 'org/Base x' --dataset jvonrad/PolyFact --config clean --split test "
        "--prompt paper --seed 42 --revision v1.0.0"
    )


def test_kappa_p_is_the_formula_on_the_probabilities(result: Path, tmp_path: Path) -> None:
    sure = np.exp(-1) / (np.exp(-1) + 3 * np.exp(-9))
    rest = (1 - sure) / 3
    gold = {"en": (30 * sure + 10 * rest) / 40, "sw": (10 * sure + 30 * rest) / 40}
    agree, differ = sure**2 + 3 * rest**2, 2 * sure * rest + 2 * rest**2
    observed = (20 * agree + 20 * differ) / 40
    expected = gold["en"] * gold["sw"] + (1 - gold["en"]) * (1 - gold["sw"]) / 3
    value = by_name(rows_of(result))["kappa_p", "all"]["value"]
    assert value == pytest.approx((observed - expected) / (1 - expected), abs=1e-9)


def test_the_command_writes_a_page_and_a_table(result: Path, tmp_path: Path) -> None:
    better = write(tmp_path / "grpo.json", choices(40, CODES, lambda fact, code: fact < 35), "<b>GRPO</b>")
    done("leaderboard", f"Base model={result}", better, "--out", tmp_path / "board")
    rows = leaderboard.read(tmp_path / "board")
    assert {row["model"] for row in rows} == {"Base model", "<b>GRPO</b>"}
    page = (tmp_path / "board" / "leaderboard.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;GRPO&lt;/b&gt;" in page and "<b>GRPO" not in page
    assert page.index("GRPO") < page.index("Base model"), "the best comes first"
    assert "87.5 %" in page and "total consistency" in page and "kappa p" in page
    status, output = call("leaderboard", f"A={result}", f"A={better}", "--out", tmp_path / "two")
    assert status == 1 and "two results have the label 'A'" in output
    status, output = call("leaderboard", tmp_path / "none.json")
    assert status == 2 and "no such result file" in output


def test_card_and_explorer_show_the_results_of_a_release(small: Path, result: Path, tmp_path: Path) -> None:
    copy = copy_of(small, tmp_path / "copy")
    status, output = call("leaderboard", result, "--release", copy)
    assert status == 2 and "is of another release" in output
    table = choices(40, CODES, lambda fact, code: fact < 20)
    own = write(tmp_path / "own.json", table, "Own | model", content=read_json(copy / "manifest.json")["content"])
    done("card", copy, "--results", own)
    documents.check(copy)
    card = (copy / "README.md").read_text(encoding="utf-8")
    assert r"| Own \| model | 50.0 % |" in card and card.index("Own") < card.index("*floor:*")
    assert '"label":"Own | model"' in (copy / "explorer.html").read_text(encoding="utf-8")
    assert "Own | model" in (copy / "leaderboard.html").read_text(encoding="utf-8")


def test_a_missing_result_is_named(tmp_path: Path) -> None:
    from polyfact_dataset.cli.leaderboard import rows_from

    with pytest.raises(ConfigError, match="give FILE or NAME=FILE"):
        rows_from([f"name={tmp_path / 'none.json'}"])
