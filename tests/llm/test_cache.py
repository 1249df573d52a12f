"""The file that no answer is paid twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.llm.cache import Cache, Sent
from polyfact_dataset.llm.protocol import CHAT, Answer, Request, read_answer, rejection


def request(number: int, model: str = "m", kind: str = "question") -> Request:
    return Request(kind, {"model": model, "messages": [{"role": "user", "content": str(number)}]})


def answer(text: str = "yes", served: str = "m-1") -> Answer:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 3}
    return read_answer(CHAT, {"model": served, "choices": [choice], "usage": usage})


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    with Cache(tmp_path / "deep" / "c.sqlite") as cache:
        assert cache.get(request(1)) is None
        assert cache.put(Sent.of(request(1)), answer("Ντο 日本")) is True
        assert cache.put(Sent.of(request(1)), answer("another")) is False
        assert cache.put(Sent.of(request(2)), rejection(400, "too long")) is True
    with Cache(tmp_path / "deep" / "c.sqlite") as cache:
        assert cache.get(request(1)) == answer("Ντο 日本")
        assert cache.get(request(2)) == Answer("too long", "rejected", status=400)


def test_an_answer_that_changed_on_disk_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with Cache(path) as cache:
        for number in (1, 2):
            cache.put(Sent.of(request(number)), answer("yes"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE answers SET body = replace(body, 'yes', 'yet')")
        connection.execute("UPDATE answers SET checksum = NULL WHERE key = ?", (bytes.fromhex(request(2).key),))
    connection.close()
    with Cache(path) as cache:
        with pytest.raises(DataError, match=f"differs from what was stored.*DELETE FROM answers .*{request(1).key}"):
            cache.get(request(1))
        # Stored by a version that kept no checksums.
        assert cache.get(request(2)) == answer("yet")


def test_the_cache_of_an_earlier_version_is_read_and_written(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with Cache(path) as cache:
        cache.put(Sent.of(request(1)), answer("yes"))
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE answers DROP COLUMN checksum")
    connection.close()
    with Cache(path) as cache:
        cache.put(Sent.of(request(2)), answer("no"))
        assert [cache.get(request(number)) for number in (1, 2)] == [answer("yes"), answer("no")]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": None}, "content_filter"),
        ({"content": None}, "length"),
        ({"content": "", "refusal": {"why": None}}, "stop"),
    ],
)
def test_what_is_stored_is_read_as_it_was_answered(message: dict, reason: str, tmp_path: Path) -> None:
    given = read_answer(CHAT, {"model": None, "choices": [{"message": message, "finish_reason": reason}]})
    with Cache(tmp_path / "c.sqlite") as cache:
        cache.put(Sent.of(request(1)), given)
        assert cache.get(request(1)) == given


def test_usage_and_trust_are_of_one_model(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        cache.put(Sent.of(request(1)), rejection(400, "x"))
        assert not cache.trusts("m", "")
        for number in (2, 3):
            cache.put(Sent.of(request(number)), answer(served=f"m-{number}"))
        cache.put(Sent.of(request(4, model="n")), answer())
        assert cache.trusts("m", "") and not cache.trusts("m", "r2")
        usage = cache.usage("m", "")
        assert (usage.answers, usage.prompt_tokens, usage.completion_tokens) == (2, 20, 6)
        assert usage.served == {"m-2": 1, "m-3": 1}
        assert usage.tokens_per_s > usage.answers_per_s > 0
        assert cache.usage("unheard", "").answers_per_s == 0


def test_speed_is_the_servers_and_not_that_of_reading(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        for number in range(11):
            body = {**(answer().body or {}), "created": 1_700_000_000 + 2 * number}
            cache.put(Sent.of(request(number)), read_answer(CHAT, body))
        usage = cache.usage("m", "")
    assert usage.answers_per_s == pytest.approx(11 / 20) and usage.tokens_per_s == pytest.approx(11 * 13 / 20)


def test_what_stands_in_batch_files_waits_until_it_failed(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        cache.mark_sent(map(Sent.of, [request(1), request(2)]))
        assert cache.waits(request(1)) and not cache.waits(request(3))
        origin = cache.sent(request(1).key)
        assert origin == Sent.of(request(1)) and cache.sent(request(3).key) is None
        cache.release(origin)
        assert not cache.waits(request(1)) and cache.waits(request(2))
        assert cache.sent(request(1).key) == origin, "an answer that comes after all is still taken"


def test_a_killed_process_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    script = f"""
import os, sys
from tests.llm.test_cache import *
cache = Cache(Path({str(tmp_path / "c.sqlite")!r}))
for number in range(200):
    cache.put(Sent.of(request(number)), answer(str(number)))
os.kill(os.getpid(), {int(signal.SIGKILL)})
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    with Cache(tmp_path / "c.sqlite") as cache:
        assert [cache.get(request(number)).text for number in range(200)] == [str(number) for number in range(200)]


def test_two_processes_share_a_file(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as one, Cache(tmp_path / "c.sqlite") as other:
        one.put(Sent.of(request(1)), answer())
        assert other.get(request(1)) == answer()
        with pytest.raises(RuntimeError), one.transaction():
            one.put(Sent.of(request(2)), answer())
            raise RuntimeError
        assert other.get(request(2)) is None


def test_a_file_that_is_no_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(DataError, match=r"c\.sqlite cannot be used"):
        Cache(tmp_path / "c.sqlite")


def test_nothing_that_was_sent_is_stored(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        secret = Request("label", {"model": "m", "messages": [{"role": "user", "content": "SECRET NAME"}]})
        cache.mark_sent([Sent.of(secret)])
        cache.put(Sent.of(secret), answer())
        cache._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"SECRET" not in (tmp_path / "c.sqlite").read_bytes()
    assert sqlite3.connect(tmp_path / "c.sqlite").execute("SELECT count(*) FROM answers").fetchone() == (1,)
