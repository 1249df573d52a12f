"""Faults of providers, as they were seen in the field: what is metered, what is read, and what ends a run."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from polyfact_dataset.common.errors import ConfigError, PolyFactError, RetryableError
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.models import LlmConfig
from polyfact_dataset.llm.cache import CLAIM_S, Cache, Sent
from polyfact_dataset.llm.client import Client, each, rejection_hint
from polyfact_dataset.llm.openai_engine import OpenAIEngine
from polyfact_dataset.llm.protocol import CHAT, Answer, Request, Unanswered, read_answer, read_usage
from polyfact_dataset.llm.response_text import InvalidResponse, finished_text
from polyfact_dataset.llm.session import LlmSession
from tests.support.llm_server import ERRORS_IN_200, MODEL, ODD_MESSAGES, Scripted, serve

RECORD = '{"language": "German (Deutsch)", "subject": "Peru", "relation": "capital", "answer": "Lima"}'
PAID = {"price_in_usd": 1000.0, "price_out_usd": 1000.0}


def request(number: int = 1) -> Request:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": RECORD}]
    return Request("question", {"model": MODEL, "messages": messages, "seed": number})


def always(fault: str) -> Scripted:
    return Scripted(fault=lambda body, tries: fault)


def ask(url: str, number: int, folder: Path, **settings: object) -> tuple[dict[str, Answer], str, LlmSession]:
    """Answers so many requests in a session; the answers, the log, and the session."""
    values = {"base_url": url, "first_wait_s": 0.01, "max_wait_s": 0.05, "in_flight": 8, **settings}
    log = Log()
    log.console = Console(file=io.StringIO(), width=1000)

    def advance(task: Request, lookup: Callable[[Request], Answer | None]) -> Answer | list[Request]:
        answer = lookup(task)
        return [task] if answer is None else answer

    with (
        Cache(folder / "c.sqlite") as cache,
        LlmSession(cache, LlmConfig.model_validate(values), log, name="test", unit="tasks") as session,
    ):
        session.expect(number)
        tasks = ((str(n), request(n)) for n in range(number))
        try:
            answers = session.resolve(advance, tasks, number)
        finally:
            session.log_totals()
    return answers, log.console.file.getvalue(), session


# ---------------------------------------------------------------- metering
@pytest.mark.parametrize("fault", ["null", "no_choices", "only_reasoning", "length", "refusal", "200-502"])
def test_every_billed_response_counts_against_the_budget(fault: str, tmp_path: Path) -> None:
    """A response of some 50 tokens costs 0.05 USD here; without metering the run would go on to its deadline."""
    with serve(always(fault)) as server:
        cost = read_usage(server.response(dict(request().body), fault, CHAT))
        one = (cost.prompt + cost.completion) / 1000
        with pytest.raises(ConfigError, match=r"the budget of .* USD is used up"):
            ask(server.url, 300, tmp_path, budget_usd=one * 40, probe_requests=1000, max_unanswered=300, **PAID)
        responses = len(server.bodies)
    assert 40 - 8 <= responses <= 40 + 8, "at most what was in flight exceeds the budget"


def test_a_broken_response_is_tried_again_only_so_often(tmp_path: Path) -> None:
    with serve(always("no_choices")) as server:
        answers, log, session = ask(server.url, 1, tmp_path, **PAID, budget_usd=1000)
    assert answers == {} and len(server.bodies) == 3
    assert "tried again: broken answer 3" in log
    usage = read_usage(server.response(dict(request(0).body), "no_choices", CHAT))
    assert session._budget.prompt_tokens == 3 * usage.prompt > 0


def test_usage_is_read_whatever_the_body_is() -> None:
    assert read_usage({"usage": {"prompt_tokens": 3, "completion_tokens": 2}}).prompt == 3
    assert read_usage({"usage": {"input_tokens": 3, "output_tokens": 2}, "output": None}).completion == 2
    assert read_usage({"usage": None, "output": [{"type": "web_search_call"}, 3]}).searches == 1
    for odd in (None, [], "x", {"usage": []}, {"usage": {"prompt_tokens": "many", "completion_tokens": -1}}):
        assert read_usage(odd) == read_usage({})


# ---------------------------------------------------------------- odd content
@pytest.mark.parametrize("fault", ODD_MESSAGES)
def test_messages_of_reasoning_models_are_read(fault: str, tmp_path: Path) -> None:
    with serve(always(fault)) as server:
        answers, _, _ = ask(server.url, 1, tmp_path)
        assert json.loads(finished_text(answers["0"]))["answer_text"] == "Lima"
        again, _, _ = ask(server.url, 1, tmp_path)
    assert again == answers and len(server.bodies) == 1


@pytest.mark.parametrize("fault", ["null", "only_reasoning", "open_think"])
def test_a_response_without_content_is_an_answer_without_text(fault: str, tmp_path: Path) -> None:
    with serve(always(fault)) as server:
        answers, _, _ = ask(server.url, 1, tmp_path)
        ask(server.url, 1, tmp_path)
    with pytest.raises(InvalidResponse, match="no_content"):
        finished_text(answers["0"])
    assert len(server.bodies) == 1, "it was paid for, and asking again would give the same"


def test_reasoning_that_used_all_tokens_is_cut_off() -> None:
    message = {"role": "assistant", "content": None, "reasoning_content": "Hm."}
    body = {"choices": [{"message": message, "finish_reason": "length"}]}
    assert read_answer(CHAT, body).finish == "length"
    body["choices"][0]["message"] = {"role": "assistant", "content": "<think>Hm."}
    assert (read_answer(CHAT, body).finish, read_answer(CHAT, body).text) == ("length", "")


# ---------------------------------------------------------------- errors inside a 200
def test_an_error_in_a_response_is_shown_and_ends_the_run_where_it_must(tmp_path: Path) -> None:
    with serve(always("200-402")) as server, pytest.raises(RetryableError, match="credit or quota is used up") as stop:
        ask(server.url, 20, tmp_path)
    assert "Provider returned error" in str(stop.value) and len(server.bodies) <= 8


@pytest.mark.parametrize("fault", ["200-502", "200-text"])
def test_an_error_in_a_response_is_tried_again_where_it_may_pass(fault: str, tmp_path: Path) -> None:
    with serve(Scripted(fault=lambda body, tries: None if tries else fault)) as server:
        answers, log, _ = ask(server.url, 1, tmp_path)
    assert answers["0"].finish == "stop"
    assert ("status 502 1" if ERRORS_IN_200[fault] == 502 else "broken answer 1") in log


def test_a_rejection_in_a_response_is_a_rejection(tmp_path: Path) -> None:
    with serve(Scripted(fault=lambda body, tries: "200-400" if body["seed"] else None)) as server:
        answers, _, _ = ask(server.url, 3, tmp_path, in_flight=1)
    assert [answers[str(n)].finish for n in range(3)] == ["stop", "rejected", "rejected"]


def test_no_credit_is_no_wrong_address(tmp_path: Path) -> None:
    with serve(always("402")) as server, pytest.raises(RetryableError, match="answers 402, the credit") as stop:
        ask(server.url, 20, tmp_path)
    assert "--base-url" not in str(stop.value) and "rerun the same command" in str(stop.value)


# ---------------------------------------------------------------- pauses and dead servers
def test_a_pause_beyond_the_deadline_ends_the_run_at_once(tmp_path: Path) -> None:
    with serve(always("429-hour")) as server:
        started = time.monotonic()
        with pytest.raises(RetryableError, match=r"asks to wait 3,600 s, longer than deadline_s \(30\)"):
            ask(server.url, 20, tmp_path, deadline_s=30)
    assert time.monotonic() - started < 30 and len(server.bodies) <= 8


def test_a_pause_of_another_request_beyond_the_deadline_is_not_slept(tmp_path: Path) -> None:
    del tmp_path

    async def late() -> None:
        engine = OpenAIEngine(LlmConfig(base_url="http://127.0.0.1:9/v1", deadline_s=0.2), Counter())
        engine._pause_until = time.monotonic() + 3600
        try:
            await engine.ask(request())
        finally:
            await engine.close()

    with pytest.raises(Unanswered, match="the server asks to wait"):
        asyncio.run(asyncio.wait_for(late(), 20))


def test_a_server_that_dies_is_named_with_what_is_left(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.llm_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    answers, _, _ = ask(url, 5, tmp_path)
    assert len(answers) == 5

    server.kill()
    server.wait()
    with pytest.raises(RetryableError, match=f"no server answers at {url.removesuffix('/v1')}"):
        ask(url, 12, tmp_path)

    async def mid_run() -> None:
        config = LlmConfig(base_url=url, first_wait_s=0.05, max_down_s=0.3, deadline_s=600)
        from polyfact_dataset.llm.budget import BudgetTracker

        engine = OpenAIEngine(config, Counter(), BudgetTracker(config, Log(quiet=True), lambda: 7))
        try:
            await engine.ask(request())
        finally:
            await engine.close()

    with pytest.raises(RetryableError, match=r"accepted no connection for \d+ s .* about 7 requests are left"):
        asyncio.run(asyncio.wait_for(mid_run(), 60))


# ---------------------------------------------------------------- parameters and roles
@pytest.mark.parametrize(
    ("refused", "setting"),
    [
        ('"seed"', "seed = false under [llm]"),
        ('"role": "system"', "system_role under [questions] or [verification]"),
        ('"max_tokens"', "parameters under [questions] or [verification]"),
        ('"temperature"', "parameters under [questions] or [verification]"),
    ],
)
def test_a_refused_parameter_names_the_setting(refused: str, setting: str, tmp_path: Path) -> None:
    with serve(Scripted(refused=('"seed"',))) as server, pytest.raises(ConfigError) as stop:
        ask(server.url, 40, tmp_path)
    assert 'Unsupported parameter: "seed"' in str(stop.value) and "seed = false under [llm]" in str(stop.value)
    assert setting in rejection_hint(f"Unsupported parameter: {refused}")


# ---------------------------------------------------------------- claims
def test_two_processes_ask_a_request_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.llm.test_faults import ask\n"
        "answers, _, _ = ask(sys.argv[1], 60, Path(sys.argv[2]))\nprint(len(answers))"
    )
    with serve(Scripted(delay_s=0.05)) as server:
        command = [sys.executable, "-c", script, server.url, str(tmp_path)]
        both = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
            for _ in range(2)
        ]
        outputs = [process.communicate()[0] for process in both]
    assert outputs == ["60\n", "60\n"]
    assert len(server.bodies) == 60 and max(server.answered.values()) == 1


def test_the_claims_of_a_killed_process_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        key = request().key
        assert cache.claim(key, "killed") and cache.claim(key, "killed") and not cache.claim(key, "other")
        cache.end_claims("other", key)
        assert not cache.claim(key, "other"), "a claim is ended by its owner alone"
        now = time.time()
        monkeypatch.setattr("time.time", lambda: now + CLAIM_S / 2)
        cache.renew_claims("killed")
        monkeypatch.setattr("time.time", lambda: now + CLAIM_S * 1.2)
        assert not cache.claim(key, "other")
        monkeypatch.setattr("time.time", lambda: now + CLAIM_S * 1.6)
        assert cache.claim(key, "other") and not cache.claim(key, "killed")
        cache.put(Sent.of(request()), read_answer(CHAT, {"choices": [{"message": {"content": "x"}}]}))
        assert cache.claim(key, "killed"), "an answer ends the claim"


@pytest.mark.parametrize("fault", ["500", "400", "no_choices", "404"])
def test_no_claim_is_left_when_a_run_ends(fault: str, tmp_path: Path) -> None:
    with serve(always(fault)) as server, contextlib.suppress(PolyFactError):
        ask(server.url, 10, tmp_path, deadline_s=0.3)
    with Cache(tmp_path / "c.sqlite") as cache:
        assert cache._connection.execute("SELECT count(*) FROM claims").fetchone() == (0,)


def test_an_error_of_the_cache_reaches_the_caller(tmp_path: Path) -> None:
    with serve(Scripted()) as server, Cache(tmp_path / "c.sqlite") as cache:

        async def main() -> None:
            config = LlmConfig(base_url=server.url)
            from polyfact_dataset.llm.budget import BudgetTracker

            budget = BudgetTracker(config, Log(quiet=True), lambda: 1)
            engine = OpenAIEngine(config, Counter(), budget)
            client = Client(cache, engine, config, budget)

            def broken(*_: Any) -> bool:
                raise PolyFactError("disk full")

            cache.put = broken  # type: ignore[method-assign]

            async def work(number: int) -> None:
                await client.answer(request(number))

            try:
                await each([1, 2], work, 2)
            finally:
                client.close()
                await engine.close()

        with pytest.raises(PolyFactError, match="disk full"):
            asyncio.run(main())
