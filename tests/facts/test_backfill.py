"""The stage `backfill` in a build: its requests, the use of the answers, kills, failures, and no network."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter, deque
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.config.build import load_config
from polyfact_dataset.pipeline.stages import BACKFILL, CANDIDATES, QUESTIONS, Stage, stage_folder, table_path
from tests.support.backfilled import build, contents, lacks, settings
from tests.support.logs import Lines
from tests.support.planted import item, labels, reasons, state, world
from tests.support.wikidata_server import Wikidata

ASKED_TEXTS = {f"Q{n}" for n in range(1, 61) if n != 53} | {f"Q{n}" for n in range(1001, 1041)}
ASKED_TYPES = {f"Q{n}" for n in range(1041, 1051)} | {"Q9051", "Q9052"}


def table(out: Path, name: str) -> list[dict]:
    return pq.read_table(table_path(out, name)).to_pylist()


def rejects(out: Path, stage: Stage) -> list[dict]:
    return pq.read_table(stage_folder(out, stage) / "rejects.parquet").to_pylist()


def test_without_backfill_nothing_is_asked_and_candidates_pass_unchanged(dump: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.json"
    whole.write_text("[\n" + ",\n".join(json.dumps(entity) for entity in world()) + "\n]\n")
    out = tmp_path / "build"
    manifest = build(whole, out, load_config(facts=1000, extract__workers=1), "backfill")
    assert table(out, "resolved_candidates") == table(out, "candidates")
    assert table(out, "resolved_true_objects") == table(out, "true_objects")
    assert len(table(out, "resolved_candidates")) == 60
    assert manifest["stages"]["backfill"]["tally"]["P36"] == {"input": 60, "kept": 60, "rejected": {}}
    # The same dump with holes yields nothing: every country lacks a label.
    build(dump, tmp_path / "holes", load_config(facts=1000, extract__workers=1), "backfill")
    assert table(tmp_path / "holes", "resolved_candidates") == []


def test_a_build_gets_what_the_dump_lacks_and_asks_for_nothing_else(
    dump: Path, wikidata: Wikidata, tmp_path: Path
) -> None:
    out = tmp_path / "build"
    manifest = build(dump, out, settings(wikidata))
    # 99 ids with labels lacking and 12 not in the dump, 50 at most in a request.
    assert [len(ids) for ids in wikidata.asked] == [50, 49, 12]
    assert set(sum(wikidata.asked[:2], [])) == ASKED_TEXTS and set(wikidata.asked[2]) == ASKED_TYPES
    counts = manifest["stages"]["backfill"]["counts"]
    assert counts == {"found": 109, "redirect": 1, "deleted": 1, "pending": 0, "candidates": 58}
    assert reasons(rejects(out, CANDIDATES))["Q53|P36|Q1053"] == ["subject_unlabelled"]
    assert reasons(rejects(out, BACKFILL)) == {"Q52|P36|Q9052": ["object_deleted"]}
    answers = {row["asked"]: (row["status"], row["id"]) for row in table(out, "answers")}
    assert (answers["Q9051"], answers["Q9052"], answers["Q1"]) == (
        ("redirect", "Q1051"),
        ("deleted", None),
        ("found", "Q1"),
    )
    labels = {row["entity_id"]: row for row in table(out, "labels")}
    assert labels["Q1"]["sw"] == {"text": "Land 1", "provenance": "api", "attested": True}
    assert labels["Q1"]["en"]["provenance"] == "label"
    assert labels["Q1045"]["en"]["provenance"] == "api" and labels["Q1045"]["types"] == ["Q515"]
    rows = [
        row for path in sorted((out / "release/data/parallel").glob("*")) for row in pq.read_table(path).to_pylist()
    ]
    facts = {row["fact_id"]: row for row in rows}
    assert "Q51|P36|Q1051" in facts and "Q51|P36|Q9051" not in facts
    assert facts["Q51|P36|Q1051"]["quality_tier"] == "gold" and facts["Q51|P36|Q1051"]["n_langs_attested"] == 12
    assert facts["Q1|P36|Q1001"]["translations"]["bn"]["subject_provenance"] == "api"


def test_true_objects_follow_redirects(dump: Path, wikidata: Wikidata, tmp_path: Path) -> None:
    build(dump, tmp_path / "build", settings(wikidata), "backfill")
    true = {row["subject_id"]: row["objects"] for row in table(tmp_path / "build", "resolved_true_objects")}
    assert true["Q51"] == ["Q1051"] and true["Q1"] == ["Q1001"]


def test_a_redirect_onto_another_candidate_is_the_same_fact(wikidata: Wikidata, tmp_path: Path) -> None:
    entities = [entity for entity in world() if entity["id"] != "Q1"]
    entities.append(state(item("Q1", labels("Land 1"), ("Q6256",)), "P47", "Q2", "Q9002", "Q9001"))
    wikidata.redirects = {"Q9002": "Q2", "Q9001": "Q1"}
    path = tmp_path / "dump.json"
    path.write_text("[\n" + ",\n".join(json.dumps(entity) for entity in entities) + "\n]\n")
    build(path, tmp_path / "build", settings(wikidata), "backfill")
    kept = [row["fact_id"] for row in table(tmp_path / "build", "resolved_candidates")]
    assert kept.count("Q1|P47|Q2") == 1
    assert reasons(rejects(tmp_path / "build", BACKFILL)) == {
        "Q1|P47|Q2": ["repeated"],
        "Q1|P47|Q1": ["self_reference"],
    }


def test_faults_cost_retries_but_no_label(dump: Path, wikidata: Wikidata, tmp_path: Path) -> None:
    build(dump, tmp_path / "calm", settings(wikidata), "backfill")
    wikidata.asked.clear()
    wikidata.script = deque(["429", "truncated", "ok", "503 after 0", "cut"])
    build(dump, tmp_path / "rough", settings(wikidata, max_tries=5), "backfill")
    assert len(wikidata.asked) == 3 + 4
    assert contents(tmp_path / "rough") == contents(tmp_path / "calm")


@pytest.mark.slow
def test_killed_half_way_and_resumed_it_repeats_no_answered_request(
    dump: Path, wikidata: Wikidata, tmp_path: Path
) -> None:
    build(dump, tmp_path / "calm", settings(wikidata, batch_ids=10))
    wikidata.asked.clear()
    wikidata.answered.clear()
    (tmp_path / "polyfact.toml").write_text(
        "facts = 1000\n[backfill]\nenabled = true\ncontact = 'me@example.org'\nbatch_ids = 10\n"
        f"api = '{wikidata.url}'\nrequests_per_s = 10000\n"
    )
    command = ["export", "--config", tmp_path / "polyfact.toml", "--dump", dump, "--out", tmp_path / "build"]
    arguments = [sys.executable, "-m", "polyfact_dataset.cli", *map(str, command), "--workers", "1", "--quiet"]
    wikidata.script = deque(["ok"] * 6 + ["hold"])
    process = subprocess.Popen(arguments)
    assert wikidata.holding.wait(60), "the seventh request never came"
    process.send_signal(signal.SIGKILL)
    process.wait()
    wikidata.release.set()
    assert len(wikidata.asked) == 7 and len(wikidata.answered) == 60
    subprocess.run(arguments, check=True)
    # 99 ids are 10 batches and 12 are 2; only the one whose answer never came was asked for twice.
    assert Counter(wikidata.answered.values()) == {1: 111}
    assert len(wikidata.asked) == 12 + 1
    assert contents(tmp_path / "build") == contents(tmp_path / "calm")
    subprocess.run(arguments, check=True)
    assert len(wikidata.asked) == 12 + 1


def test_a_failed_batch_stops_the_build_with_its_ids_and_the_next_run_asks_for_it_alone(
    dump: Path, wikidata: Wikidata, tmp_path: Path
) -> None:
    wikidata.script = deque(["503", "503"])
    with pytest.raises(RetryableError, match=r"no answer for 50 ids \(Q1, .*HTTP 503.*--offline"):
        build(dump, tmp_path / "build", settings(wikidata), "backfill")
    # The other batches were fetched nevertheless.
    assert [len(ids) for ids in wikidata.asked] == [50, 50, 49, 12]
    wikidata.asked.clear()
    manifest = build(dump, tmp_path / "build", settings(wikidata), "backfill")
    assert [len(ids) for ids in wikidata.asked] == [50]
    assert manifest["stages"]["backfill"]["pending"] == 0


def test_offline_goes_on_without_what_is_missing_until_a_run_may_ask(
    dump: Path, wikidata: Wikidata, tmp_path: Path
) -> None:
    out = tmp_path / "build"
    wikidata.script = deque(["ok", "503", "503"])
    with pytest.raises(RetryableError):
        build(dump, out, settings(wikidata), "backfill")
    wikidata.asked.clear()
    offline = settings(wikidata, offline=True, contact="")
    manifest = build(dump, out, offline, "questions")
    assert wikidata.asked == []
    assert manifest["stages"]["backfill"]["pending"] == 49
    assert manifest["stages"]["backfill"]["tally"]["P36"]["kept"] == 58
    rejected = Counter(row["reason"] for row in rejects(out, QUESTIONS))
    asked = len(table(out, "questions"))
    assert asked and rejected and asked + sum(rejected.values()) == 58
    assert all(reason.partition(":")[0] in ("subject_unlabelled", "object_unlabelled") for reason in rejected)
    # Still offline: pending ids are looked up again, and no stage reruns, since there are no new answers.
    log = Lines()
    assert build(dump, out, offline, "questions", log)["stages"] == manifest["stages"]
    assert "backfill: already complete" not in log.lines and "localise: already complete" in log.lines
    assert any("49 ids are not in the cache; run without --offline" in line for line in log.lines)
    manifest = build(dump, out, settings(wikidata), "questions")
    assert [len(ids) for ids in wikidata.asked] == [49]
    assert manifest["stages"]["backfill"]["pending"] == 0 and len(table(out, "questions")) == 58
    # A cache that holds everything makes an offline build the same as one that asked.
    build(dump, out, offline, "questions")
    assert len(wikidata.asked) == 1


def test_what_happens_is_said_with_counts(dump: Path, wikidata: Wikidata, tmp_path: Path) -> None:
    log = Lines()
    wikidata.script = deque(["ok", "429 after 0"])
    build(dump, tmp_path / "build", settings(wikidata), "backfill", log)
    logged = "\n".join(log.lines)
    assert "HTTP 429; try 2 of 2 in 0.0 s" in logged
    assert "99 ids with labels lacking: 0 in the cache, 99 fetched with 3 requests, 1 retries" in logged
    assert "12 ids not in the dump: 0 in the cache, 12 fetched with 1 requests, 0 retries" in logged


def test_a_folder_that_holds_only_the_cache_can_be_built_in(dump: Path, wikidata: Wikidata, tmp_path: Path) -> None:
    out = tmp_path / "build"
    build(dump, out, settings(wikidata), "backfill")
    (out / "manifest.json").unlink()
    wikidata.asked.clear()
    build(dump, out, settings(wikidata), "backfill")
    assert wikidata.asked == []


def test_a_cache_is_shared_by_builds(dump: Path, wikidata: Wikidata, tmp_path: Path) -> None:
    shared = tmp_path / "caches" / "wikidata.sqlite"
    build(dump, tmp_path / "one", settings(wikidata, cache=shared), "backfill")
    wikidata.asked.clear()
    build(dump, tmp_path / "two", settings(wikidata, cache=shared, offline=True), "backfill")
    assert wikidata.asked == [] and contents(tmp_path / "one") == contents(tmp_path / "two")


def test_nothing_about_the_connection_is_in_the_manifest(dump: Path, wikidata: Wikidata, tmp_path: Path) -> None:
    build(dump, tmp_path / "build", settings(wikidata), "backfill")
    config = read_json(tmp_path / "build" / "manifest.json")["build"]["config"]
    assert config["backfill"] == {"enabled": True, "min_languages": 8}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"enabled": True}, "contact is empty"),
        ({"offline": True}, "enable it"),
        ({"enabled": True, "contact": "someone"}, "neither an e-mail address nor a URL"),
        ({"enabled": True, "contact": "a@b.org\r\nHost: x"}, "neither an e-mail address nor a URL"),
        ({"enabled": True, "contact": "a@b.org", "batch_ids": 51}, "batch_ids"),
    ],
)
def test_settings_that_cannot_be_are_refused(flags: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(**{f"backfill__{key}": value for key, value in flags.items()})


def test_fully_labelled_facts_come_first_so_that_fewer_ids_are_asked_for(wikidata: Wikidata, tmp_path: Path) -> None:
    # 30 complete facts and 30 with a hole, and a pool of 40: ten subjects are asked for, not thirty.
    entities = [lacks(e, "sw") if int(e["id"][1:]) <= 30 else e for e in world()]
    path = tmp_path / "dump.json"
    path.write_text("[\n" + ",\n".join(json.dumps(entity) for entity in entities) + "\n]\n")
    config = settings(wikidata).model_copy(update={"facts": 40, "relations": ("P36",)})
    small = config.candidates.model_copy(update={"pool_factor": 1.0, "min_pool": 1})
    config = config.model_copy(update={"candidates": small})
    build(path, tmp_path / "build", config, "backfill")
    rows = table(tmp_path / "build", "resolved_candidates")
    assert len(rows) == 40
    whole = [int(row["subject_id"][1:]) > 30 for row in rows]
    assert whole == [True] * 30 + [False] * 10
    assert [len(ids) for ids in wikidata.asked] == [10]
