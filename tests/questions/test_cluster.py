"""Batch files answered by datatrove: local tasks, a failed one resumed, answers through the import of batch files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.llm.batch import Shards, read_answers
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.cluster import ClusterConfig, ClusterRun, latest_run
from polyfact_dataset.llm.protocol import Request
from polyfact_dataset.pipeline.executors import load_executor_config
from tests.support.llm_server import MODEL, Scripted, serve

RECORD = '{"language": "German (Deutsch)", "subject": "Peru", "relation": "capital", "answer": "Lima"}'


def request(number: int) -> Request:
    return Request("question", {"model": MODEL, "messages": [{"role": "user", "content": RECORD}], "top_k": number})


def begun(folder: Path, cache: Cache, requests: int, tasks: int) -> ClusterRun:
    shards = Shards(folder / "requests", cache, max_requests=5, max_bytes=1_000_000)
    for number in range(requests):
        shards.add(request(number))
    return ClusterRun.begin(folder / "run" / "001", shards.close(), tasks)


def configured(server: Scripted) -> ClusterConfig:
    endpoint = server.url.removesuffix("/v1")
    inference = {"server_type": "endpoint", "endpoint_url": endpoint, "model_name_or_path": MODEL}
    # One worker: tasks run one after another in this process.
    return ClusterConfig(inference={**inference, "max_concurrent_generations": 4}, executor={"workers": 1})


def test_local_tasks_answer_every_request_and_a_failed_one_repeats_only_those_in_flight(tmp_path: Path) -> None:
    pytest.importorskip("datatrove")
    # A request of the second task fails in the first run; datatrove does not retry a 404.
    with Cache(tmp_path / "c.sqlite") as cache, serve(Scripted()) as server:
        run = begun(tmp_path, cache, 41, tasks=2)
        server.fault = lambda body, tries: "404" if body["top_k"] == 7 and not tries else None
        with pytest.raises(RetryableError, match="1 of 2 tasks did not finish"):
            run.execute("local", configured(server))
        assert run.finished_tasks == 1
        latest_run(tmp_path / "run").execute("local", configured(server))
        assert run.finished_tasks == run.tasks == 2
        counts = read_answers(run.answers, cache).counts
        assert counts["answered"] == 41 and not counts["unknown"] and not counts["broken"]
        assert json.loads(cache.get(request(0)).text)["answer_text"] == "Lima"
        # What is in flight when a task fails is lost with it.
        assert len(server.answered) == 41 and server.answered.total() <= 41 + 4


def test_a_refused_request_is_a_rejection_and_ends_no_task(tmp_path: Path) -> None:
    pytest.importorskip("datatrove")
    with Cache(tmp_path / "c.sqlite") as cache, serve(Scripted()) as server:
        run = begun(tmp_path, cache, 4, tasks=1)
        server.fault = lambda body, tries: "400" if body["top_k"] == 2 else None
        run.execute("local", configured(server))
        assert read_answers(run.answers, cache).counts == {"answered": 3, "rejected": 1}


def test_slurm_gets_a_script_for_the_unfinished_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datatrove")
    (tmp_path / "bin").mkdir()
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text(f'#!/bin/sh\nfor last; do :; done\ncp "$last" {tmp_path}/$$.sh\necho Submitted batch job $$\n')
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    with Cache(tmp_path / "c.sqlite") as cache, serve(Scripted()) as server:
        run = begun(tmp_path, cache, 4, tasks=3)
        config = configured(server)
        executor = {"time": "02:00:00", "partition": "gpu", "gpus_per_task": 1, "mail_type": "NONE"}
        run.execute("slurm", ClusterConfig(inference=config.inference, executor=executor))
    text = "\n".join(path.read_text() for path in tmp_path.glob("*.sh"))
    assert "#SBATCH --partition=gpu" in text and "#SBATCH --array=0-2" in text and "launch_pickled_pipeline" in text
    assert run.finished_tasks == 0


def test_a_wrong_configuration_is_named(tmp_path: Path) -> None:
    path = tmp_path / "inference.toml"
    with pytest.raises(ConfigError, match="does not exist"):
        load_executor_config(path, ClusterConfig)
    for text, named in (("x = ", "inference"), ("[executor]\n", "inference"), ("[inference]\n[other]\n", "other")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=named):
            load_executor_config(path, ClusterConfig)
    path.write_text('[inference]\nserver_type = "vllm"\n[executor]\nworkers = 2\n')
    assert load_executor_config(path, ClusterConfig).executor == {"workers": 2}


def test_an_argument_that_datatrove_does_not_know_is_named(tmp_path: Path) -> None:
    pytest.importorskip("datatrove")
    with Cache(tmp_path / "c.sqlite") as cache:
        run = begun(tmp_path, cache, 1, tasks=1)
        with pytest.raises(ConfigError, match="datatrove rejects the configuration: .*colour"):
            run.execute("local", ClusterConfig(inference={"server_type": "vllm", "colour": 1}))
