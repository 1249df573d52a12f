"""The cache of Wikidata's answers damaged in a build: the same build or a clear error, and the next run repairs it."""

from __future__ import annotations

import random
import shutil
import sqlite3
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from polyfact_dataset.common.errors import DataError, RetryableError
from polyfact_dataset.wikidata.api import Client, Outcome
from tests.support.backfilled import build, contents, running_wikidata, settings, write_dump
from tests.support.wikidata_server import Wikidata


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _spoil_pages(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:4096] + random.Random(1).randbytes(len(data) - 4096))


def _spoil_all(path: Path) -> None:
    path.write_bytes(random.Random(2).randbytes(path.stat().st_size))


def _execute(sql: str) -> Callable[[Path], None]:
    def work(path: Path) -> None:
        with closing(sqlite3.connect(path, timeout=5)) as connection, connection:
            connection.execute(sql)

    return work


DAMAGE = {
    "truncated": _truncate,
    "pages": _spoil_pages,
    "everything": _spoil_all,
    "empty": lambda path: path.write_bytes(b""),
    "answers": _execute("UPDATE answers SET entity = x'00' WHERE id = (SELECT min(id) FROM answers)"),
    "no entity": lambda path: _execute(f"UPDATE answers SET entity = x'{zlib.compress(b'[]').hex()}'")(path),
    "no table": _execute("DROP TABLE answers"),
    "another table": _execute("ALTER TABLE answers RENAME COLUMN entity TO other"),
}


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dump(tmp_path_factory.mktemp("dump"))


@pytest.fixture(scope="module")
def wikidata() -> Iterator[Wikidata]:
    """One server for all tests here: its address is part of a build's settings."""
    with running_wikidata() as server:
        yield server


@pytest.fixture(scope="module")
def begun(dump: Path, wikidata: Wikidata, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build up to its candidates, to be copied."""
    out = tmp_path_factory.mktemp("begun") / "build"
    build(dump, out, settings(wikidata), "candidates")
    return out


@pytest.fixture(scope="module")
def calm(begun: Path, dump: Path, wikidata: Wikidata, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a build gives when nothing is damaged, up to the stage that reads the cache."""
    out = shutil.copytree(begun, tmp_path_factory.mktemp("calm") / "build")
    build(dump, out, settings(wikidata), "backfill")
    return contents(out)


@pytest.mark.parametrize("moment", ["between runs", "while it asks"])
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_cache_ends_in_the_same_build_or_is_named(
    kind: str,
    moment: str,
    calm: dict[str, str],
    begun: Path,
    dump: Path,
    wikidata: Wikidata,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, message = shutil.copytree(begun, tmp_path / "build"), ""
    cache = out / "wikidata-cache.sqlite"
    if moment == "between runs":
        wikidata.script = deque(["ok", "503", "503"])
        with pytest.raises(RetryableError):
            build(dump, out, settings(wikidata), "backfill")
        DAMAGE[kind](cache)
    else:
        fetch = Client.fetch

        def spoilt(self: Client, ids: list[str], claims: bool) -> Outcome:
            outcome = fetch(self, ids, claims)
            if not claims:
                DAMAGE[kind](cache)
            return outcome

        monkeypatch.setattr(Client, "fetch", spoilt)
    try:
        build(dump, out, settings(wikidata), "backfill")
    except DataError as error:
        message = str(error)
        assert "remove" in message and ("wikidata-cache.sqlite" in message or "the cached answer for Q" in message)
        cache.unlink()
    monkeypatch.undo()
    build(dump, out, settings(wikidata), "backfill")
    assert contents(out) == calm
    # What leaves a sound, smaller cache passes unnoticed: the rest is asked for anew. So may what was read before.
    assert message or kind in ("empty", "no table") or moment == "while it asks"


def test_a_read_only_cache_is_read_and_refuses_what_is_new(
    dump: Path, wikidata: Wikidata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, part = tmp_path / "whole.sqlite", tmp_path / "part.sqlite"
    build(dump, tmp_path / "calm", settings(wikidata, cache=whole), "backfill")
    wikidata.script = deque(["ok", "503", "503"])
    with pytest.raises(RetryableError):
        build(dump, tmp_path / "build", settings(wikidata, cache=part), "backfill")
    connect = sqlite3.connect
    # As on a read-only disk, for a superuser too.
    monkeypatch.setattr(sqlite3, "connect", lambda path, **how: connect(f"file:{path}?mode=ro", uri=True, **how))
    with pytest.raises(DataError, match=r"part\.sqlite cannot be used \(attempt to write a readonly database\)"):
        build(dump, tmp_path / "build", settings(wikidata, cache=part), "backfill")
    build(dump, tmp_path / "other", settings(wikidata, cache=whole), "backfill")
    assert contents(tmp_path / "other") == contents(tmp_path / "calm")
    monkeypatch.undo()
    build(dump, tmp_path / "build", settings(wikidata, cache=part), "backfill")
    assert contents(tmp_path / "build") == contents(tmp_path / "calm")
