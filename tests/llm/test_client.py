"""Cache before engine, one request at a time for each key, probe and budget."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console

from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.models import LlmConfig
from polyfact_dataset.llm.budget import BudgetTracker
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.client import Client, each
from polyfact_dataset.llm.protocol import CHAT, UNANSWERED, Answer, Request, Unanswered, read_answer, rejection


def request(number: int) -> Request:
    return Request("question", {"model": "m", "messages": [{"role": "user", "content": str(number)}]})


class Engine:
    """Answers with the number it is asked, 1,000 + 100 tokens each; its failures are scripted by number."""

    def __init__(self, script: dict[int, Answer | Exception] | None = None) -> None:
        self.script, self.asked = script or {}, list[int]()
        self.now = self.most_at_once = 0
        self.stopped = False

    async def ask(self, request: Request) -> Answer:
        number = int(request.body["messages"][0]["content"])
        self.asked.append(number)
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        await asyncio.sleep(0.02)
        self.now -= 1
        outcome = self.script.get(number)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            return outcome
        choice = {"message": {"content": str(number)}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1000, "completion_tokens": 100}
        return read_answer(CHAT, {"model": "m", "choices": [choice], "usage": usage})

    def stop(self) -> None:
        self.stopped = True

    async def close(self) -> None:
        pass


def run(path: Path, engine: Engine, numbers: list[int], **settings: object) -> tuple[dict[int, Answer], str]:
    """Asks for all numbers; the answers, and what was logged."""
    config = LlmConfig.model_validate({"base_url": "http://localhost/v1", "in_flight": 8, **settings})
    log = Log()
    log.console = Console(file=io.StringIO(), width=1000)
    answers: dict[int, Answer] = {}

    async def main() -> None:
        client = Client(cache, engine, config, BudgetTracker(config, log, lambda: len(numbers) - len(answers)))

        async def work(number: int) -> None:
            answers[number] = await client.answer(request(number))

        await each(numbers, work, config.in_flight)

    with Cache(path / "c.sqlite") as cache:
        try:
            asyncio.run(main())
        except Exception as error:
            error.answers = answers  # type: ignore[attr-defined]
            error.log = log.console.file.getvalue()  # type: ignore[attr-defined]
            raise
    return answers, log.console.file.getvalue()


def test_no_request_is_sent_twice(tmp_path: Path) -> None:
    engine = Engine()
    answers, _ = run(tmp_path, engine, [1, 2, 1, 3, 1, 2])
    assert sorted(engine.asked) == [1, 2, 3] and answers[1].text == "1"
    run(tmp_path, engine, [1, 2, 3, 4])
    assert sorted(engine.asked) == [1, 2, 3, 4]


def test_only_so_many_are_in_flight(tmp_path: Path) -> None:
    engine = Engine()
    run(tmp_path, engine, list(range(60)), in_flight=5, probe_requests=3)
    assert engine.most_at_once == 5


def test_the_probe_is_answered_before_anything_else_is_sent(tmp_path: Path) -> None:
    engine = Engine()
    _, log = run(tmp_path, engine, list(range(40)), probe_requests=10, in_flight=20)
    assert engine.most_at_once == 20
    assert sorted(engine.asked[:10]) == list(range(10))
    assert "probe of 10: 1,000 + 100 tokens a request" in log and "USD" not in log


PRICES = {"price_in_usd": 2.0, "price_out_usd": 10.0, "probe_requests": 10}


def test_a_paid_endpoint_stops_after_the_probe_without_a_budget(tmp_path: Path) -> None:
    engine = Engine()
    with pytest.raises(
        ConfigError, match=r"for about 0\.\d\d USD, and no --budget is given; .* To continue: --budget"
    ) as stop:
        run(tmp_path, engine, list(range(100)), **PRICES)
    assert len(engine.asked) == 10 and "USD (without retries)" in stop.value.log
    with pytest.raises(ConfigError, match="that is above --budget"):
        run(tmp_path, engine, list(range(100)), budget_usd=0.05, **PRICES)
    assert len(engine.asked) == 20, "what the first probe paid for is not asked again"
    answers, _ = run(tmp_path, engine, list(range(100)), budget_usd=1.0, **PRICES)
    assert len(answers) == 100 and len(engine.asked) == 100


def test_a_budget_is_never_exceeded(tmp_path: Path) -> None:
    engine = Engine()
    # An answer costs 0.003 USD; the caller believes that only 11 are left.
    config = {**PRICES, "budget_usd": 0.0616}

    class Few(list):
        def __len__(self) -> int:
            return 11

    with pytest.raises(ConfigError, match=r"the budget of 0\.06 USD is used up"):
        run(tmp_path, engine, Few(range(100)), **config)
    assert 17 <= len(engine.asked) <= 20


def test_a_rejection_is_stored_once_the_model_has_answered(tmp_path: Path) -> None:
    engine = Engine({2: rejection(400, "too long")})
    answers, _ = run(tmp_path, engine, [1], in_flight=1)
    answers, _ = run(tmp_path, engine, [2])
    assert answers[2].text == "too long"
    run(tmp_path, engine, [2])
    assert engine.asked == [1, 2]


def test_nothing_is_stored_when_all_is_rejected(tmp_path: Path) -> None:
    engine = Engine({number: rejection(400, "no such parameter: seed") for number in range(50)})
    with pytest.raises(ConfigError, match=r"rejected all of the first 20 .*no such parameter: seed"):
        run(tmp_path, engine, list(range(50)))
    engine.script.clear()
    answers, _ = run(tmp_path, engine, [0, 1])
    assert answers[0].text == "0"


def test_too_many_without_an_answer_stop_the_run(tmp_path: Path) -> None:
    engine = Engine({number: Unanswered("status 503") for number in range(3, 50)})
    with pytest.raises(Unanswered):
        run(tmp_path, engine, list(range(50)))
    with pytest.raises(RetryableError, match=r"1 requests got no answer; the last: status 503"):
        run(tmp_path, engine, [3], max_unanswered=0)
    answers, _ = run(tmp_path, engine, list(range(50)), accept_unanswered=True)
    assert answers[2].text == "2" and answers[3] == UNANSWERED and engine.asked.count(0) == 1


def test_what_is_on_its_way_when_a_run_stops_is_kept(tmp_path: Path) -> None:
    engine = Engine({5: ConfigError("no such model")})
    with pytest.raises(ConfigError, match="no such model"):
        run(tmp_path, engine, list(range(100)), in_flight=8)
    assert engine.stopped and len(engine.asked) == 8
    with Cache(tmp_path / "c.sqlite") as cache:
        assert cache.usage("m", "").answers == 7


def test_an_unexpected_error_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, Engine({5: ZeroDivisionError()}), list(range(20)))
