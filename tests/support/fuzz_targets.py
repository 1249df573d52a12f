"""What is fuzzed: valid input, how it is corrupted, and what reads it. Only a `PolyFactError` is an expected error."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import requests
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import strategies as st

from baselines.evaluate import klar, results
from polyfact_dataset.catalog.language import PAPER_LANGUAGES, language
from polyfact_dataset.common.errors import PolyFactError
from polyfact_dataset.common.files import digest, digest_json, write_json
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config, load_config
from polyfact_dataset.config.models import LlmConfig
from polyfact_dataset.config.wikidata import BackfillConfig
from polyfact_dataset.facts.backfill import _Writer
from polyfact_dataset.llm.batch import read_answers
from polyfact_dataset.llm.cache import Cache, Sent
from polyfact_dataset.llm.openai_engine import OpenAIEngine
from polyfact_dataset.llm.protocol import CHAT, RESPONSES, Answer, Request
from polyfact_dataset.llm.response_text import InvalidResponse
from polyfact_dataset.questions.parse_response import parse_name, parse_question
from polyfact_dataset.schema import ANSWERS, FETCHED
from polyfact_dataset.wikidata.api import Client
from polyfact_dataset.wikidata.cache import Cache as WikidataCache
from polyfact_dataset.wikidata.columns import Rows
from polyfact_dataset.wikidata.entities import Reader
from polyfact_dataset.wikidata.extract import extracted_fields
from tests.support.choice_results import save
from tests.support.fuzz_releases import release_folders, spoilt
from tests.support.hostile import hostile_json, mutated_bytes
from tests.support.planted import item, labels, state

ENTITY = state(
    item("Q1", labels("Land"), titles={"enwiki": "Land"}, descriptions={"en": {"language": "en", "value": "a land"}}),
    "P36",
    "Q2",
    ("Q3", "deprecated", "1999"),
)
ENTITY["aliases"] = {"en": [{"language": "en", "value": "The Land"}]}
ENTITY["redirects"] = {"from": "Q9", "to": "Q1"}
CHAT_BODY = {
    "id": "x",
    "model": "m",
    "created": 1_700_000_000,
    "system_fingerprint": "f",
    "choices": [{"message": {"role": "assistant", "content": "{}", "refusal": None}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}  # fmt: skip
SAID = {"question": "What is the capital of Land?", "answer_text": "Town"}
RESPONSES_BODY = {
    "id": "x",
    "model": "m",
    "created_at": 1_700_000_000,
    "status": "completed",
    "incomplete_details": None,
    "output": [
        {"type": "web_search_call", "id": "w"},
        {"type": "message", "content": [{"type": "output_text", "text": json.dumps(SAID), "annotations": []}]},
    ],
    "usage": {"input_tokens": 10, "output_tokens": 5},
}


def entity_lines(data: bytes, folder: Path) -> None:
    """Lines of a dump, each of which ends in a row or in quarantine."""
    rows = Rows()
    Reader(extracted_fields(_config())).read(data, 1, rows)
    entities, _, quarantine = rows.tables()
    assert len(entities) + len(quarantine) + rows.lexemes == rows.lines


@cache
def _config() -> Config:
    return load_config(facts=100)


TOML = """
facts = 200
seed = 7
languages = ["en", "sw"]
relations = ["P36", "P17"]
[extract]
workers = 2
max_broken_share = 1e-4
[candidates]
min_languages = 2
pool_factor = 4.0
catalogue_patterns = ['^\\d+ x']
[backfill]
enabled = true
contact = "me@example.org"
cache = "here/cache.sqlite"
[questions]
source = "model"
model = "m"
[llm]
base_url = "http://127.0.0.1:1/v1"
[release]
repository = "a/b"
version = "1.0.0"
dump_date = 2026-01-05
[audit.gates.overlap_pooled]
limit = 1.0
reason = "long enough a reason"
"""


@st.composite
def configs(draw: st.DrawFn) -> bytes:
    """The file with a value replaced, or bytes changed."""
    lines = TOML.strip().splitlines()
    place = draw(st.sampled_from([n for n, line in enumerate(lines) if " = " in line]))
    key = lines[place].partition(" = ")[0]
    odd = (
        "inf",
        "-inf",
        "nan",
        "9" * 5_000,
        "[" * 10_000 + "]" * 10_000,
        "{a=" * 2_000 + "1" + "}" * 2_000,
        "0000-00-00",
    )
    strings = st.text(max_size=30).map(lambda text: json.dumps(text, ensure_ascii=False))
    names = (
        '""',
        '"\\u0000"',
        '"\\uD800"',
        "'('",
        "'(a+)+$'",
        '"a{99999}"',
        "[]",
        "{}",
        "true",
        "-1",
        "2026-13-01",
        "25:00:00",
    )
    value = draw(st.sampled_from(odd + names) | strings | st.integers().map(str) | st.floats().map(str))
    lines[place] = f"{key} = {value}"
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    return draw(mutated_bytes(text)) if draw(st.integers(0, 2)) == 0 else text


def toml(data: bytes, folder: Path) -> None:
    """A configuration; one that is taken has an identity."""
    path = folder / "polyfact.toml"
    path.write_bytes(data)
    digest_json(load_config(path).identity())


@cache
def _result(folder: Path) -> dict[str, Any]:
    """A valid result, with its scores in `folder`."""
    columns = {name: [] for name in results.CHOICES.schema.names}
    section = {"source": "s", "config": "c", "split": "test", "revision": None, "content": None, "facts": 1}
    data = results.Data(**section, languages=("en", "sw"), digests={"en": "a", "sw": "b"})
    table = results.table_of("mcq", columns)
    result = save(folder / "r.json", table, "l", data, counts={"items": 1}, metrics={"accuracy": {"en": 0.5}})
    return result.model_dump(mode="json")


def result_files(data: bytes, folder: Path) -> None:
    """A result with its scores, next to a valid one."""
    sound = _result(folder)
    path = folder / "r.json"
    path.write_bytes(data)
    result = results.load_result(path)
    results.load_scores(path, result)
    results.refuse_mixing({"sound": results.Result.model_validate(sound), "r": result}, ("en", "sw"))


def score_files(data: bytes, folder: Path) -> None:
    """Changed scores, with the matching digest."""
    sound = _result(folder)
    (folder / "r.scores.parquet").write_bytes(data)
    sound = {**sound, "scores": {**sound["scores"], "sha256": digest(folder / "r.scores.parquet")}}
    write_json(folder / "r.json", sound)
    results.load_scores(folder / "r.json", results.load_result(folder / "r.json"))


KLAR = {
    "name": "capital",
    "prompt_templates": ["The capital of <subject> is <mask>", "<subject>'s capital is <mask>"],
    "samples": [
        {"subject": f"Land {n}", "object": f"Town {n}", "index": n, "object_candidates": "Town 1,Town 2"}
        for n in range(5)
    ],
}  # fmt: skip


def klar_files(data: bytes, folder: Path) -> None:
    """A relation file of KLAR, up to the questions."""
    (folder / "en").mkdir(exist_ok=True)
    (folder / "en" / "capital.json").write_bytes(data)
    found = klar.load_klar(str(folder), ["en"])
    klar.names_of(found)
    questions = klar.questions_of(found, 1, 42, klar.contaminated(found, {"en": [("P36", "Land 1", "Town 1")]}))
    digest_json([found.digests(), [question.prompt for question in questions]])


class _Replies(requests.Session):
    """Gives one response to every request."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__()
        self._response = response

    def get(self, *_: Any, **__: Any) -> requests.Response:
        return self._response


API_BODY = {"entities": {"Q1": {**ENTITY, "lastrevid": 5}, "Q2": {"id": "Q2", "missing": True}}, "success": 1}
API_ERROR = {"error": {"code": "no-such-entity", "info": "i", "id": "Q1"}}
RETRY_AFTER = (
    "",
    "5",
    "²",
    "-1",
    "9" * 400,
    "1e999",
    "nan",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Mon, 01 Jan 0001 00:00:00",
)


def api_answers() -> st.SearchStrategy[tuple[int, bytes, str]]:
    """Status, body and the header Retry-After."""
    bodies = hostile_json(API_BODY) | hostile_json(API_ERROR) | st.binary(max_size=50)
    return st.tuples(st.sampled_from((200, 200, 200, 429, 503, 404)), bodies, st.sampled_from(RETRY_AFTER))


def api(answer: tuple[int, bytes, str], folder: Path) -> None:
    """An answer of Wikidata's API, on its way into the tables of the backfill."""
    response = requests.Response()
    response.status_code, response._content, retry_after = answer
    response.headers["Retry-After"] = retry_after
    (folder / "wikidata.sqlite").unlink(missing_ok=True)
    config = BackfillConfig(enabled=True, contact="me@example.org", max_tries=2, requests_per_s=1e9)
    reader = Reader(extracted_fields(_config()))
    with WikidataCache(folder / "wikidata.sqlite") as cache:
        client = Client(config, cache, reader, Log(quiet=True), sleep=lambda seconds: None)
        client._session = _Replies(response)
        client.fetch(["Q1", "Q2"], True)
        with (
            pq.ParquetWriter(folder / "fetched.parquet", FETCHED.schema) as fetched,
            pq.ParquetWriter(folder / "answers.parquet", ANSWERS.schema) as answers,
        ):
            writer = _Writer(reader, fetched, answers)
            for qid, entity in cache.read(["Q1", "Q2"], client.key(True)):
                writer.add(qid, entity)
            writer.flush()


def _use(answer: Answer) -> None:
    """Takes an answer for a question and for a name."""
    asked = {"subject": "Land", "named": "Land", "gold": "Town", "code": "en", "languages": PAPER_LANGUAGES}
    found = []
    with contextlib.suppress(InvalidResponse):
        found += parse_question(answer, **asked)
    with contextlib.suppress(InvalidResponse):
        found.append(parse_name(answer, language("en")))
    pa.array(found, pa.string())


def model_answers() -> st.SearchStrategy[tuple[str, bytes]]:
    """An endpoint and a response: a strange one, or one with a strange text."""
    texts = hostile_json(SAID).map(lambda bodies: bodies.decode("utf-8", "surrogateescape"))
    bodies = texts.map(lambda text: {**CHAT_BODY, "choices": [{"message": {"content": text}, "finish_reason": "stop"}]})
    chat = hostile_json(CHAT_BODY) | bodies.map(lambda body: json.dumps(body).encode())
    return st.tuples(st.just(CHAT), chat) | st.tuples(st.just(RESPONSES), hostile_json(RESPONSES_BODY))


@contextlib.asynccontextmanager
async def serving(body: bytes) -> AsyncIterator[str]:
    """The address of a server that answers every request with `body`."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", lambda _: _response(body))
    async with TestServer(application) as server:
        yield str(server.make_url("/v1"))


async def _response(body: bytes) -> web.Response:
    return web.Response(body=body)


def model(answer: tuple[str, bytes], folder: Path) -> None:
    """A response of a model's server: through the client into the cache, out of it again, and into use."""
    endpoint, body = answer
    request = Request("question", {"model": "m", "messages": [], "input": []}, endpoint=endpoint)
    config = LlmConfig(base_url="http://127.0.0.1:1/v1", first_wait_s=0.001, deadline_s=0.001)

    async def ask() -> Answer:
        async with serving(body) as url:
            engine = OpenAIEngine(config.model_copy(update={"base_url": url}), Counter())
            try:
                return await engine.ask(request)
            finally:
                await engine.close()

    given = asyncio.run(ask())
    (folder / "model.sqlite").unlink(missing_ok=True)
    with Cache(folder / "model.sqlite") as cache:
        cache.put(Sent.of(request), given)
        kept = cache.get(request)
        cache.usage("m", "")
    assert kept == given
    _use(kept)


REQUEST = Request("question", {"model": "m", "messages": []})
BATCH = {"id": "b", "custom_id": REQUEST.key, "response": {"status_code": 200, "body": CHAT_BODY}, "error": None}
BATCH_ERROR = {
    "id": "b",
    "custom_id": REQUEST.key,
    "response": {"status_code": 400, "body": {"error": {"message": "m"}}},
}


def batch_files(data: bytes, folder: Path) -> None:
    """A line of a batch file's output."""
    (folder / "output.jsonl").write_bytes(data)
    (folder / "batch.sqlite").unlink(missing_ok=True)
    with Cache(folder / "batch.sqlite") as cache:
        cache.mark_sent([Sent.of(REQUEST)])
        read_answers([folder / "output.jsonl"], cache)
        if (answer := cache.get(REQUEST)) is not None:
            _use(answer)


@dataclass(frozen=True)
class Target:
    """`spoil(folder)` gives the strategy of inputs, `read(input, folder)` takes one."""

    spoil: Callable[[Path], st.SearchStrategy[Any]]
    read: Callable[[Any, Path], None]


def _lines(folder: Path) -> st.SearchStrategy[bytes]:
    line = hostile_json(ENTITY)
    return st.lists(line, min_size=1, max_size=3).map(lambda lines: b"[\n" + b",\n".join(lines) + b"\n]\n")


def _scores(folder: Path) -> st.SearchStrategy[bytes]:
    _result(folder)
    return mutated_bytes((folder / "r.scores.parquet").read_bytes())


TARGETS: dict[str, Target] = {
    "entity lines": Target(_lines, entity_lines),
    "TOML configs": Target(lambda folder: configs(), toml),
    "result files": Target(lambda folder: hostile_json(_result(folder)), result_files),
    "score files": Target(_scores, score_files),
    "KLAR files": Target(lambda folder: hostile_json(KLAR), klar_files),
    "release folders": Target(spoilt, release_folders),
    "API answers": Target(lambda folder: api_answers(), api),
    "model answers": Target(lambda folder: model_answers(), model),
    "batch files": Target(lambda folder: hostile_json(BATCH) | hostile_json(BATCH_ERROR), batch_files),
}


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """A `PolyFactError` is an answer."""
    with contextlib.suppress(PolyFactError):
        yield
