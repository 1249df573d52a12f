"""Batched access to the cache: all answers and claims of a few milliseconds share one transaction.

A transaction costs as much as some ten rows, so that one for each answer would limit a run to a few hundred requests a
second.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable
from typing import Any

from polyfact_dataset.llm.cache import CLAIM_S, Cache, Sent
from polyfact_dataset.llm.protocol import Answer, Request

_BATCH_S = 0.002


class CacheWriter:
    """Writes from one event loop. Every method returns after its change is committed."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._owner = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._pending: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._renewal: asyncio.Task[None] | None = None

    async def store(self, origin: Sent, answer: Answer) -> bool:
        """Stores an answer and ends its claim; whether it is new."""
        new: bool = await self._write(lambda: self._cache.put(origin, answer))
        return new

    async def answer_or_claim(self, request: Request) -> Answer | bool:
        """The stored answer; without one, whether the request is now claimed (False: by another client)."""
        if self._renewal is None:
            self._renewal = asyncio.ensure_future(self._renew())

        def change() -> Answer | bool:
            known = self._cache.get(request)
            return self._cache.claim(request.key, self._owner) if known is None else known

        result: Answer | bool = await self._write(change)
        return result

    async def end_claim(self, key: str) -> None:
        """Ends the claim of a request that got no answer."""
        await self._write(lambda: self._cache.end_claims(self._owner, key))

    def close(self) -> None:
        """Commits pending changes and ends all claims."""
        if self._renewal is not None:
            self._renewal.cancel()
            self._flush()
            self._cache.end_claims(self._owner)

    def _write(self, change: Callable[[], Any]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        if not self._pending:
            loop.call_later(_BATCH_S, self._flush)
        future: asyncio.Future[Any] = loop.create_future()
        self._pending.append((change, future))
        return future

    def _flush(self) -> None:
        """Applies the pending changes in one transaction; its error reaches every caller."""
        changes, self._pending = self._pending, []
        if not changes:
            return
        try:
            with self._cache.transaction():
                results = [change() for change, _ in changes]
        except Exception as error:
            for _, future in changes:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(changes, results):
            if not future.done():
                future.set_result(result)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(CLAIM_S / 3)
            self._cache.renew_claims(self._owner)
