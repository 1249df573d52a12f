"""The environment of `verifiers`: episodes against a scripted server, and their rewards. Needs the package."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

vf = pytest.importorskip("verifiers.v1", reason="needs the package verifiers")

from verifiers.v1.utils.loaders import load_environment, resolve_env_config  # noqa: E402

from polyfact_verifiers import PolyfactEnv, PolyfactTaskset  # noqa: E402
from tests.support import baseline_releases as releases  # noqa: E402


class Server(ThreadingHTTPServer):
    """Answers chat requests by `say(prompt)`; None is an error."""

    said: dict[str, str | None]
    seen: list[dict[str, Any]]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(body)
        text = next(said for word, said in self.server.said.items() if word in body["messages"][-1]["content"])
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        found = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
        answer = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", **found}).encode()
        self.send_response(200 if text is not None else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as made:
        made.said, made.seen = {}, []
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def environment(tmp_path: Path, **changes: Any) -> Any:
    """The environment by its id, over two facts whose golds are Paris and Rome."""
    folder = releases.write(tmp_path, {"clean": {"train": releases.parallel_rows(2)}})
    taskset = {"id": "polyfact-verifiers", "dataset": str(folder), "languages": ["en", "ja"]}
    return load_environment(resolve_env_config({"taskset": taskset, **changes}))


def episode(env: Any, server: Server, number: int = 0) -> Any:
    """One rollout of a fact."""
    task = list(env.taskset)[number]
    url = f"http://127.0.0.1:{server.server_port}/v1"
    context = vf.ModelContext(client=vf.EvalClientConfig(base_url=url, api_key_var="NONE"), model="m")

    async def run() -> Any:
        async with env.serving():
            return await env.run_slot(env.slots(task)[0], context)

    return asyncio.run(run())


def test_verifiers_finds_the_environment_and_its_tasks(tmp_path: Path) -> None:
    env = environment(tmp_path)
    assert isinstance(env, PolyfactEnv) and isinstance(env.taskset, PolyfactTaskset)
    first, second = list(env.taskset)
    assert first.key == first.data.id == "Q100|P36|Q1" and list(second.data.items) == ["en", "ja"]
    asked = second.in_language("ja").data
    assert asked.language == "ja" and "ja question 1" in asked.prompt and "ローマ" in asked.prompt


@pytest.mark.parametrize(
    ("answers", "reward", "each"),
    [
        ({"en question": "Paris", "ja question": "パリ\nmore"}, 3.0, [1.0, 1.0]),
        ({"en question": "Paris", "ja question": "ローマ"}, 1.0, [1.0, 0.0]),
        ({"en question": "A", "ja question": "Paris"}, -1.0, [-0.5, -0.5]),
    ],
)
def test_all_languages_of_a_rollout_earn_one_reward(
    server: Server, tmp_path: Path, answers: dict[str, str | None], reward: float, each: list[float]
) -> None:
    """Equations 1 and 2: the sum over languages, and 1 when all are correct."""
    server.said = answers
    found = episode(environment(tmp_path), server)
    assert found.ok, found.errors
    traces = {trace.task.data.language: trace for trace in found.traces}
    assert [trace.reward for trace in traces.values()] == [reward, reward]
    assert [traces[code].metrics["r"] for code in ("en", "ja")] == each
    assert len(server.seen) == 2 and all(body["model"] == "m" for body in server.seen)


def test_the_reward_is_a_setting(server: Server, tmp_path: Path) -> None:
    server.said = {"en question": "Paris", "ja question": "ローマ"}
    found = episode(environment(tmp_path, reward={"pooling": "language", "incorrect": -1.0}), server)
    traces = {trace.task.data.language: trace.reward for trace in found.traces}
    assert traces == {"en": 1.0, "ja": -1.0}


def test_a_language_without_an_answer_fails_the_episode(server: Server, tmp_path: Path) -> None:
    server.said = {"en question": "Paris", "ja question": None}
    found = episode(environment(tmp_path), server)
    assert not found.ok and not any(trace.rewards for trace in found.traces)
    assert "has no answer in ja" in str(found.errors[-1].message)
