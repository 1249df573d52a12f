"""The client against a server that misbehaves: every obtainable answer, with as few requests as possible."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import requests

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config
from polyfact_dataset.config.wikidata import BackfillConfig
from polyfact_dataset.sample.make import claim
from polyfact_dataset.wikidata.api import Client, Outcome
from polyfact_dataset.wikidata.cache import Cache
from polyfact_dataset.wikidata.entities import Reader
from polyfact_dataset.wikidata.extract import extracted_fields
from tests.support.planted import item
from tests.support.wikidata_server import Wikidata, serving

IDS = [f"Q{number}" for number in range(1, 121)]


class Clock:
    """A clock that moves only when someone sleeps, and a record of the sleeps."""

    def __init__(self) -> None:
        self.now_s, self.slept = 0.0, list[float]()

    def sleep(self, duration_s: float) -> None:
        # The distance between requests in most tests is a microsecond.
        if duration_s > 1e-3:
            self.slept.append(duration_s)
        self.now_s += duration_s

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def wikidata() -> Iterator[Wikidata]:
    entities = {qid: item(qid, {"en": f"Thing {qid}", "sw": f"Kitu {qid}"}) for qid in IDS}
    with serving(Wikidata(entities)) as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(wikidata: Wikidata, clock: Clock, tmp_path: Path) -> Iterator[Callable[..., Client]]:
    with Cache(tmp_path / "cache.sqlite") as cache:

        def make(**changes: object) -> Client:
            settings = {"enabled": True, "contact": "me@example.org", "api": wikidata.url, "requests_per_s": 1e6}
            config = BackfillConfig.model_validate({**settings, **changes})
            made = Client(
                config, cache, Reader(extracted_fields(Config())), Log(quiet=True), sleep=clock.sleep, clock=clock.time
            )
            made.cache = cache  # type: ignore[attr-defined]
            return made

        yield make


def labels(client: Client, ids: list[str] = IDS, claims: bool = False) -> dict[str, str | None]:
    """Asked id -> English label in the cache, None for an id that is known to have no entity."""
    found = {}
    for qid, entity in client.cache.read(ids, client.key(claims)):  # type: ignore[attr-defined]
        found[qid] = None if entity is None else msgspec.json.decode(entity)["labels"]["en"]["value"]
    return found


ALL = {qid: f"Thing {qid}" for qid in IDS}


def test_a_clean_run_asks_once_for_every_id(client: Callable[..., Client], wikidata: Wikidata) -> None:
    first = client()
    outcome = first.fetch(IDS, claims=False)
    assert (outcome.hits, outcome.misses, outcome.requests, outcome.retries, outcome.failed) == (0, 120, 3, 0, [])
    assert [len(ids) for ids in wikidata.asked] == [50, 50, 20]
    assert labels(first) == ALL
    again = client().fetch(IDS, claims=False)
    assert (again.hits, again.misses, again.requests) == (120, 0, 0)
    assert len(wikidata.asked) == 3


def test_a_request_is_polite_and_asks_for_no_more_than_needed(
    client: Callable[..., Client], wikidata: Wikidata
) -> None:
    client().fetch(IDS[:2], claims=False)
    client().fetch(IDS[:2], claims=True)
    assert "me@example.org" in wikidata.headers[0]["User-Agent"]
    assert wikidata.headers[0]["User-Agent"].startswith("PolyFact/")
    texts, types = wikidata.parameters
    assert (texts["action"], texts["maxlag"], texts["ids"]) == ("wbgetentities", "5", "Q1|Q2")
    assert {"mul", "zh-hant", "pt-br", "en-gb", "sw"} <= set(texts["languages"].split("|"))
    assert "claims" not in texts["props"]
    assert types["props"] == texts["props"] + "|claims"


@pytest.mark.parametrize(
    ("fault", "least_wait_s"),
    [
        ("429", 0.5),
        ("429 after 7", 7.0),
        ("429 after date", 15.0),
        ("503", 0.5),
        ("503 after 3", 3.0),
        ("500", 0.5),
        ("maxlag", 5.0),
        ("truncated", 0.5),
        ("cut", 0.5),
        ("html", 0.5),
        ("list", 0.5),
        ("not-json-entity", 0.5),
    ],
)
@pytest.mark.parametrize("position", [0, 2])
def test_each_fault_costs_one_request(
    client: Callable[..., Client], wikidata: Wikidata, clock: Clock, fault: str, least_wait_s: float, position: int
) -> None:
    wikidata.script = deque(["ok"] * position + [fault])
    mine = client()
    outcome = mine.fetch(IDS, claims=False)
    assert labels(mine) == ALL
    assert (outcome.requests, outcome.retries, outcome.failed) == (4, 1, [])
    assert len(clock.slept) == 1
    assert least_wait_s <= clock.slept[0] <= least_wait_s + 6.0
    assert max(wikidata.answered.values()) == 1


def test_a_slow_answer_is_given_up_and_asked_for_again(client: Callable[..., Client], wikidata: Wikidata) -> None:
    wikidata.script = deque(["hold"])
    mine = client(timeout_s=0.1)
    outcome = mine.fetch(IDS, claims=False)
    assert labels(mine) == ALL
    assert (outcome.requests, outcome.retries) == (4, 1)


def test_many_faults_in_a_row_are_waited_out_with_growing_pauses(
    client: Callable[..., Client], wikidata: Wikidata, clock: Clock
) -> None:
    wikidata.script = deque(["503", "429", "truncated", "maxlag", "cut", "500"])
    mine = client(first_wait_s=8.0, max_wait_s=100.0)
    outcome = mine.fetch(IDS[:50], claims=False)
    assert (outcome.requests, outcome.retries) == (7, 6)
    for tries, wait_s in enumerate(clock.slept):
        longest = min(100.0, 8.0 * 2**tries)
        assert longest / 2 <= wait_s <= longest
    assert len(set(clock.slept)) == len(clock.slept)


def test_a_batch_that_fails_for_good_is_reported_and_asked_for_on_the_next_run(
    client: Callable[..., Client], wikidata: Wikidata
) -> None:
    wikidata.script = deque(["ok", "503", "503", "503"])
    mine = client(max_tries=3)
    outcome = mine.fetch(IDS, claims=False)
    assert outcome.failed == IDS[50:100]
    assert "HTTP 503" in outcome.last_error
    assert labels(mine) == {qid: text for qid, text in ALL.items() if qid not in IDS[50:100]}
    wikidata.asked.clear()
    again = client().fetch(IDS, claims=False)
    assert (again.hits, again.misses, again.failed) == (70, 50, [])
    assert wikidata.asked == [IDS[50:100]]
    assert labels(mine) == ALL


def test_a_server_out_of_reach_is_left_alone(client: Callable[..., Client], wikidata: Wikidata) -> None:
    ids = [f"Q{number}" for number in range(1, 1001)]
    wikidata.script = deque(["503"] * 100)
    mine = client(max_tries=2)
    outcome = mine.fetch(ids, claims=False)
    assert outcome.failed == ids
    assert len(wikidata.asked) == 3 * 2
    assert mine.fetch(["Q2001"], claims=True).failed == ["Q2001"]
    assert len(wikidata.asked) == 3 * 2


def test_a_wait_beyond_the_longest_is_not_sat_out(client: Callable[..., Client], wikidata: Wikidata) -> None:
    wikidata.script = deque(["429 after 3600"])
    outcome = client(max_wait_s=60).fetch(IDS, claims=False)
    assert outcome.failed == IDS
    assert "3,600 s" in outcome.last_error
    assert len(wikidata.asked) == 1


def test_nothing_listens(client: Callable[..., Client]) -> None:
    outcome = client(api="http://127.0.0.1:9/w/api.php", max_tries=2).fetch(["Q1"], claims=False)
    assert outcome.failed == ["Q1"]
    assert "ConnectionError" in outcome.last_error


@pytest.mark.parametrize("keyed_by_target", [False, True])
def test_redirects_and_deleted_ids_are_recorded(
    client: Callable[..., Client], wikidata: Wikidata, keyed_by_target: bool
) -> None:
    wikidata.keyed_by_target = keyed_by_target
    wikidata.redirects = {"Q900": "Q7"}
    mine = client()
    outcome = mine.fetch(["Q7", "Q900", "Q999999"], claims=False)
    assert (outcome.requests, outcome.misses, outcome.failed) == (1, 3, [])
    assert labels(mine, ["Q7", "Q900", "Q999999"]) == {"Q7": "Thing Q7", "Q900": "Thing Q7", "Q999999": None}
    stored = dict(mine.cache.read(["Q900"], mine.key(False)))  # type: ignore[attr-defined]
    assert msgspec.json.decode(stored["Q900"])["redirects"] == {"from": "Q900", "to": "Q7"}


def test_an_id_that_spoils_its_batch_is_left_out(client: Callable[..., Client], wikidata: Wikidata) -> None:
    wikidata.unparsable = frozenset({"Q99999999999"})
    mine = client()
    outcome = mine.fetch([*IDS[:20], "Q99999999999"], claims=False)
    assert (outcome.requests, outcome.retries, outcome.failed) == (2, 0, [])
    assert labels(mine, ["Q99999999999", "Q1"]) == {"Q99999999999": None, "Q1": "Thing Q1"}


def test_ids_that_an_answer_passes_over_are_asked_for_once_more(
    client: Callable[..., Client], wikidata: Wikidata
) -> None:
    wikidata.omitted = frozenset({"Q3", "Q60"})
    mine = client(max_tries=2)
    outcome = mine.fetch(IDS, claims=False)
    assert outcome.failed == ["Q3", "Q60"]
    assert "none of the ids" in outcome.last_error
    assert labels(mine) == {qid: text for qid, text in ALL.items() if qid not in ("Q3", "Q60")}
    assert wikidata.asked[3:] == [["Q3", "Q60"]] * 2


@pytest.mark.parametrize(("fault", "message"), [("403", "HTTP 403"), ("params", "badvalue")])
def test_a_refused_request_is_not_repeated(
    client: Callable[..., Client], wikidata: Wikidata, fault: str, message: str
) -> None:
    wikidata.script = deque(["ok", fault])
    mine = client()
    with pytest.raises(ConfigError, match=message):
        mine.fetch(IDS, claims=False)
    assert len(wikidata.asked) == 2
    assert len(labels(mine)) == 50


def test_offline_asks_for_nothing(client: Callable[..., Client], wikidata: Wikidata) -> None:
    client().fetch(IDS[:30], claims=False)
    wikidata.asked.clear()
    outcome = client(offline=True).fetch(IDS, claims=False)
    assert (outcome.hits, outcome.requests, outcome.failed) == (30, 0, IDS[30:])
    assert wikidata.asked == []


def test_requests_keep_their_distance(client: Callable[..., Client], wikidata: Wikidata, clock: Clock) -> None:
    client(requests_per_s=0.5).fetch(IDS, claims=False)
    assert clock.slept == pytest.approx([2.0, 2.0])


def test_an_outcome_says_what_happened() -> None:
    outcome = Outcome(hits=1200, misses=30, requests=2, retries=1, failed=["Q1"])
    assert str(outcome) == "1,200 in the cache, 30 fetched with 2 requests, 1 retries, 1 without an answer"


def test_a_wider_question_is_asked_anew(client: Callable[..., Client], wikidata: Wikidata) -> None:
    mine = client()
    held = wikidata.entities["Q1"]["claims"]
    held |= {"P21": [claim("Q1", 1, "P21", "Q6581072")], "P569": [], "P999": [claim("Q1", 2, "P999", "Q5")]}
    mine.fetch(IDS[:5], claims=False)
    mine.fetch(IDS[:5], claims=True)
    assert len(wikidata.asked) == 2
    stored = dict(mine.cache.read(["Q1"], mine.key(True)))  # type: ignore[attr-defined]
    kept = msgspec.json.decode(stored["Q1"])["claims"]
    assert kept == {name: statements for name, statements in held.items() if name != "P999"}


def test_a_file_that_is_no_cache_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look like one " * 50)
    with pytest.raises(DataError, match=r"notes\.txt"):
        Cache(path)


def test_a_batch_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with Cache(path) as cache:
        with pytest.raises(TypeError):
            cache.write([("Q1", b"{}"), ("Q2", "not bytes")], "scope")  # type: ignore[list-item]
        cache.write([("Q3", b"{}"), ("Q4", None)], "scope")
    with Cache(path) as cache:
        assert list(cache.read(["Q1", "Q2", "Q3", "Q4"], "scope")) == [("Q3", b"{}"), ("Q4", None)]
        assert cache.known(["Q3"], "another scope") == set()


@pytest.mark.parametrize("body", [b'{"entities": {"Q1": "\xed\xa0\x80"}}', b"[" * 10_000, b'{"entities": "\\ud800"}'])
def test_an_answer_that_no_parser_takes_is_asked_for_again(
    body: bytes, client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = client(max_tries=2)
    response = requests.Response()
    response.status_code, response._content = 200, body
    monkeypatch.setattr(asking._session, "get", lambda *_, **__: response)
    outcome = asking.fetch(["Q1"], False)
    assert outcome.failed == ["Q1"] and outcome.retries == 1 and "answer" in outcome.last_error
