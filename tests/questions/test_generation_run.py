"""A build with a model's questions: from a live endpoint and from batch files, with failures, and killed on the way."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.files import read_json
from polyfact_dataset.config.build import Config
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.protocol import Request
from polyfact_dataset.pipeline.stages import QUESTIONS, stage_folder
from tests.support.builds import contents
from tests.support.command import call, done, polyfact
from tests.support.llm_server import BAD_CONTENTS, BAD_TRANSPORT, MODEL, Scripted, serve, share
from tests.support.planted import item, labels, state
from tests.support.released import parallel_rows_of

RELATIONS = ("P19", "P36", "P50")
FACTS = 36
TRANSPORT = tuple(name for name in BAD_TRANSPORT if name != "429-after")
TEN_PERCENT_BAD = share("ten", 10, BAD_CONTENTS + TRANSPORT)
MODEL_OPTIONS = ("--questions", "model", "--model", MODEL)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "polyfact.toml"
    path.write_text(f"facts = {FACTS}\nrelations = {list(RELATIONS)}\n[llm]\nin_flight = 16\nfirst_wait_s = 0.02\n")
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    with serve(Scripted(fault=TEN_PERCENT_BAD)) as script:
        yield script


@pytest.fixture(scope="module")
def begun(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the sample up to its questions, to be copied."""
    out = tmp_path_factory.mktemp("begun") / "build"
    done("namesakes", "--config", config, "--out", out, *MODEL_OPTIONS)
    return out


@pytest.fixture(scope="module")
def live(begun: Path, config: Path, server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build from a server that answers one request in ten badly."""
    out = shutil.copytree(begun, tmp_path_factory.mktemp("live") / "build")
    output = done("build", "--config", config, "--out", out, *MODEL_OPTIONS, "--base-url", server.url)
    assert "probe of 50" in output and "tried again: " in output and "load_dataset" in output
    return out


def counts(out: Path) -> dict:
    return read_json(out / "manifest.json")["stages"]["questions"]["counts"]


def test_failures_cost_neither_facts_nor_balance_nor_languages(live: Path) -> None:
    rows = parallel_rows_of(live / "release")
    assert Counter(row["property_id"] for row in rows) == dict.fromkeys(RELATIONS, FACTS // len(RELATIONS))
    for row in rows:
        assert set(row["translations"]) == set(PAPER_LANGUAGES)
        assert {row["translations"][code]["question_source"] for code in PAPER_LANGUAGES} == {f"model:{MODEL}"}
    flat = pq.read_table(live / "release" / "data" / "sw").to_pylist()
    assert {row["question_source"] for row in flat} == {f"model:{MODEL}"}


def test_every_failure_is_accounted_for(live: Path, server: Scripted) -> None:
    found = counts(live)
    assert found["used"] == {"question": len(server.answered)} and max(server.answered.values()) == 1
    assert found["failed"]["question:not_json"] == server.faults["not_json"] + server.faults["markup"]
    assert found["failed"].get("question:cut_off", 0) == server.faults["length"]
    assert found["failed"].get("question:refused", 0) == server.faults["refusal"]
    assert found["failed"].get("question:wrong_answer", 0) == server.faults["wrong_answer"]
    bad = sum(server.faults[name] for name in BAD_CONTENTS)
    assert 0 <= bad - sum(found["failed"].values()) <= server.faults["language"] // 4, "few words may pass for another"
    assert found["resolved"] == {"exact": found["used"]["question"] - sum(found["failed"].values())}
    assert found["served"] == {MODEL: len(server.answered)} and found["model"] == MODEL
    tally = read_json(live / "manifest.json")["stages"]["questions"]["tally"]
    rejected = Counter[str]()
    for relation in RELATIONS:
        rejected.update(tally[relation]["rejected"])
    dropped = sum(number for reason, number in rejected.items() if reason.startswith("model_"))
    assert dropped >= 1 and found["asked"] == found["questions"] + dropped
    assert rejected["not_asked"] > 0
    listed = pq.read_table(stage_folder(live, QUESTIONS) / "rejects.parquet").column("reason").to_pylist()
    assert Counter(listed) == rejected


@pytest.mark.slow
def test_killed_three_times_it_sends_nothing_twice_and_gives_the_same_release(
    begun: Path, live: Path, config: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(begun, tmp_path / "build")
    command = [sys.executable, "-m", "polyfact_dataset.cli", "build", "--config", str(config), "--out", str(out)]
    in_flight = Config().llm.in_flight
    with serve(Scripted(fault=TEN_PERCENT_BAD)) as server:
        command += [*MODEL_OPTIONS, "--base-url", server.url]
        for share_done in (0.1, 0.4, 0.7):
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
            enough = share_done * counts(live)["used"]["question"]
            while len(server.answered) < enough and process.poll() is None:
                time.sleep(0.01)
            assert process.poll() is None, "killed while it asks"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            time.sleep(0.1)
            known, before = stored(out), len(server.bodies)
        polyfact(*command[3:])
        asked = [Request("question", body).key for body in server.bodies]
    assert known and not known & set(asked[before:])
    assert sum(server.answered.values()) - len(server.answered) <= 3 * in_flight
    assert contents(out / "release") == contents(live / "release")
    assert contents(out / "stages") == contents(live / "stages")


def stored(out: Path) -> set[str]:
    """The keys of all answers on disk."""
    with Cache(out / "model-cache.sqlite") as cache:
        return {key.hex() for (key,) in cache._connection.execute("SELECT key FROM answers")}


def answer_batch(path: Path, script: Scripted, rng: random.Random) -> list[Path]:
    """What a batch service makes of a file: an output file and an error file, in no order."""
    outputs, errors = [], []
    for line in path.read_text().splitlines():
        asked = json.loads(line)
        digest, fault = script.begin(asked["body"])
        script.end(digest, fault not in BAD_TRANSPORT)
        result = {"id": "b", "custom_id": asked["custom_id"], "response": None, "error": {"message": "expired"}}
        if fault in BAD_TRANSPORT:
            errors.append(result)
        else:
            body = script.response(asked["body"], fault, "")
            outputs.append({**result, "response": {"status_code": 200, "body": body}, "error": None})
    paths = []
    for name, lines in (("output", outputs), ("error", errors)):
        rng.shuffle(lines)
        paths.append(path.with_suffix(f".{name}"))
        paths[-1].write_text("".join(json.dumps(line) + "\n" for line in lines))
    return paths


@pytest.mark.slow
def test_batch_files_give_the_same_release(begun: Path, live: Path, config: Path, tmp_path: Path) -> None:
    out, rng, script = shutil.copytree(begun, tmp_path / "build"), random.Random(3), Scripted(fault=TEN_PERCENT_BAD)
    again = False
    build = ("build", "--config", config, "--out", out, *MODEL_OPTIONS)
    status, message = call(*build)
    assert status == 1 and "have no answer yet" in message and "export-batches" in message
    for step in range(20):
        output = done("questions", "write-batches", "--out", out, "--max-requests", 150)
        files = [Path(line) for line in output.splitlines() if line.endswith(".jsonl")]
        if not files:
            break
        assert all(path.parent == out / "batches" / f"{step + 1:03}" for path in files)
        outputs = [path for file in files for path in answer_batch(file, script, rng)]
        if step == 0:
            # One file is late: the others are taken first, and nothing in it is written again.
            done("questions", "read-batches", "--out", out, *outputs[2:])
            more = done("questions", "write-batches", "--out", out, "--to", tmp_path / "more")
            waiting = sum(1 for line in files[0].read_text().splitlines())
            assert f"in 1 file; {waiting} more are pending in earlier files" in more
            outputs = [*outputs[:2], *answer_batch(tmp_path / "more" / "requests-00001.jsonl", script, rng)]
        read = done("questions", "read-batches", "--out", out, *outputs)
        again = again or "to ask again" in read
    assert "All requests are answered" in output and again
    assert max(script.answered.values()) == 1
    output = done("questions", "status", "--out", out)
    assert "left       nothing" in output and "question:not_json" in output and f"served as  {MODEL}" in output
    assert "reached; continue with: polyfact build" in output
    done(*build)
    assert contents(out / "release") == contents(live / "release")
    assert "continue with" not in done("questions", "status", "--out", out)


def test_status_tells_how_far_a_build_is(begun: Path, config: Path, tmp_path: Path) -> None:
    out = shutil.copytree(begun, tmp_path / "build")
    fault = share("status", 100, ("not_json",))
    with serve(Scripted(fault=lambda body, tries: fault(body, tries) if body["seed"] == 42 else "500")) as server:
        toml = tmp_path / "impatient.toml"
        text = config.read_text() + "deadline_s = 0.1\nmax_unanswered = 3\n"
        toml.write_text(text)
        status, message = call("build", "--config", toml, "--out", out, *MODEL_OPTIONS, "--base-url", server.url)
    assert status == 1 and "requests got no answer" in message
    output = done("questions", "status", "--out", out)
    assert "0 finished" in output and "answers/s" in output and "about 20" in output
    assert f"{server.answered.total():,} answers" in output


def world() -> list[dict]:
    """Countries and capitals; a third of the countries has no Swahili name, a third of the capitals no Bengali one."""
    entities = []
    for number in range(1, 61):
        country, city = f"Q{number}", f"Q{1000 + number}"
        names = labels(f"Land {number}"), labels(f"Town {number}")
        if number % 3 == 0:
            del names[0]["sw"]
        if number % 3 == 1:
            del names[1]["bn"]
        entities += [state(item(country, names[0], ("Q6256",)), "P36", city), item(city, names[1])]
    return entities


@pytest.mark.parametrize("mode", ["direct", pytest.param("english_first", marks=pytest.mark.slow)])
def test_labels_that_wikidata_lacks_are_translated(mode: str, tmp_path: Path) -> None:
    dump = tmp_path / "dump.json"
    dump.write_text("[\n" + ",\n".join(map(json.dumps, world())) + "\n]\n")
    toml = tmp_path / "polyfact.toml"
    toml.write_text(
        f'facts = 40\nrelations = ["P36"]\n[candidates]\nmin_languages = 11\n[questions]\nmode = "{mode}"\n'
    )
    out = tmp_path / "build"
    with serve(Scripted()) as server:
        options = ("--dump", dump, "--config", toml, "--out", out, *MODEL_OPTIONS, "--base-url", server.url)
        done("export", *options)
    assert counts(out)["used"]["label"] >= 20 and counts(out)["failed"] == {}
    rows = parallel_rows_of(out / "release")
    assert len(rows) == 40
    for row in rows:
        number = int(row["subject_id"][1:])
        swahili, bengali = row["translations"]["sw"], row["translations"]["bn"]
        given = f"model:{MODEL}" if number % 3 == 0 else "label"
        assert swahili["subject_provenance"] == given and f"Land {number}" in swahili["question"]
        answer = bengali["option_provenance"][bengali["answer_index"]]
        assert answer == (f"model:{MODEL}" if number % 3 == 1 else "label")
        assert row["n_langs_attested"] == (11 if number % 3 == 1 else 12)
        assert row["n_langs_subject_attested"] == (11 if number % 3 == 0 else 12)
        items = row["translations"].values()
        shown = {name for entry in items for name in (*entry["option_provenance"], entry["subject_provenance"])}
        assert row["quality_tier"] == ("gold" if shown == {"label"} else "silver")
    assert {row["quality_tier"] for row in rows} >= {"silver"}


def test_a_models_release_is_rebuilt_from_its_answers(live: Path, server: Scripted, tmp_path: Path) -> None:
    arguments = ("rebuild", live / "release", "--out", tmp_path / "again", "--quiet")
    status, message = call(*arguments)
    assert status == 2 and f"{MODEL} wrote the questions" in message and "--cache-from" in message
    status, message = call(*arguments, "--cache-from", tmp_path)
    assert status == 2 and "model-cache.sqlite) by --cache-from" in message
    (tmp_path / "objections.csv").write_text("fact_id,language\nQ1|P1|Q2,de\n")
    objected = ("--cache-from", live, "--objections", tmp_path / "objections.csv")
    status, message = call(*arguments, *objected)
    assert status == 2 and "built without --objections" in message and not (tmp_path / "again").exists()
    asked = len(server.bodies)
    assert "identical" in done(*arguments, "--cache-from", live) and len(server.bodies) == asked
    assert contents(tmp_path / "again" / "release") == contents(live / "release")


def test_objections_take_the_template(begun: Path, live: Path, config: Path, server: Scripted, tmp_path: Path) -> None:
    row = parallel_rows_of(live / "release")[0]
    table = pyarrow.table({"fact_id": [row["fact_id"]], "language": ["de"]})
    pyarrow.csv.write_csv(table, tmp_path / "objections.csv")
    asked = len(server.bodies)
    options = ("--base-url", server.url, "--model-cache", live / "model-cache.sqlite")
    shutil.copytree(begun, tmp_path / "build")
    objected = ("--objections", tmp_path / "objections.csv", "--out", tmp_path / "build", "--overwrite")
    done("export", "--config", config, *MODEL_OPTIONS, *options, *objected)
    found = {other["fact_id"]: other for other in parallel_rows_of(tmp_path / "build" / "release")}[row["fact_id"]][
        "translations"
    ]
    sources = {code: found[code]["question_source"] for code in PAPER_LANGUAGES}
    assert sources.pop("de") == "template" and set(sources.values()) == {f"model:{MODEL}"}
    assert len(server.bodies) == asked, "all else is known"
    status, message = call("questions", "status", "--out", tmp_path / "build")
    assert status == 2 and "another --objections" in message


def test_the_key_is_nowhere_on_disk(begun: Path, tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-secret-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serve(Scripted(key=key)) as server:
        out = shutil.copytree(begun, tmp_path / "build")
        arguments = ("questions", "--config", config, "--out", out, *MODEL_OPTIONS)
        result = polyfact(*arguments, "--base-url", server.url)
    assert key not in result.stdout + result.stderr
    files = [path for path in out.rglob("*") if path.is_file()]
    assert any(path.name == "model-cache.sqlite" for path in files)
    assert not any(key.encode() in path.read_bytes() for path in files)
    assert server.url not in (out / "manifest.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("build", "--questions", "model"), "--model"),
        (("build", "--model", "m"), "add --questions model"),
        (("build", "--questions", "llama"), "questions.source"),
        (("build", *MODEL_OPTIONS, "--base-url", "host:8000"), "llm.base_url"),
        (("build", *MODEL_OPTIONS, "--price-in", "1"), "--price-out"),
        (("build", *MODEL_OPTIONS, "--budget", "1"), "a budget needs prices"),
        (("build", "--objections", "nowhere.csv"), "nowhere.csv"),
        (("questions", "status"), "contains no build"),
        (("questions", "--facts", "10", "status"), "give options after"),
        (("questions", "read-batches", "x.jsonl", "--out", "nowhere"), "not a build folder"),
    ],
)
def test_wrong_usage_is_named(arguments: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, message = call(*arguments)
    assert status == 2 and expected in " ".join(message.replace("│", " ").split())


def test_a_build_of_templates_has_no_batches(sample_build: Path) -> None:
    status, message = call("questions", "write-batches", "--out", sample_build)
    assert status == 2 and "has template questions" in message
    assert {row["translations"]["ja"]["question_source"] for row in parallel_rows_of(sample_build / "release")} == {
        "template"
    }
