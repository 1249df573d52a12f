"""A live endpoint through the `openai` client: vLLM's server, a provider, or anything compatible.

The client's own retries are off: a pause that one request is told (429, `Retry-After`) holds for all of them, and
what was tried is counted. No key gets into a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.common.retry_after import retry_after_s
from polyfact_dataset.config.build import LlmConfig
from polyfact_dataset.llm.protocol import (
    CHAT,
    PROMPT_FIELD,
    REJECTIONS,
    Answer,
    BrokenAnswer,
    Request,
    Unanswered,
    read_answer,
    rejection,
)

if TYPE_CHECKING:
    from openai import APIStatusError

_NO_KEY = "none"


def is_private(url: str) -> bool:
    """Whether an address is surely one's own: loopback, a private network, or a name without a public domain."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan", ".localhost"))


class OpenAIEngine:
    """Asks one endpoint. Make it inside a running event loop; `retries` counts failed attempts by reason."""

    def __init__(self, config: LlmConfig, retries: Counter[str]) -> None:
        try:
            import openai
        except ImportError as error:
            raise ConfigError('the client is missing; install it: pip install "polyfact[llm]"') from error
        self._openai, self._config, self._retries = openai, config, retries
        self._url = config.base_url or ""
        self._key = os.environ.get(config.api_key_env, "") or _NO_KEY
        if not is_private(self._url) and config.price_in_usd is None:
            raise ConfigError(
                f"{self._url} may cost money: give --price-in and --price-out in USD per million tokens "
                "(0 if it is free)"
            )
        self._client = openai.AsyncOpenAI(
            api_key=self._key, base_url=self._url, max_retries=0, timeout=config.timeout_s
        )
        self._pause_until = 0.0
        self._stopped = asyncio.Event()

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    def stop(self) -> None:
        """Lets what is on its way be answered, and tries nothing again."""
        self._stopped.set()

    def _clean(self, message: object) -> str:
        text = str(message) if self._key == _NO_KEY else str(message).replace(self._key, "***")
        return " ".join(text.split())[:300]

    async def check(self) -> None:
        """Raises `RetryableError` when no server answers, `ConfigError` when it refuses the key.

        What models it lists is not looked at: some load what they are asked for, and a wrong name is answered by 404.
        """
        openai = self._openai
        try:
            async with asyncio.timeout(self._config.timeout_s):
                await self._client.models.with_raw_response.list()
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise self._refused_key(error) from None
        except openai.APIConnectionError as error:
            raise RetryableError(
                f"no server answers at {self._url} ({self._clean(error.__cause__ or error)}); "
                "start it, or mend --base-url"
            ) from None
        except (openai.APIStatusError, TimeoutError):
            return

    async def ask(self, request: Request) -> Answer:
        """Asks until there is an answer, a rejection, or the deadline is over."""
        started, reason, wait_s = time.monotonic(), "", self._config.first_wait_s
        while True:
            await self._hold()
            told: float | None = None
            try:
                async with asyncio.timeout(self._config.timeout_s):
                    return read_answer(request.endpoint, await self._post(request))
            except self._openai.APIStatusError as error:
                if error.status_code in REJECTIONS:
                    return rejection(error.status_code, self._clean(error.message))
                self._raise_if_final(error)
                reason = f"status {error.status_code}"
                told = retry_after_s(error.response.headers.get("retry-after"))
                if error.status_code in (429, 503):
                    self._pause_until = max(self._pause_until, time.monotonic() + (wait_s if told is None else told))
            except (TimeoutError, self._openai.APITimeoutError):
                reason = "time-out"
            except self._openai.APIConnectionError as error:
                reason = f"connection ({type(error.__cause__ or error).__name__})"
            except BrokenAnswer as error:
                reason = f"broken answer ({self._clean(error)})"
            self._retries[reason.partition(" (")[0]] += 1
            left_s = self._config.deadline_s - (time.monotonic() - started)
            pause_s = wait_s * random.uniform(0.5, 1.0) if told is None else told
            if pause_s >= left_s:
                raise Unanswered(f"a request found no answer within {self._config.deadline_s:g} s ({reason})")
            await self._sleep(pause_s)
            wait_s = min(2 * wait_s, self._config.max_wait_s)

    async def _hold(self) -> None:
        """Waits for the end of a pause that any request was told, and spreads the start after it."""
        left_s = self._pause_until - time.monotonic()
        if left_s > 0:
            await self._sleep(left_s + random.uniform(0.0, 0.2))

    async def _sleep(self, seconds: float) -> None:
        """Sleeps, or raises `Unanswered` as soon as the engine is stopped."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
        if self._stopped.is_set():
            raise Unanswered("the run was stopped")

    async def _post(self, request: Request) -> Any:
        """The response's JSON. The typed method is given only what it must; the rest of the body goes as it is."""
        body = dict(request.body)
        model = body.pop("model")
        create: Any = self._client.chat.completions if request.endpoint == CHAT else self._client.responses
        prompt = PROMPT_FIELD[request.endpoint]
        raw = await create.with_raw_response.create(model=model, **{prompt: body.pop(prompt)}, extra_body=body)
        try:
            # It refuses what no file could hold: surrogates alone, numbers that are none.
            return msgspec.json.decode(raw.http_response.content)
        except (ValueError, RecursionError):
            raise BrokenAnswer("the response is no JSON") from None

    def _raise_if_final(self, error: APIStatusError) -> None:
        """Raises when no request can succeed."""
        if error.status_code in (401, 403):
            raise self._refused_key(error) from None
        if getattr(error, "code", None) == "insufficient_quota":
            raise RetryableError(f"{self._url}: the quota is used up: {self._clean(error.message)}") from None
        if error.status_code < 500 and error.status_code not in (408, 409, 425, 429):
            raise ConfigError(
                f"{self._url} answers {error.status_code}: {self._clean(error.message)}; mend --base-url or --model"
            ) from None

    def _refused_key(self, error: APIStatusError) -> ConfigError:
        variable = self._config.api_key_env
        said = "holds a key that it refuses" if self._key != _NO_KEY else "is not set"
        return ConfigError(f"{self._url} answers {error.status_code}, and the environment variable {variable} {said}")
