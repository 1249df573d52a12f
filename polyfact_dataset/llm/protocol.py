"""One request and one answer, whatever the engine: what identifies a request, and what is read from a response."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from polyfact_dataset.common.errors import RetryableError

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
# The part of the body that holds the prompt, by endpoint.
PROMPT_FIELD = {CHAT: "messages", RESPONSES: "input"}
# The server will never answer these as they stand: too long, filtered, malformed.
REJECTIONS = frozenset({400, 413, 422})
_MAX_TOKENS = 1 << 40


@dataclass(frozen=True)
class Request:
    """A call to a model. `body` is the JSON body with `model`; `kind` says what is asked, for counting only.

    `revision` is the revision of the model that the server holds. `identity`, where given, takes the place of the
    prompt in the key: what is asked for is then the same however it is worded.
    """

    kind: str
    body: Mapping[str, Any]
    revision: str = ""
    endpoint: str = CHAT
    identity: str = ""

    @property
    def model(self) -> str:
        """The name under which the server knows the model."""
        return str(self.body["model"])

    @cached_property
    def key(self) -> str:
        """SHA-256 over model, revision, endpoint, prompt (or identity) and parameters, in hexadecimal."""
        body = dict(self.body)
        if self.identity:
            body[PROMPT_FIELD[self.endpoint]] = self.identity
        text = json.dumps([self.revision, self.endpoint, body], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Answer:
    """What came back. `finish` is `stop`, `length`, `content_filter`, `refusal`, `rejected` or `unanswered`.

    `served` is the model as the server names it; `body` the whole response without nulls. A `rejected` request got
    a status of `REJECTIONS` and holds the server's message as `text`; an `unanswered` one was given up.
    """

    text: str
    finish: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    served: str = ""
    status: int = 200
    body: Mapping[str, Any] | None = None

    @property
    def searches(self) -> int:
        """Calls of the provider's web search that led to the answer."""
        output = (self.body or {}).get("output")
        return sum(item.get("type") == "web_search_call" for item in output) if isinstance(output, list) else 0


UNANSWERED = Answer("", "unanswered", status=0)


class BrokenAnswer(ValueError):
    """A response that is not what the endpoint promises."""


class Unanswered(RetryableError):
    """No usable response within the deadline."""


class Engine(Protocol):
    """Something that answers requests. `ask` raises `Unanswered` after its deadline, `ConfigError` when no request
    can succeed (key, address, model). After `stop` it finishes what it has sent, and tries nothing again."""

    async def ask(self, request: Request) -> Answer: ...

    def stop(self) -> None: ...

    async def close(self) -> None: ...


def without_nulls(value: Any) -> Any:
    """The value without null fields, at any depth."""
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [without_nulls(part) for part in value]
    return value


def read_answer(endpoint: str, body: Any) -> Answer:
    """The answer in a response body with status 200. Raises `BrokenAnswer` saying what is missing."""
    if not isinstance(body, dict):
        raise BrokenAnswer("the response is no JSON object")
    try:
        # What is read now is what will be read from the cache.
        body = without_nulls(body)
        text, finish = (_chat if endpoint == CHAT else _responses)(body)
        usage = body.get("usage") or {}
        prompt = usage.get("prompt_tokens", usage.get("input_tokens")) or 0
        completion = usage.get("completion_tokens", usage.get("output_tokens")) or 0
        served = "@".join(str(body[name]) for name in ("model", "system_fingerprint") if body.get(name))
        if not 0 <= int(prompt) + int(completion) < _MAX_TOKENS:
            raise ValueError("no number of tokens")
        return Answer(text, finish, int(prompt), int(completion), served, body=body)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise BrokenAnswer(f"the response lacks what {endpoint} promises ({type(error).__name__}: {error})") from error


def _chat(body: dict[str, Any]) -> tuple[str, str]:
    choice = body["choices"][0]
    message = choice["message"]
    if message.get("refusal"):
        return str(message["refusal"]), "refusal"
    content = message.get("content")
    if content is None and choice.get("finish_reason") in ("length", "content_filter"):
        content = ""
    if not isinstance(content, str):
        raise TypeError("message.content is no text")
    return content, str(choice.get("finish_reason") or "stop")


def _responses(body: dict[str, Any]) -> tuple[str, str]:
    parts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
    refusals = [part["refusal"] for part in parts if part["type"] == "refusal"]
    if refusals:
        return "".join(refusals), "refusal"
    text = "".join(part["text"] for part in parts if part["type"] == "output_text")
    if body.get("status") == "incomplete":
        reason = (body.get("incomplete_details") or {}).get("reason")
        return text, "content_filter" if reason == "content_filter" else "length"
    if body.get("status") not in (None, "completed"):
        raise ValueError(f"status {body['status']!r}")
    return text, "stop"


def rejection(status: int, message: str) -> Answer:
    """The answer of a server that will not answer this request."""
    return Answer(message[:500].encode("utf-8", "replace").decode(), "rejected", status=status)
