"""A polite client of Wikidata's API: `wbgetentities`, 50 ids a call, through a cache that survives kills.

One request at a time, at most `requests_per_s`, with a User-Agent that names a contact and with `maxlag`
(https://www.mediawiki.org/wiki/API:Etiquette, https://www.mediawiki.org/wiki/Manual:Maxlag_parameter).
Answers are cached by id before the next request goes out, so that no answered id is requested again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from polyfact_dataset import __version__
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.progress import Log, Task
from polyfact_dataset.common.retry_after import retry_after_s
from polyfact_dataset.common.secrets import shown_address
from polyfact_dataset.config.wikidata import BackfillConfig
from polyfact_dataset.wikidata.cache import Cache
from polyfact_dataset.wikidata.columns import Rows
from polyfact_dataset.wikidata.entities import PROPERTIES, Reader

# Codes of temporary API errors.
_PASSING = ("maxlag", "ratelimited", "readonly")
_PASSING_FAILURES = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
_MOST_VALUES = 50
_CONNECT_S = 10.0
# After this many consecutive failed batches, the server is assumed to be unreachable.
_HOPELESS_BATCHES = 3
_MAPS = ("labels", "descriptions", "aliases")


class _Passing(Exception):
    """A temporary failure; `wait_s` is the wait that the server requested."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _Unknown(Exception):
    """The API rejects the whole batch because of this id."""

    def __init__(self, qid: str) -> None:
        super().__init__(qid)
        self.qid = qid


class _Failed(Exception):
    """A batch that failed permanently; `hopeless` when other batches would fail as well."""

    def __init__(self, reason: str, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.hopeless = hopeless


@dataclass
class Outcome:
    """The counts of a fetch: ids in the cache, ids fetched, requests, retries, and ids without an answer."""

    hits: int = 0
    misses: int = 0
    requests: int = 0
    retries: int = 0
    failed: list[str] = field(default_factory=list)
    last_error: str = ""

    def __str__(self) -> str:
        text = f"{self.hits:,} in the cache, {self.misses:,} fetched"
        text += f" with {self.requests:,} requests, {self.retries:,} retries"
        return text + (f", {len(self.failed):,} without an answer" if self.failed else "")


class Client:
    """Fetches entities into the cache. `codes` are the Wikidata language codes of the labels to fetch.

    Tests replace `sleep` and `clock` (seconds).
    """

    def __init__(
        self,
        config: BackfillConfig,
        cache: Cache,
        reader: Reader,
        log: Log,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._cache, self._reader, self._log = config, cache, reader, log
        self._sleep, self._clock, self._next_s = sleep, clock, 0.0
        self._hopeless = False
        # Random waits spread clients that failed together; results do not depend on them.
        self._jitter = random.Random()
        self._session = requests.Session()
        self._session.headers["User-Agent"] = (
            f"PolyFact/{__version__} ({config.contact}) {requests.utils.default_user_agent()}"
        )

    def scope(self, claims: bool) -> dict[str, str]:
        """The parameters of a request, without ids. `claims` requests statements (`PROPERTIES`) as well."""
        props = ["info", *_MAPS, "sitelinks", *(["claims"] if claims else [])]
        codes = self._reader.fields.codes
        # Above the API's limit on values, all languages are requested.
        languages = {"languages": "|".join(codes)} if len(codes) <= _MOST_VALUES else {}
        return {
            "action": "wbgetentities",
            "format": "json",
            "formatversion": "2",
            "props": "|".join(props),
            **languages,
        }

    def key(self, claims: bool) -> str:
        """The scope under which answers are cached."""
        scope = self.scope(claims) | ({"kept": "|".join(PROPERTIES)} if claims else {})
        return "&".join(f"{name}={value}" for name, value in scope.items())

    def fetch(self, ids: Sequence[str], claims: bool) -> Outcome:
        """Requests those of `ids` that the cache lacks. Ids without an answer are in `failed` only.

        Raises `ConfigError` when the server rejects the request itself, `DataError` for an unusable cache.
        """
        known = self._cache.known(ids, self.key(claims))
        missing = [qid for qid in dict.fromkeys(ids) if qid not in known]
        outcome = Outcome(hits=len(known))
        if self._config.offline or self._hopeless or not missing:
            outcome.failed = missing
            return outcome
        with self._log.progress("backfill", "ids", total=len(missing)) as task:
            left_out = self._fetch_all(missing, claims, outcome, task)
            if left_out:
                # The server omitted some ids of answered batches: request these once more.
                outcome.failed.extend(self._fetch_all(left_out, claims, outcome, task))
        return outcome

    def _fetch_all(self, ids: Sequence[str], claims: bool, outcome: Outcome, task: Task) -> list[str]:
        """Fetches batch by batch; returns the ids that were omitted in answered batches."""
        left_out: list[str] = []
        failures, size = 0, self._config.batch_ids
        for start in range(0, len(ids), size):
            batch = list(ids[start : start + size])
            try:
                answers = self._answered(batch, claims, outcome)
            except _Failed as error:
                failures += 1
                outcome.last_error = str(error)
                outcome.failed.extend(batch)
                self._log.line(f"backfill: no answer for {batch[0]} and {len(batch) - 1} more ids: {error}")
                self._hopeless = error.hopeless or failures == _HOPELESS_BATCHES
                if self._hopeless:
                    outcome.failed.extend(ids[start + size :])
                    break
                continue
            failures = 0
            self._cache.write(answers.items(), self.key(claims))
            outcome.misses += len(answers)
            left_out += [qid for qid in batch if qid not in answers]
            task.advance(len(answers), f"{outcome.hits} hits, {outcome.misses} misses, {outcome.retries} retries")
        return left_out

    def _answered(self, batch: list[str], claims: bool, outcome: Outcome) -> dict[str, bytes | None]:
        """One batch, retried until it is answered. Raises `_Failed` after `max_tries`."""
        config = self._config
        retrying = Retrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(config.max_tries),
            wait=self._wait_s,
            before_sleep=partial(self._before_retry, outcome),
            sleep=self._sleep,
            reraise=True,
        )
        asked, answers = list(batch), dict[str, bytes | None]()
        while asked:
            try:
                return {**answers, **retrying(self._once, asked, claims, outcome)}
            except _Unknown as error:
                # An id that the API cannot parse makes the whole batch fail; without it the others are answered.
                answers[error.qid] = None
                asked.remove(error.qid)
            except _Passing as error:
                raise _Failed(f"{error}, in the last of {config.max_tries} attempts") from error
        return answers

    def _wait_s(self, state: RetryCallState) -> float:
        """Seconds to the next attempt: doubled each time with random jitter, or the wait requested by the server."""
        config = self._config
        backoff_s = min(config.max_wait_s, config.first_wait_s * 2.0 ** (state.attempt_number - 1))
        return max(backoff_s * self._jitter.uniform(0.5, 1.0), _failure(state).wait_s)

    def _before_retry(self, outcome: Outcome, state: RetryCallState) -> None:
        """Logs the pause. Raises `_Failed` where the server requests a longer one than `max_wait_s`."""
        config, error = self._config, _failure(state)
        if error.wait_s > config.max_wait_s:
            raise _Failed(f"{error}; the server requests a wait of {error.wait_s:,.0f} s", hopeless=True) from error
        assert state.next_action is not None
        wait_s = state.next_action.sleep
        self._log.line(f"backfill: {error}; try {state.attempt_number + 1} of {config.max_tries} in {wait_s:.1f} s")
        outcome.retries += 1

    def _once(self, ids: Sequence[str], claims: bool, outcome: Outcome) -> dict[str, bytes | None]:
        """One request. Raises `_Passing`, `_Unknown`, or `ConfigError` where a retry cannot help."""
        outcome.requests += 1
        self._wait_for_turn()
        url, config = shown_address(self._config.api), self._config
        parameters = {**self.scope(claims), "ids": "|".join(ids), "maxlag": str(config.maxlag_s)}
        try:
            response = self._session.get(config.api, params=parameters, timeout=(_CONNECT_S, config.timeout_s))
        except _PASSING_FAILURES as error:
            raise _Passing(f"{url}: {type(error).__name__}") from error
        except requests.RequestException as error:
            raise ConfigError(f"{url} cannot be requested: {type(error).__name__}; check backfill.api") from error
        wait_s = retry_after_s(response.headers.get("Retry-After")) or 0.0
        if response.status_code == 429 or response.status_code >= 500:
            raise _Passing(f"{url}: HTTP {response.status_code}", wait_s)
        if response.status_code != 200:
            raise ConfigError(
                f"{url} rejects the request with HTTP {response.status_code}: {response.text[:200].strip()!r}; "
                "check backfill.api and backfill.contact"
            )
        try:
            body = msgspec.json.decode(response.content)
        except (ValueError, RecursionError) as error:
            raise _Passing(f"{url}: broken answer", wait_s) from error
        if not isinstance(body, dict):
            raise _Passing(f"{url}: answer is not an object", wait_s)
        if "error" in body:
            raise _api_error(url, body["error"], ids, wait_s)
        return self._answers(body.get("entities"), ids)

    def _answers(self, entities: Any, ids: Sequence[str]) -> dict[str, bytes | None]:
        """Requested id -> entity. The key of an entity is its requested id or, for a redirect, that of its target."""
        url, requested, answers = shown_address(self._config.api), frozenset(ids), dict[str, bytes | None]()
        if not isinstance(entities, dict) or not all(isinstance(entity, dict) for entity in entities.values()):
            raise _Passing(f"{url}: answer without entities")
        for key, entity in entities.items():
            redirect = entity.get("redirects")
            source = redirect.get("from") if isinstance(redirect, dict) else None
            for qid in {key, str(entity.get("id")), str(source)} & requested:
                answers[qid] = None if "missing" in entity else self._checked(_trimmed(entity, qid))
        if not answers:
            raise _Passing(f"{url}: answer contains none of the ids")
        return answers

    def _checked(self, entity: bytes) -> bytes:
        rows = Rows()
        self._reader.read(entity, 1, rows)
        if rows.quarantine[0]:
            raise _Passing(f"{shown_address(self._config.api)}: {rows.quarantine[1][0]}")
        return entity

    def _wait_for_turn(self) -> None:
        now_s = self._clock()
        if now_s < self._next_s:
            self._sleep(self._next_s - now_s)
        self._next_s = max(now_s, self._next_s) + 1.0 / self._config.requests_per_s


def _failure(state: RetryCallState) -> _Passing:
    """The failure of the last attempt."""
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, _Passing)
    return error


def _trimmed(entity: dict[str, Any], requested_id: str) -> bytes:
    """The stored parts of an entity, as JSON in the layout of the dump."""
    claims = entity.get("claims")
    kept = {
        "type": "item",
        "id": entity.get("id"),
        "lastrevid": entity.get("lastrevid"),
        **({"redirects": {"from": requested_id, "to": entity.get("id")}} if entity.get("id") != requested_id else {}),
        **{name: entity.get(name) or {} for name in _MAPS},
        "claims": {name: claims[name] for name in PROPERTIES if name in claims} if isinstance(claims, dict) else {},
        "sitelinks": entity.get("sitelinks") or {},
    }
    return msgspec.json.encode(kept)


def _api_error(url: str, error: Any, ids: Sequence[str], wait_s: float) -> Exception:
    """The exception for an error of the API."""
    error = error if isinstance(error, dict) else {"code": "error", "info": str(error)}
    code, text = str(error.get("code")), f"{url}: {error.get('code')}: {error.get('info')}"
    if code in _PASSING or code.startswith("internal_api_error"):
        return _Passing(text, wait_s)
    if code == "no-such-entity" and error.get("id") in ids:
        return _Unknown(str(error["id"]))
    return ConfigError(f"{text}; Wikidata's API rejects the request")
