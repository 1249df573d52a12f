"""Worker processes: none outlives the process that started it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from polyfact_dataset.common.processes import map_inheriting

PROGRAM = """
import os, threading, time
from polyfact_dataset.common.processes import start_processes
if __name__ == "__main__":
    if {threads}:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    pool = start_processes({count})
    pool.submit(os.getpid).result()
    print("started", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_workers_end_when_their_parent_is_killed(count: int, threads: bool) -> None:
    program = PROGRAM.format(count=count, threads=threads)
    # Everyone holds the other end of this pipe: it ends when the last of them does.
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"started\n"
        process.kill()
        assert process.communicate(timeout=20) == (b"", None)


def _power(base: dict[str, int], exponent: int) -> tuple[int, int]:
    return base["base"] ** exponent, os.getpid()


@pytest.mark.parametrize("count", [1, 2])
def test_results_are_in_the_order_of_the_tasks_and_come_from_other_processes(count: int) -> None:
    results = map_inheriting(_power, {"base": 3}, range(7), count)
    assert [value for value, _ in results] == [1, 3, 9, 27, 81, 243, 729]
    assert ({pid for _, pid in results} == {os.getpid()}) is (count == 1)


def test_nothing_to_do_starts_no_process() -> None:
    assert map_inheriting(_power, {"base": 3}, [], 4) == []


def test_an_error_in_a_process_is_raised() -> None:
    with pytest.raises(KeyError, match="base"):
        map_inheriting(_power, {}, [1, 2], 2)
