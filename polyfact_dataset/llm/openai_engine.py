"""An OpenAI-compatible endpoint over HTTP: vLLM's server, a provider, or anything compatible.

The transport is aiohttp: the `openai` client spends some 3 ms of processor time on a request, ten times as much, and
its typed models accept fewer real responses than `protocol.read_answer`. A pause that the server requests for one
request (429, `Retry-After`) applies to all of them. Failed attempts are counted by reason, and billed ones are metered.
No key appears in a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import random
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from polyfact_dataset.common.errors import ConfigError, PolyFactError, RetryableError
from polyfact_dataset.common.retry_after import retry_after_s
from polyfact_dataset.common.secrets import redacted, shown_address, usable_key
from polyfact_dataset.config.models import LlmConfig
from polyfact_dataset.llm.budget import BudgetTracker
from polyfact_dataset.llm.protocol import (
    CHAT,
    REJECTIONS,
    RESPONSES,
    Answer,
    BrokenAnswer,
    ProviderError,
    Request,
    Unanswered,
    read_answer,
    read_usage,
    rejection,
)

_NO_KEY = "none"
_PATHS = {CHAT: "chat/completions", RESPONSES: "responses"}
# Statuses below 500 that another attempt may overcome.
_PASSING = frozenset({408, 409, 425, 429})
# A broken response may be billed: it is retried this many times, regardless of the deadline.
_BROKEN_TRIES = 3
# While no connection can be made, it is tried at least this often.
_DOWN_RETRY_S = 2.0
# The shortest pause that is reported.
_LONG_PAUSE_S = 5.0
_PING_S = 5.0
# The largest response that is read, far above any real one.
_MAX_BYTES = 64_000_000


def is_private(url: str) -> bool:
    """Whether an address cannot be a provider's: loopback, a private network, or a name without a public domain."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan", ".localhost"))


def _proxy_of(url: str) -> str | None:
    """The proxy that the environment names for a URL (HTTPS_PROXY, NO_PROXY, ...)."""
    parts = urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _variable(name: str) -> str:
    """The variable of the key, for messages; one that is not set may be a key given by mistake."""
    return name if name in os.environ or name == LlmConfig.model_fields["api_key_env"].default else "of api_key_env"


class _Failed(Exception):
    """A failed attempt.

    `reason` is counted, `detail` is shown, `server_wait_s` is the pause that the server requests.
    """

    def __init__(self, reason: str, detail: str = "", server_wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.server_wait_s = reason, detail, server_wait_s


@dataclass(frozen=True)
class _Response:
    status: int
    headers: Mapping[str, str]
    content: bytes


class OpenAIEngine:
    """One endpoint. Construct it inside a running event loop.

    `retries` counts failed attempts by reason. `budget` meters billed responses that are unusable, and stops retries
    that it no longer covers.
    """

    def __init__(self, config: LlmConfig, retries: Counter[str], budget: BudgetTracker | None = None) -> None:
        try:
            import aiohttp
        except ImportError as error:
            raise ConfigError('the HTTP client is missing; install it: pip install "polyfact[llm]"') from error
        self._aiohttp, self._config, self._retries, self._budget = aiohttp, config, retries, budget
        self._url = config.base_url or ""
        # How the server is named in messages.
        self._server = shown_address(self._url)
        self._variable = _variable(config.api_key_env)
        self._key = usable_key(os.environ.get(config.api_key_env, ""), f"the environment variable {self._variable}")
        if not is_private(self._url) and config.price_in_usd is None:
            raise ConfigError(
                f"{self._server} may cost money: give --price-in and --price-out in USD per million tokens "
                "(0 if it is free)"
            )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=config.in_flight + 1, ttl_dns_cache=300),
            headers={"Authorization": f"Bearer {self._key or _NO_KEY}", "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=config.timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Looked up once: aiohttp reads the environment in another thread for every request.
            proxy=_proxy_of(self._url),
        )
        self._pause_until = 0.0
        self._down_since: float | None = None
        self._answered_at = time.monotonic()
        self._stopped = asyncio.Event()

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    def stop(self) -> None:
        """Awaits the requests in flight, and retries nothing."""
        self._stopped.set()

    def _clean(self, message: object) -> str:
        return " ".join(redacted(str(message)).split())[:300]

    async def check(self) -> None:
        """Raises `RetryableError` when no server answers, `ConfigError` when it rejects the key.

        The models that it lists are not checked: some servers load what is requested, and a wrong name is answered by
        404.
        """
        try:
            response = await self._exchange("GET", "models", None)
        except TimeoutError:
            return
        except self._aiohttp.ClientError as error:
            raise RetryableError(
                f"no server answers at {self._server} ({self._clean(error)}); start it, or correct --base-url"
            ) from None
        if response.status in (401, 403):
            raise self._refused_key(response.status)

    async def ask(self, request: Request) -> Answer:
        """Retries until there is an answer or a rejection, or the deadline has passed."""
        deadline, wait_s, broken = time.monotonic() + self._config.deadline_s, self._config.first_wait_s, 0
        while True:
            await self._hold(deadline)
            try:
                return await self._attempt(request, wait_s)
            except _Failed as failure:
                self._retries[failure.reason] += 1
                broken += failure.reason == "broken answer"
                shown = f"{failure.reason}: {failure.detail}" if failure.detail else failure.reason
                pause_s = wait_s * random.uniform(0.5, 1.0) if failure.server_wait_s is None else failure.server_wait_s
                if broken == _BROKEN_TRIES:
                    raise Unanswered(f"a request got {broken} broken answers ({shown})") from None
                if time.monotonic() + pause_s >= deadline:
                    limit = f"{self._config.deadline_s:g} s"
                    raise Unanswered(f"a request got no answer within {limit} ({shown})") from None
            if self._budget is not None:
                self._budget.check()
            await self._sleep(min(pause_s, _DOWN_RETRY_S) if self._down_since is not None else pause_s)
            wait_s = min(2 * wait_s, self._config.max_wait_s)

    # ------------------------------------------------------------ pauses
    async def _hold(self, deadline: float) -> None:
        """Waits for the end of a pause that the server requested, and spreads the requests after it."""
        left_s = self._pause_until - time.monotonic()
        if left_s <= 0:
            return
        if self._pause_until >= deadline:
            raise Unanswered(f"a request got no answer within {self._config.deadline_s:g} s (the server asks to wait)")
        await self._sleep(left_s + random.uniform(0.0, 0.2))

    def _pause(self, status: int, seconds: float) -> None:
        """Pauses all requests for a time that the server requests. Raises `RetryableError` when it is too long."""
        if seconds > self._config.deadline_s:
            raise RetryableError(
                f"{self._server} answers {status} and asks to wait {seconds:,.0f} s, longer than deadline_s "
                f"({self._config.deadline_s:g}); all answers are kept: rerun the same command after that time, or "
                "raise deadline_s under [llm]"
            )
        until = time.monotonic() + seconds
        if seconds >= _LONG_PAUSE_S and until > self._pause_until + 1 and self._budget is not None:
            self._budget.log.line(f"{self._server} answers {status} and asks to wait {seconds:,.0f} s; waiting")
        self._pause_until = max(self._pause_until, until)

    async def _sleep(self, seconds: float) -> None:
        """Sleeps, or raises `Unanswered` as soon as the engine is stopped."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
        if self._stopped.is_set():
            raise Unanswered("the run was stopped")

    # ------------------------------------------------------------ one attempt
    async def _attempt(self, request: Request, wait_s: float) -> Answer:
        """One attempt. Raises `_Failed` where a retry may succeed, and ends the run where none can."""
        response = await self._post(request)
        try:
            # It rejects values that cannot be stored: lone surrogates, NaN and infinity.
            body = msgspec.json.decode(response.content)
        except (ValueError, RecursionError):
            body = None
        if response.status != 200:
            return self._failure(response, body, wait_s)
        try:
            if body is None:
                raise BrokenAnswer("the response is not JSON")
            return read_answer(request.endpoint, body)
        except ProviderError as error:
            self._bill(body)
            if error.status is None and error.code != "insufficient_quota":
                raise _Failed("broken answer", self._clean(error)) from None
            return self._status(error.status or 429, self._clean(error), error.code, None, wait_s)
        except BrokenAnswer as error:
            self._bill(body)
            raise _Failed("broken answer", self._clean(error)) from None

    def _bill(self, body: Any) -> None:
        if self._budget is not None:
            self._budget.bill(read_usage(body))

    async def _post(self, request: Request) -> _Response:
        """The response to a request, of any status. Raises `_Failed`, or `RetryableError` for a dead server."""
        try:
            response = await self._exchange("POST", _PATHS[request.endpoint], msgspec.json.encode(request.body))
        except TimeoutError:
            if time.monotonic() - self._answered_at >= self._config.timeout_s:
                await self._ping()
            raise _Failed("time-out") from None
        except self._aiohttp.ClientConnectorError as error:
            self._note_down(error)
            raise _Failed("connection", type(error).__name__) from None
        except self._aiohttp.ClientError as error:
            # The connection ended before or inside a response. If the server is down, the next attempt fails to
            # connect.
            raise _Failed("connection", type(error).__name__) from None
        self._answered_at, self._down_since = time.monotonic(), None
        return response

    async def _exchange(self, method: str, path: str, data: bytes | None) -> _Response:
        async with self._session.request(method, f"{self._url.rstrip('/')}/{path}", data=data) as response:
            if (response.content_length or 0) > _MAX_BYTES:
                raise self._aiohttp.ClientPayloadError(f"a response of {response.content_length:,} bytes")
            return _Response(response.status, response.headers, await response.read())

    async def _ping(self) -> None:
        """After a time-out: checks whether the server answers other requests."""
        try:
            async with asyncio.timeout(_PING_S):
                await self._exchange("GET", "models", None)
        except (TimeoutError, self._aiohttp.ClientError) as error:
            self._note_down(error)

    def _note_down(self, error: BaseException) -> None:
        """Raises `RetryableError` once no connection could be made for `max_down_s`."""
        now = time.monotonic()
        self._down_since = now if self._down_since is None else self._down_since
        if now - self._down_since < self._config.max_down_s:
            return
        left = f"; about {self._budget.left():,} requests are left" if self._budget is not None else ""
        raise RetryableError(
            f"the server at {self._server} has accepted no connection for {now - self._down_since:.0f} s "
            f"({self._clean(error) or type(error).__name__}){left}. All answers are kept: restart the server, then "
            "rerun the same command"
        )

    # ------------------------------------------------------------ statuses
    def _failure(self, response: _Response, body: Any, wait_s: float) -> Answer:
        """As `_status`, for a response whose status is not 200."""
        error = body.get("error", body) if isinstance(body, dict) else None
        entry = error if isinstance(error, dict) else {}
        message = entry.get("message") or error or response.content[:300].decode("utf-8", "replace")
        server_wait_s = retry_after_s(response.headers.get("Retry-After"))
        self._bill(body)
        return self._status(response.status, self._clean(message), str(entry.get("code")), server_wait_s, wait_s)

    def _status(self, status: int, message: str, code: str, server_wait_s: float | None, wait_s: float) -> Answer:
        """The rejection for a status. Raises `_Failed` where another attempt may succeed."""
        if status in REJECTIONS:
            return rejection(status, message)
        final = self._final(status, message, code)
        if final is not None:
            raise final
        if status in (429, 503):
            self._pause(status, wait_s if server_wait_s is None else server_wait_s)
        raise _Failed(f"status {status}", message, server_wait_s)

    def _final(self, status: int, message: str, code: str) -> PolyFactError | None:
        """The error that ends the run, where no request can succeed."""
        if status in (401, 403):
            return self._refused_key(status)
        if status == 402 or code == "insufficient_quota":
            return RetryableError(
                f"{self._server} answers {status}, the credit or quota is used up: {message}. All answers are kept: "
                "add credit, then rerun the same command"
            )
        if status == 404:
            return ConfigError(f"{self._server} answers 404: {message}; correct --base-url or --model")
        if status < 500 and status not in _PASSING:
            return ConfigError(f"{self._server} answers {status}: {message}")
        return None

    def _refused_key(self, status: int) -> ConfigError:
        variable, state = self._variable, "contains a key that it rejects" if self._key else "is not set"
        return ConfigError(f"{self._server} answers {status}, and the environment variable {variable} {state}")
