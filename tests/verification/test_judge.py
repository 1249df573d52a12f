"""The judge at work: a scripted server that is right, wrong, slow, refusing, malformed, or contradicts itself."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from polyfact_dataset.common.files import read_json
from polyfact_dataset.llm.protocol import RESPONSES
from polyfact_dataset.verification.selftest import SOUND, planted_facts, planted_items
from tests.support.command import call, done
from tests.support.judged import LANGUAGES, sampled
from tests.support.llm_server import BAD_TRANSPORT, serve, share
from tests.support.review_server import BAD_JUDGEMENTS, JUDGE, ScriptedJudge, by_question, record_of

TRUTH = by_question((0.3, 0.2))
TRANSPORT = tuple(name for name in BAD_TRANSPORT if name != "429-after")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sampled(tmp_path)


def ask(folder: Path, server: ScriptedJudge, *more: object) -> tuple[int, str]:
    """Runs the judge."""
    return call("verify", "judge", "--folder", folder, "--model", JUDGE, "--base-url", server.url, "--quiet", *more)


def rows(folder: Path, kind: str = "judgements") -> list[dict[str, Any]]:
    (path,) = (folder / kind).glob("*.parquet")
    return list(pq.read_table(path).to_pylist())


def expected(row: dict[str, Any]) -> str:
    return TRUTH({"question": row["question"]})


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_every_item_gets_the_judges_label(folder: Path, api: str) -> None:
    with serve(ScriptedJudge(truth=TRUTH)) as server:
        status, output = ask(folder, server, "--api", api)
    assert status == 0, output
    found = rows(folder)
    assert len(found) == 18 and {row["language"] for row in found} == set(LANGUAGES)
    assert all(row["label"] == expected(row) for row in found)
    assert len({row["label"] for row in found}) == 3
    for row in found:
        assert row["searches"] == (1 if api == "responses" else 0)
        assert row["urls"][-1] == "https://example.org/page" and row["date"].startswith("20")
        assert len(row["also_right"]) == (row["label"] == "ambiguous")
    about = read_json(next((folder / "judgements").glob("*.json")))
    assert (about["model"], about["api"], about["served"]) == (JUDGE, api, {JUDGE: 18})


def test_nothing_is_paid_twice(folder: Path) -> None:
    with serve(ScriptedJudge(truth=TRUTH)) as server:
        ask(folder, server)
        before = rows(folder)
        assert ask(folder, server)[0] == 0
        assert sum(server.answered.values()) == 18 and rows(folder) == before
    assert call("verify", "judge", "--folder", folder, "--model", JUDGE, "--cached")[0] == 0
    status, output = call("verify", "judge", "--folder", folder, "--model", "another", "--cached")
    assert status == 1 and "18 requests to another have no answer yet" in output


@pytest.mark.parametrize("fault", BAD_JUDGEMENTS)
def test_a_judge_without_a_usable_answer_leaves_items_without_a_label(folder: Path, fault: str) -> None:
    with serve(ScriptedJudge(truth=TRUTH, fault=lambda body, tries: fault)) as server:
        status, output = ask(folder, server)
    assert status == 0, output
    reasons = {"no_label": "wrong_shape", "other_label": "wrong_shape", "bad_letter": "wrong_shape"}
    reasons |= {"refusal": "refused", "length": "cut_off"}
    found = rows(folder)
    assert {(row["label"], row["reason"]) for row in found} == {(None, reasons.get(fault, fault))} and len(found) == 18
    assert f"unjudged ({reasons.get(fault, fault)}) 18" in output
    # Once more, with the reason, and no more.
    assert sum(server.answered.values()) == 36


def test_failures_of_the_server_are_tried_again(folder: Path) -> None:
    config = folder / "c.toml"
    config.write_text("[llm]\nfirst_wait_s = 0.01\nmax_wait_s = 0.05\nmax_unanswered = 0\n")
    fault = share("judge", 60, (*BAD_JUDGEMENTS, *TRANSPORT))
    with serve(ScriptedJudge(truth=TRUTH, fault=fault)) as server:
        status, output = ask(folder, server, "--config", config)
        assert status == 0, output
        assert any(name in server.faults for name in TRANSPORT) and any(
            name in server.faults for name in BAD_JUDGEMENTS
        )
    for row in rows(folder):
        assert row["label"] == expected(row) if row["label"] else row["reason"]


def test_a_slow_server_is_given_up_and_asked_by_the_next_run(folder: Path) -> None:
    config = folder / "c.toml"
    config.write_text("[llm]\ntimeout_s = 0.3\ndeadline_s = 0.5\nfirst_wait_s = 0.05\n")

    def slow_in_arabic(body: dict[str, Any], tries: int) -> str | None:
        return "slow" if "Arabic" in record_of(body)["language"] else None

    with serve(ScriptedJudge(truth=TRUTH, fault=slow_in_arabic)) as server:
        status, output = ask(folder, server, "--config", config)
        assert status == 1 and "6 got no answer in time" in output and "rerun the same command" in output
        assert len(rows(folder)) == 12
        server.fault = lambda body, tries: None
        assert ask(folder, server, "--config", config)[0] == 0
    assert len(rows(folder)) == 18


@pytest.mark.slow
def test_a_killed_run_loses_no_answer(folder: Path) -> None:
    arguments = ["verify", "judge", "--folder", str(folder), "--model", JUDGE]
    config = folder / "c.toml"
    config.write_text("[llm]\nin_flight = 2\n")
    with serve(ScriptedJudge(truth=TRUTH, delay_s=0.15)) as server:
        command = [
            sys.executable,
            "-m",
            "polyfact_dataset.cli",
            *arguments,
            "--base-url",
            server.url,
            "--config",
            config,
        ]
        running = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while sum(server.answered.values()) < 6:
            time.sleep(0.02)
            assert running.poll() is None
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        time.sleep(0.5)
        before = sum(server.answered.values())
        assert before < 18
        server.delay_s = 0
        assert ask(folder, server)[0] == 0
        # At most the two that were on their way are asked again.
        assert 18 <= sum(server.answered.values()) <= 20 and max(server.answered.values()) <= 2
    assert len(rows(folder)) == 18


def test_web_searches_count_in_the_budget(folder: Path) -> None:
    config = folder / "c.toml"
    config.write_text("[llm]\nprobe_requests = 4\nin_flight = 4\n")
    prices = ("--price-in", 0, "--price-out", 0, "--price-search", 10, "--config", config)
    with serve(ScriptedJudge(truth=TRUTH)) as server:
        status, output = ask(folder, server, *prices)
        assert status == 2 and re.search(r"for about 0\.1\d USD, and no --budget is given", output), output
        assert sum(server.answered.values()) == 4
        status, output = ask(folder, server, *prices, "--budget", 0.2)
        assert status == 0, output
        assert sum(server.answered.values()) == 18


# ---------------------------------------------------------------- self-test
def test_the_planted_defects_are_of_all_kinds_and_languages() -> None:
    items, facts = planted_items(), planted_facts(LANGUAGES)
    kinds = Counter(kind for own in items.defects.values() for kind in own.values())
    assert kinds[SOUND] == 12 and kinds.total() == 32 and len(kinds) == 8
    assert len({task.item.language for task in items.tasks.values()}) == 12
    for name, task in facts.tasks.items():
        assert [asked.language for asked in task.fact.items] == list(LANGUAGES) == list(facts.defects[name])


def test_a_good_judge_is_tested_and_goes_on(folder: Path) -> None:
    with serve(ScriptedJudge(truth=TRUTH)) as server:
        status, output = ask(folder, server, "--self-test")
    assert status == 0 and "recall 100.0%, false alarms 0.0%" in output
    test = read_json(next((folder / "judgements").glob("*.json")))["self_test"]
    assert test["recall"] == 1 and test["by_defect"]["two_right"] == {"planted": 4, "objected": 4}
    assert len(rows(folder)) == 18


@pytest.mark.parametrize("options", [(), ("--parallel",)])
def test_a_blind_judge_judges_nothing_else(folder: Path, options: tuple[str, ...]) -> None:
    with serve(ScriptedJudge(blind=True)) as server:
        status, output = ask(folder, server, "--self-test", *options)
        asked = sum(server.answered.values())
    assert status == 1 and "finds 0% of the planted defects" in output and "Nothing else was judged" in output
    assert asked == (4 if options else 32) and not (folder / "judgements").exists()


def test_a_judge_that_objects_to_everything_judges_nothing_else(folder: Path) -> None:
    def always(body: dict[str, Any], tries: int) -> str:
        return "refusal"

    with serve(ScriptedJudge(fault=always)) as server:
        status, output = ask(folder, server, "--self-test")
    assert status == 1 and "finds 0% of the planted defects and objects to 100% of the correct items" in output


def test_the_self_test_needs_no_sample(tmp_path: Path) -> None:
    with serve(ScriptedJudge()) as server:
        status, output = ask(tmp_path / "none", server, "--self-test")
        assert status == 0 and "recall 100.0%" in output
        status, output = ask(tmp_path / "other", server)
    assert status == 2 and "contains no sample" in output


# ---------------------------------------------------------------- all languages at once
def test_a_fact_is_judged_in_all_languages_at_once(folder: Path) -> None:
    def drifted(question: str) -> str | None:
        return "subject" if question.startswith("bn: capital") else None

    with serve(ScriptedJudge(problems=drifted)) as server:
        status, output = ask(folder, server, "--parallel", "--self-test")
        assert status == 0, output
        assert "recall 100.0%, false alarms 0.0%" in output
        assert sum(server.answered.values()) == 4 + 6
    found = rows(folder, "drift")
    assert len(found) == 18
    for row in found:
        planted = row["question"].startswith("bn: capital")
        assert row["problems"] == (["subject"] if planted else []) and bool(row["rationale"]) == planted


# ---------------------------------------------------------------- batch files
def test_batch_files_give_the_same_judgements(folder: Path, tmp_path: Path) -> None:
    judge = ("--folder", folder, "--model", JUDGE)
    paths = done("verify", "export-batches", *judge, "--max-requests", 10, "--self-test").split()
    lines = [
        json.loads(line) for path in paths if path.endswith(".jsonl") for line in Path(path).read_text().splitlines()
    ]
    assert len(lines) == 18 + 32 and {line["url"] for line in lines} == {RESPONSES}
    assert "50 more are pending in earlier files" in done("verify", "export-batches", *judge, "--self-test")
    script = ScriptedJudge(truth=TRUTH)
    out = tmp_path / "out.jsonl"
    with out.open("w") as handle:
        for line in reversed(lines):
            body = script.response(line["body"], None, line["url"])
            answer = {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}}
            handle.write(json.dumps(answer) + "\n")
    assert done("verify", "import-batches", out, "--folder", folder).startswith("answered 50")
    output = done("verify", "judge", *judge, "--cached", "--self-test")
    assert "recall 100.0%" in output and all(row["label"] == expected(row) for row in rows(folder))
    assert "All requests are answered" in done("verify", "export-batches", *judge, "--self-test")


def test_only_the_first_items_are_judged_when_so_asked(folder: Path) -> None:
    with serve(ScriptedJudge(truth=TRUTH)) as server:
        assert ask(folder, server, "--items", 2)[0] == 0
        assert len(rows(folder)) == 6
        assert ask(folder, server)[0] == 0
    assert len(rows(folder)) == 18


def test_no_judge_is_named(folder: Path) -> None:
    status, output = call("verify", "judge", "--folder", folder)
    assert status == 2 and "give --model" in output
    status, output = call("verify", "judge", "--folder", folder, "--model", "gpt-4o")
    assert status == 2 and "https://api.openai.com may cost money: give --price-in" in output
