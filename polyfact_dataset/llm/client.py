"""The cache before the engine: no request is sent that has an answer, or is on its way already."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from polyfact_dataset.common.errors import ConfigError, PolyFactError, RetryableError
from polyfact_dataset.config.build import LlmConfig
from polyfact_dataset.llm.budget import Meter
from polyfact_dataset.llm.cache import Cache, Sent
from polyfact_dataset.llm.protocol import UNANSWERED, Answer, Engine, Request, Unanswered

# This many rejections before any success mean that nothing will succeed.
_HOPELESS = 20

T = TypeVar("T")


class Client:
    """Answers requests. Every answer is on disk before it is returned.

    Raises `Unanswered` for a request that found no answer in time (or returns `UNANSWERED` where the configuration
    accepts that), `RetryableError` once too many did not, and `ConfigError` when the budget or the server forbids all.
    """

    def __init__(self, cache: Cache, engine: Engine, config: LlmConfig, meter: Meter) -> None:
        self._cache, self._engine, self._config, self.meter = cache, engine, config, meter
        self._gate = asyncio.Semaphore(config.in_flight)
        self._on_their_way: dict[str, asyncio.Future[Answer]] = {}
        self._unanswered = self._rejected = 0
        self._trusted: set[tuple[str, str]] = set()

    async def answer(self, request: Request) -> Answer:
        """The answer, from the cache or the engine; equal requests at once are sent once."""
        known = self._cache.get(request)
        if known is not None:
            return known
        if request.key not in self._on_their_way:
            self._on_their_way[request.key] = asyncio.ensure_future(self._send(request))
        pending = self._on_their_way[request.key]
        try:
            return await pending
        finally:
            if pending.done():
                self._on_their_way.pop(request.key, None)

    async def _send(self, request: Request) -> Answer:
        async with self._gate:
            try:
                await self.meter.admit()
                try:
                    answer = await self._engine.ask(request)
                except Unanswered as error:
                    self.meter.record(None)
                    return self._give_up(error)
                self._keep(request, answer)
                self.meter.record(answer)
                return answer
            except Unanswered:
                raise
            except PolyFactError as error:
                # Nothing more is sent, but what is on its way, and paid, is waited for.
                self.meter.refuse(error)
                self._engine.stop()
                raise

    def _keep(self, request: Request, answer: Answer) -> None:
        """Stores the answer; a rejection only once the model has answered anything: else all would be rejected."""
        origin = request.model, request.revision
        if answer.status == 200 or origin in self._trusted or self._cache.trusts(*origin):
            self._trusted.add(origin)
            self._cache.put(Sent.of(request), answer)
            return
        self._rejected += 1
        if self._rejected >= _HOPELESS:
            raise ConfigError(
                f"the server rejected all of the first {self._rejected} requests with status {answer.status}: "
                f"{answer.text}; mend the model's settings or the server's"
            )

    def _give_up(self, error: Unanswered) -> Answer:
        self._unanswered += 1
        if self._config.accept_unanswered:
            return UNANSWERED
        if self._unanswered > self._config.max_unanswered:
            raise RetryableError(
                f"{self._unanswered} requests found no answer; the last: {error}. Everything answered is kept: "
                "see to the server, then run again"
            ) from error
        raise error


async def each(items: Iterable[T], work: Callable[[T], Awaitable[None]], workers: int) -> None:
    """Does `work` on all items, taking them as workers become free.

    After an error no more are taken, those begun are finished, and the error is raised.
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
