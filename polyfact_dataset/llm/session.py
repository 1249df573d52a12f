"""Many tasks resolved by a model: from the cache alone, or with a live endpoint within one budget.

A task needs one request or several, some of which follow from earlier answers. `advance(task, lookup)` is a pure
function: it returns the task's result, or the list of requests whose answers are missing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.models import LlmConfig
from polyfact_dataset.llm.budget import BudgetTracker
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.client import Client, each
from polyfact_dataset.llm.openai_engine import OpenAIEngine
from polyfact_dataset.llm.protocol import Answer, Request, Unanswered

T = TypeVar("T")
R = TypeVar("R")
Lookup = Callable[[Request], Answer | None]
"""The answer to a request, or None while it has none."""
Advance = Callable[[T, Lookup], R | list[Request]]


def resolve_cached(
    advance: Advance[T, R], tasks: Iterable[tuple[str, T]], cache: Cache, missing: Callable[[Request], object]
) -> dict[str, R]:
    """The results that the cache suffices for, by task name; requests without an answer are added to `missing`."""
    results = {}
    for name, task in tasks:
        with cache.snapshot():
            step = advance(task, cache.get)
        if isinstance(step, list):
            for request in step:
                missing(request)
        else:
            results[name] = step
    return results


class LlmSession:
    """Resolves tasks with a live endpoint; use it in a `with` block, outside any event loop.

    All calls of `resolve` share one budget. `expect` announces how many requests are to come, for the estimate.
    `name` and `unit` are shown as progress.
    """

    def __init__(self, cache: Cache, config: LlmConfig, log: Log, *, name: str, unit: str) -> None:
        self._cache, self._config, self._log, self._name, self._unit = cache, config, log, name, unit
        self._expected = 0
        self._retries: Counter[str] = Counter()
        self._budget = BudgetTracker(config, log, lambda: self._expected)
        self._runner = asyncio.Runner()

    def __enter__(self) -> LlmSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def expect(self, requests: int) -> None:
        """Announces further requests."""
        self._expected += requests

    def resolve(
        self, advance: Advance[T, R], tasks: Iterable[tuple[str, T]], number: int, *, requests_each: int = 1
    ) -> dict[str, R]:
        """The results of `number` named tasks, in their order, without those that got no answer in time.

        A finished task lowers the number of expected requests by `requests_each`.
        """
        return self._runner.run(self._resolve(advance, tasks, number, requests_each))

    async def _resolve(
        self, advance: Advance[T, R], tasks: Iterable[tuple[str, T]], number: int, requests_each: int
    ) -> dict[str, R]:
        results: dict[str, R | None] = {}
        engine = OpenAIEngine(self._config, self._retries, self._budget)
        client = Client(self._cache, engine, self._config, self._budget)
        try:
            await engine.check()
            with self._log.progress(self._name, self._unit, number) as progress:

                async def work(entry: tuple[str, T]) -> None:
                    name, task = entry
                    results[name] = None
                    results[name] = await self._one(advance, task, client)
                    self._expected -= requests_each
                    progress.advance()

                await each(tasks, work, self._config.in_flight)
        finally:
            client.close()
            await engine.close()
        return {name: result for name, result in results.items() if result is not None}

    async def _one(self, advance: Advance[T, R], task: T, client: Client) -> R | None:
        """The result of one task; None when a request got no answer in time."""
        known: dict[str, Answer] = {}

        def lookup(request: Request) -> Answer | None:
            return known.get(request.key) or self._cache.get(request)

        while True:
            with self._cache.snapshot():
                step = advance(task, lookup)
            if not isinstance(step, list):
                return step
            answers = await asyncio.gather(*map(client.answer, step), return_exceptions=True)
            for request, answer in zip(step, answers):
                if isinstance(answer, Answer):
                    known[request.key] = answer
                elif isinstance(answer, BaseException) and not isinstance(answer, Unanswered):
                    raise answer
            if any(isinstance(answer, Unanswered) for answer in answers):
                return None

    def log_totals(self) -> None:
        """Logs the totals of requests and tokens."""
        budget = self._budget
        if not budget.done:
            return
        text = f"{self._name}: {budget.done:,} requests, {budget.prompt_tokens:,} + {budget.completion_tokens:,} tokens"
        text += f", {budget.searches:,} web searches" if budget.searches else ""
        text += f", {budget.spent_usd:,.2f} USD" if budget.spent_usd else ""
        retried = ", ".join(f"{reason} {number:,}" for reason, number in self._retries.most_common())
        self._log.line(text + (f"; tried again: {retried}" if retried else ""))


def new_requests(take: Callable[[Request], object], seen: set[str]) -> Callable[[Request], None]:
    """A function that passes each distinct request on once; `seen` collects their keys."""

    def once(request: Request) -> None:
        if request.key not in seen:
            seen.add(request.key)
            take(request)

    return once
