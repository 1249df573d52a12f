"""The cache in front of the engine: no request is sent that has an answer or is already in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from polyfact_dataset.common.errors import ConfigError, PolyFactError, RetryableError
from polyfact_dataset.config.models import LlmConfig
from polyfact_dataset.llm.budget import BudgetTracker
from polyfact_dataset.llm.cache import Cache, Sent
from polyfact_dataset.llm.cache_writer import CacheWriter
from polyfact_dataset.llm.protocol import UNANSWERED, Answer, Engine, Request, Unanswered

# This many rejections before the first success mean that no request will succeed.
_HOPELESS = 20
# Interval at which the answer of a request claimed by another process is looked up: initial, and maximum.
_POLL_S, _LONGEST_POLL_S = 0.05, 1.0
# Words of a rejection -> the settings that help.
_HINTS = {
    "seed": "seed = false under [llm]",
    "system": "system_role under [questions] or [verification]",
    "developer": "system_role under [questions] or [verification]",
    "response_format": "guided = false under [questions] or [verification]",
    "json_schema": "guided = false under [questions] or [verification]",
    "max_tokens": "parameters under [questions] or [verification]",
    "max_completion_tokens": "parameters under [questions] or [verification]",
    "temperature": "parameters under [questions] or [verification]",
    "top_p": "parameters under [questions] or [verification]",
    "parameter": "parameters under [questions] or [verification]",
}

T = TypeVar("T")


class Client:
    """Answers requests. Every answer is committed to the cache before it is returned.

    Raises `Unanswered` for a request that got no answer in time (or returns `UNANSWERED` where the configuration
    accepts that), `RetryableError` after too many of them, and `ConfigError` when the budget or the server refuses
    all.
    """

    def __init__(self, cache: Cache, engine: Engine, config: LlmConfig, budget: BudgetTracker) -> None:
        self._cache, self._engine, self._config, self.budget = cache, engine, config, budget
        self._writer = CacheWriter(cache)
        self._gate = asyncio.Semaphore(config.in_flight)
        self._in_flight: dict[str, asyncio.Future[Answer]] = {}
        self._unanswered = self._rejected = 0
        self._trusted: set[tuple[str, str]] = set()

    def close(self) -> None:
        """Ends the claims of this client."""
        self._writer.close()

    async def answer(self, request: Request) -> Answer:
        """The answer, from the cache or the engine; equal requests in flight are sent once."""
        if request.key not in self._in_flight:
            self._in_flight[request.key] = asyncio.ensure_future(self._send(request))
        pending = self._in_flight[request.key]
        try:
            return await pending
        finally:
            if pending.done():
                self._in_flight.pop(request.key, None)

    async def _send(self, request: Request) -> Answer:
        async with self._gate:
            try:
                known = await self._claim(request)
                if known is not None:
                    return known
                try:
                    return await self._ask(request)
                except BaseException:
                    await self._writer.end_claim(request.key)
                    raise
            except Unanswered:
                raise
            except PolyFactError as error:
                # Nothing more is sent, but requests in flight, which are paid for, are awaited.
                self.budget.refuse(error)
                self._engine.stop()
                raise

    async def _claim(self, request: Request) -> Answer | None:
        """Claims the request, or returns the answer that another process got for it."""
        pause_s = _POLL_S
        while (state := await self._writer.answer_or_claim(request)) is False:
            self.budget.check()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_POLL_S)
        return state if isinstance(state, Answer) else None

    async def _ask(self, request: Request) -> Answer:
        await self.budget.admit()
        try:
            answer = await self._engine.ask(request)
        except Unanswered as error:
            self.budget.record(None)
            answer = self._give_up(error)
            await self._writer.end_claim(request.key)
            return answer
        await self._keep(request, answer)
        self.budget.record(answer)
        return answer

    async def _keep(self, request: Request, answer: Answer) -> None:
        """Stores the answer.

        A rejection only once the model has answered another request, since all may be rejected.
        """
        origin = request.model, request.revision
        if answer.status == 200 or origin in self._trusted or self._cache.trusts(*origin):
            self._trusted.add(origin)
            await self._writer.store(Sent.of(request), answer)
            return
        await self._writer.end_claim(request.key)
        self._rejected += 1
        if self._rejected >= _HOPELESS:
            raise ConfigError(
                f"the server rejected all of the first {self._rejected} requests with status {answer.status}: "
                f"{answer.text}; {rejection_hint(answer.text)}"
            )

    def _give_up(self, error: Unanswered) -> Answer:
        self._unanswered += 1
        if self._config.accept_unanswered:
            return UNANSWERED
        if self._unanswered > self._config.max_unanswered:
            raise RetryableError(
                f"{self._unanswered} requests got no answer; the last: {error}. All answers are kept: "
                "check the server, then rerun the same command"
            ) from error
        raise error


def rejection_hint(message: str) -> str:
    """What to change when a server rejects every request with `message`."""
    lowered = message.casefold()
    settings = dict.fromkeys(setting for word, setting in _HINTS.items() if word in lowered)
    return f"set {' or '.join(settings)}" if settings else "check the settings of the model and of the server"


async def each(items: Iterable[T], work: Callable[[T], Awaitable[None]], workers: int) -> None:
    """Calls `work` on all items with `workers` concurrent calls.

    After an error no more items are taken, the calls in progress are awaited, and the error is raised.
    """
    source, failed = iter(items), False

    async def worker() -> None:
        nonlocal failed
        try:
            while not failed:
                try:
                    item = next(source)
                except StopIteration:
                    return
                await work(item)
        except BaseException:
            failed = True
            raise

    results = await asyncio.gather(*(worker() for _ in range(workers)), return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        unexpected = [error for error in errors if not isinstance(error, PolyFactError)]
        final = [error for error in errors if not isinstance(error, Unanswered)]
        raise (unexpected or final or errors)[0]
