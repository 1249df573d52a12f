"""Requests and answers, independent of the transport: the identity of a request, and how a response is read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from polyfact_dataset.common.errors import RetryableError
from polyfact_dataset.common.secrets import redacted, redacted_json

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
# The part of the body that contains the prompt, by endpoint.
PROMPT_FIELD = {CHAT: "messages", RESPONSES: "input"}
# The server will never accept these requests as they are: too long, filtered, malformed.
REJECTIONS = frozenset({400, 413, 422})
_MAX_TOKENS = 1 << 40
# Reasoning that a server left in the text. DeepSeek's chat template opens the block itself, so that only its end shows.
_REASONING = re.compile(r"\A\s*(?:<think(?:ing)?>)?.*?</think(?:ing)?>", re.DOTALL)
_OPEN_REASONING = re.compile(r"\A\s*<think(?:ing)?>")


@dataclass(frozen=True)
class Request:
    """A call to a model. `body` is the JSON body with `model`; `kind` names the type of request, for counting only.

    `revision` is the revision of the model on the server. `identity`, if set, replaces the prompt in the key, so that
    two wordings of one request share an answer. `attempt` distinguishes a repetition from the first request where the
    body does not (no seed).
    """

    kind: str
    body: Mapping[str, Any]
    revision: str = ""
    endpoint: str = CHAT
    identity: str = ""
    attempt: int = 0

    @property
    def model(self) -> str:
        """The name of the model on the server."""
        return str(self.body["model"])

    @cached_property
    def key(self) -> str:
        """SHA-256 over model, revision, endpoint, prompt (or identity), parameters and attempt, in hexadecimal."""
        body = dict(self.body)
        if self.identity:
            body[PROMPT_FIELD[self.endpoint]] = self.identity
        parts = [self.revision, self.endpoint, body, *([self.attempt] if self.attempt else [])]
        text = json.dumps(parts, ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class TokenUsage:
    """What a response is billed for: tokens of the prompt and the completion, and web searches."""

    prompt: int = 0
    completion: int = 0
    searches: int = 0


@dataclass(frozen=True)
class Answer:
    """A response. `finish` is `stop`, `length`, `content_filter`, `refusal`, `no_content`, `rejected` or `unanswered`.

    `served` is the model as the server names it; `body` the whole response without nulls. A `no_content` response
    has no text, or reasoning only. A `rejected` request got a status of `REJECTIONS` and has the server's message as
    `text`; an `unanswered` one was given up.
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
        return _searches(self.body)

    @property
    def usage(self) -> TokenUsage:
        """What the answer is billed for."""
        return TokenUsage(self.prompt_tokens, self.completion_tokens, self.searches)


UNANSWERED = Answer("", "unanswered", status=0)


class BrokenAnswer(ValueError):
    """A response that violates the endpoint's contract."""


class ProviderError(BrokenAnswer):
    """A response with status 200 that reports an error. `status` is the HTTP status that it names, if any."""

    def __init__(self, message: str, status: int | None, code: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Unanswered(RetryableError):
    """No usable response within the deadline."""


class Engine(Protocol):
    """Something that answers requests. `ask` raises `Unanswered` after its deadline, `ConfigError` or `RetryableError`
    when no request can succeed (key, address, model, credit, dead server). After `stop` it waits for the requests in
    flight
    and retries nothing."""

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


def read_usage(body: Any) -> TokenUsage:
    """The billed usage in a response body; zero where it is not stated. Never raises."""
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return TokenUsage(searches=_searches(body))
    prompt = usage.get("prompt_tokens", usage.get("input_tokens"))
    completion = usage.get("completion_tokens", usage.get("output_tokens"))
    return TokenUsage(_count(prompt), _count(completion), _searches(body))


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value < _MAX_TOKENS else 0


def _searches(body: Any) -> int:
    output = body.get("output") if isinstance(body, Mapping) else None
    if not isinstance(output, list):
        return 0
    return sum(isinstance(item, dict) and item.get("type") == "web_search_call" for item in output)


def read_answer(endpoint: str, body: Any) -> Answer:
    """The answer in a response body with status 200.

    Raises `ProviderError` for an error object, `BrokenAnswer` naming what is missing otherwise.
    """
    if not isinstance(body, dict):
        raise BrokenAnswer("the response is not a JSON object")
    try:
        # The answer read now must equal the answer read from the cache later.
        body = redacted_json(without_nulls(body))
        _raise_error(body)
        text, finish = (_chat if endpoint == CHAT else _responses)(body)
        usage = body.get("usage") or {}
        prompt = usage.get("prompt_tokens", usage.get("input_tokens")) or 0
        completion = usage.get("completion_tokens", usage.get("output_tokens")) or 0
        served = "@".join(str(body[name]) for name in ("model", "system_fingerprint") if body.get(name))
        if not 0 <= int(prompt) + int(completion) < _MAX_TOKENS:
            raise ValueError("token counts out of range")
        return Answer(text, finish, int(prompt), int(completion), served, body=body)
    except BrokenAnswer:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise BrokenAnswer(f"the response violates {endpoint} ({type(error).__name__}: {error})") from error


def _raise_error(body: dict[str, Any]) -> None:
    """Raises `ProviderError` for an error object at the top level or, as OpenRouter sends it, in the first choice."""
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    error = body.get("error") or first.get("error")
    if not error:
        return
    entry = error if isinstance(error, dict) else {"message": error}
    code = entry.get("code", entry.get("status", ""))
    status = int(str(code)) if re.fullmatch("[45][0-9][0-9]", str(code)) else None
    raise ProviderError(str(entry.get("message") or error)[:500], status, str(code))


def _chat(body: dict[str, Any]) -> tuple[str, str]:
    choice = body["choices"][0]
    message = choice["message"]
    if message.get("refusal"):
        return str(message["refusal"]), "refusal"
    finish = str(choice.get("finish_reason") or "stop")
    text = _without_reasoning(_content(message, finish))
    if text or finish in ("length", "content_filter"):
        return text, finish
    # An empty string is a text; a response without text cannot be judged.
    return "", finish if message.get("content") == "" else "no_content"


def _content(message: dict[str, Any], finish: str) -> str:
    """The text of a message: a string, or parts, of which those with reasoning or citations are not the answer."""
    content = message.get("content")
    if content is None:
        if finish not in ("length", "content_filter") and not message:
            raise KeyError("content")
        return ""
    if isinstance(content, list):
        return "".join(str(part["text"]) for part in content if part["type"] in ("text", "output_text"))
    if not isinstance(content, str):
        raise TypeError("message.content is not text")
    return content


def _without_reasoning(text: str) -> str:
    """The text after a reasoning block; empty while the block is open."""
    if "</think" in text:
        return _REASONING.sub("", text, count=1).lstrip()
    return "" if _OPEN_REASONING.match(text) else text


def _responses(body: dict[str, Any]) -> tuple[str, str]:
    parts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
    refusals = [part["refusal"] for part in parts if part["type"] == "refusal"]
    if refusals:
        return "".join(refusals), "refusal"
    text = _without_reasoning("".join(part["text"] for part in parts if part["type"] == "output_text"))
    if body.get("status") == "incomplete":
        reason = (body.get("incomplete_details") or {}).get("reason")
        return text, "content_filter" if reason == "content_filter" else "length"
    if body.get("status") not in (None, "completed"):
        raise ValueError(f"status {body['status']!r}")
    return text, "stop" if parts else "no_content"


def rejection(status: int, message: str) -> Answer:
    """The answer that represents a server's rejection of this request."""
    text = redacted(message)[:500].encode("utf-8", "replace").decode()
    return Answer(text, "rejected", status=status)
