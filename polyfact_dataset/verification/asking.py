"""Tasks put to a judge: from the cache alone, by a live endpoint, or by batch files."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import LlmConfig
from polyfact_dataset.llm.budget import Meter
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.client import Client, each
from polyfact_dataset.llm.openai_engine import OpenAIEngine
from polyfact_dataset.llm.protocol import Answer, Request, Unanswered
from polyfact_dataset.verification.judging import Judge, Outcome, Task

T = TypeVar("T", bound=Task)


def from_cache(
    judge: Judge, tasks: Mapping[str, T], cache: Cache, missing: Callable[[Request], None]
) -> dict[str, Outcome]:
    """The outcomes that the cache holds, by the tasks' names; `missing` gets the requests without an answer."""
    found = {}
    for name, task in tasks.items():
        step = judge.advance(task, cache.get)
        if isinstance(step, Outcome):
            found[name] = step
        else:
            missing(step)
    return found


class Live:
    """Asks a live endpoint; use it in a `with` block, outside any event loop. All it asks shares one budget."""

    def __init__(self, judge: Judge, cache: Cache, config: LlmConfig, log: Log, expected: int) -> None:
        self._judge, self._cache, self._config, self._log = judge, cache, config, log
        self._left = expected
        self._retries: Counter[str] = Counter()
        self._meter = Meter(config, log, lambda: self._left)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def judge(self, tasks: Mapping[str, T]) -> dict[str, Outcome]:
        """The outcomes of all tasks but those with a request that found no answer in time."""
        return self._runner.run(self._judge_all(tasks))

    async def _judge_all(self, tasks: Mapping[str, T]) -> dict[str, Outcome]:
        found: dict[str, Outcome] = {}
        engine = OpenAIEngine(self._config, self._retries)
        try:
            await engine.check()
            client = Client(self._cache, engine, self._config, self._meter)
            with self._log.progress("judge", "judged", len(tasks)) as progress:

                async def work(name: str) -> None:
                    outcome = await self._one(tasks[name], client)
                    if outcome is not None:
                        found[name] = outcome
                    self._left -= 1
                    progress.advance()

                await each(tasks, work, self._config.in_flight)
        finally:
            await engine.close()
        return {name: found[name] for name in tasks if name in found}

    async def _one(self, task: Task, client: Client) -> Outcome | None:
        unstored: dict[str, Answer] = {}

        def lookup(request: Request) -> Answer | None:
            return unstored.get(request.key) or self._cache.get(request)

        while not isinstance(step := self._judge.advance(task, lookup), Outcome):
            try:
                answer = await client.answer(step)
            except Unanswered:
                return None
            if answer.status != 200:
                unstored[step.key] = answer
        return step

    def say(self) -> None:
        """Logs what was asked in all."""
        meter = self._meter
        if meter.done:
            said = f"judge: {meter.done:,} requests, {meter.prompt_tokens:,} + {meter.completion_tokens:,} tokens"
            said += f", {meter.searches:,} web searches" if meter.searches else ""
            said += f", {meter.spent_usd:,.2f} USD" if meter.spent_usd else ""
            again = ", ".join(f"{reason} {number:,}" for reason, number in self._retries.most_common())
            self._log.line(said + (f"; tried again: {again}" if again else ""))


def uncached(judge: Judge, tasks: Sequence[Task], cache: Cache) -> int:
    """How many tasks are not settled by the cache."""
    return sum(not isinstance(judge.advance(task, cache.get), Outcome) for task in tasks)
