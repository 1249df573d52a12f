"""Several commands on one verification folder at once."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polyfact_dataset.common.errors import ConfigError, RetryableError
from polyfact_dataset.common.files import is_temporary, read_json, sweep, write_json
from polyfact_dataset.config.build import load_config
from polyfact_dataset.verification import items, judge, report
from tests.support.judged import sampled

CONFIG = load_config(verification__model="m", verification__api="chat")


def _report(folder: Path) -> None:
    report.run(folder, CONFIG, judge="", drift="", relaxed=False, quiet=True)


def _judge(folder: Path) -> None:
    from polyfact_dataset.common.progress import Log

    with pytest.raises(RetryableError, match="have no answer yet"):
        judge.run(judge.JudgeOptions(folder), judge.with_endpoint(CONFIG, cached=True), Log(quiet=True))


@pytest.mark.parametrize("work", [_report, _judge])
def test_six_at_once_all_succeed(work: Callable[[Path], None], tmp_path: Path) -> None:
    folder = sampled(tmp_path)
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=work, args=(folder,)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 6
    assert not [path for path in folder.rglob("*") if is_temporary(path)]
    tables = [folder / "verification.parquet"] if work is _report else list((folder / "judgements").glob("*.parquet"))
    assert len(tables) == 1 and pq.read_table(tables[0]).num_rows == 0


def test_writers_of_one_file_do_not_use_each_others_temporary_file(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for _ in range(30):
                write_json(tmp_path / "file.json", {"from": number})
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and read_json(tmp_path / "file.json")["from"] in range(6)
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]


def test_a_folder_that_stays_locked_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "_LOCK_WAIT_S", 0.1)
    with items.locked(tmp_path), pytest.raises(ConfigError, match="another command is writing"), items.locked(tmp_path):
        pass


def test_what_a_killed_write_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".a.json.0123abcd.part").touch()
    for name in (".part", ".extract.part", "a.part", ".a.json.0123abcd"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.json.0123abcd", ".extract.part", ".part", "a.part"]
