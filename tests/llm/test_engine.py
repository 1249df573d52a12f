"""The live endpoint: every way in which a server can fail."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Iterator

import pytest

from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.common.retry_after import retry_after_s
from polyfact_dataset.config.build import load_config
from polyfact_dataset.config.models import LlmConfig
from polyfact_dataset.llm.openai_engine import OpenAIEngine, is_private
from polyfact_dataset.llm.protocol import Answer, Request, Unanswered
from tests.support.llm_server import BAD_TRANSPORT, MODEL, Scripted, serve

SECRET = "sk-secret-0123456789"
RECORD = '{"language": "German (Deutsch)", "subject": "Peru", "relation": "capital", "answer": "Lima"}'


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serve(Scripted()) as script:
        yield script


def request(seed: int = 1, model: str = MODEL) -> Request:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": RECORD}]
    return Request("question", {"model": model, "messages": messages, "temperature": 0.1, "seed": seed})


def ask(server: Scripted, *requests: Request, retries: Counter[str] | None = None, **settings: object) -> list[Answer]:
    config = LlmConfig.model_validate({"base_url": server.url, "first_wait_s": 0.02, **settings})

    async def run() -> list[Answer]:
        engine = OpenAIEngine(config, Counter() if retries is None else retries)
        try:
            await engine.check()
            return await asyncio.gather(*map(engine.ask, requests))
        finally:
            await engine.close()

    return asyncio.run(run())


def failing(*faults: str) -> Scripted:
    script = deque(faults)
    return Scripted(fault=lambda body, tries: script.popleft() if script else None)


def test_an_answer_is_asked_for_as_it_stands(server: Scripted) -> None:
    (answer,) = ask(server, request())
    assert json.loads(answer.text)["answer_text"] == "Lima" and "Peru" in json.loads(answer.text)["question"]
    assert answer.finish == "stop" and answer.served == MODEL and answer.prompt_tokens > 0
    assert server.bodies == [request().body]


@pytest.mark.parametrize("fault", BAD_TRANSPORT)
def test_what_fails_in_passing_is_asked_again(fault: str) -> None:
    retries: Counter[str] = Counter()
    with serve(failing(fault, fault)) as server:
        (answer,) = ask(server, request(), retries=retries)
    assert answer.finish == "stop" and retries.total() == 2
    reason = {"cut": "connection", "html": "broken answer", "half": "broken answer", "no_choices": "broken answer"}
    assert retries[reason.get(fault, f"status {fault[:3]}")] == 2


def test_a_slow_answer_is_given_up_and_asked_again() -> None:
    retries: Counter[str] = Counter()
    with serve(failing("slow")) as server:
        assert ask(server, request(), retries=retries, timeout_s=0.5)[0].finish == "stop"
    assert retries == {"time-out": 1}


def test_the_pause_that_one_request_is_told_holds_for_all() -> None:
    with serve(failing("429-after")) as server:
        started = time.monotonic()
        ask(server, request(1))
        assert time.monotonic() - started >= 1.0

        async def late() -> float:
            config = LlmConfig(base_url=server.url)
            engine = OpenAIEngine(config, Counter())
            engine._pause_until = time.monotonic() + 0.5
            begun = time.monotonic()
            await engine.ask(request(2))
            await engine.close()
            return time.monotonic() - begun

        assert asyncio.run(late()) >= 0.5


def test_after_the_deadline_a_request_is_unanswered() -> None:
    with (
        serve(Scripted(fault=lambda body, tries: "500")) as server,
        pytest.raises(Unanswered, match=r"within 0\.8 s \(status 500: scripted"),
    ):
        ask(server, request(), deadline_s=0.8)
    assert len(server.bodies) >= 2


def test_a_rejected_request_is_an_answer() -> None:
    with serve(failing("400")) as server:
        (answer,) = ask(server, request())
    assert (answer.finish, answer.status, len(server.bodies)) == ("rejected", 400, 1)


@pytest.mark.parametrize(("fault", "error"), [("404", ConfigError), ("quota", RetryableError)])
def test_what_no_request_can_mend_stops_at_once(fault: str, error: type[Exception]) -> None:
    with serve(failing(fault)) as server, pytest.raises(error, match="scripted"):
        ask(server, request())
    assert len(server.bodies) == 1


def test_a_wrong_key_stops_before_anything_is_asked(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    server.key = "another"
    with pytest.raises(ConfigError, match=r"answers 401, and the environment variable OPENAI_API_KEY is not set"):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        ask(server, request())
    monkeypatch.setenv("MY_KEY", SECRET)
    with pytest.raises(ConfigError, match="MY_KEY contains a key that it rejects") as caught:
        ask(server, request(), api_key_env="MY_KEY")
    assert SECRET not in str(caught.value) and server.bodies == []


def test_no_key_reaches_a_message_or_a_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    caplog.set_level("DEBUG")
    with serve(Scripted(key=SECRET, fault=lambda body, tries: ("400", "500", None)[min(tries, 2)])) as server:
        (answer,) = ask(server, request())
        with pytest.raises(ConfigError) as caught:
            server.fault = lambda body, tries: "404"
            ask(server, request(2))
    assert answer.text.endswith("scripted, key ***") and "key ***" in str(caught.value)
    output = "".join((caplog.text, *capfd.readouterr()))
    assert SECRET not in output and SECRET not in request().key


@pytest.mark.parametrize("status", [404, 500])
def test_a_server_without_a_list_of_models_will_do(server: Scripted, status: int) -> None:
    server.models_status = status
    assert ask(server, request())[0].finish == "stop"


def test_no_server_at_all(server: Scripted) -> None:
    with pytest.raises(RetryableError, match=r"no server answers at http://127\.0\.0\.1:9 "):
        ask(server, request(), base_url="http://127.0.0.1:9/v1")


def test_an_endpoint_that_may_cost_money_needs_a_price(server: Scripted) -> None:
    with pytest.raises(ConfigError, match=r"https://api\.example\.com may cost money"):
        ask(server, base_url="https://api.example.com/v1")
    assert not is_private("https://8.8.8.8/v1") and is_private("http://10.1.2.3/v1")
    assert is_private("http://gpu7:8000/v1") and is_private("http://[::1]:8000/v1")


@pytest.mark.parametrize("url", ["http://user:pw0rd@host/v1", "http://host/v1?key=pw0rd", "http://pw0rd@host/v1"])
def test_an_address_with_a_secret_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="put a key into the variable") as caught:
        load_config(llm__base_url=url)
    assert "pw0rd" not in str(caught.value)


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after_s(None) is None and retry_after_s("soon") is None
    assert retry_after_s("2.5") == 2.5 and retry_after_s("-1") == 0.0
    for odd in ("²", "nan", "inf", "9" * 400, "Mon, 01 Jan 0001 00:00:00"):
        assert retry_after_s(odd) in (None, 0.0)
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after_s("Fri, 01 Jan 2100 00:00:00 GMT") > 1e9


def test_no_part_of_a_key_is_left_where_a_message_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)

    async def error_of(message: str) -> str:
        return OpenAIEngine(LlmConfig(base_url="http://127.0.0.1:9/v1"), Counter())._clean(message)

    for before in range(295 - len(SECRET), 300):
        assert SECRET[:4] not in asyncio.run(error_of("." * before + SECRET))
