"""An interrupted command says so in one line, has the signal's exit code, and leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

PROGRAM = """
import asyncio, os, sys, time
import duckdb, typer
from baselines.cli import run as run_alone
from polyfact_dataset.cli.app import run
from polyfact_dataset.cli.guard import Group
from polyfact_dataset.common.processes import start_processes

app = typer.Typer(cls=Group)

@app.callback()
def main() -> None: ...

def started():
    print("started", flush=True)

@app.command()
def sleep() -> None:
    started()
    time.sleep(60)

@app.command()
def query() -> None:
    started()
    duckdb.sql("SELECT sum(hash(a.range)) FROM range(3000) a, range(1000000) b, range(100) c").fetchall()

@app.command()
def endless() -> None:
    # A task of this query does not end: DuckDB would wait for it.
    started()
    duckdb.sql("SELECT sum(hash(a.range)) FROM range(1000000) a, range(1000000) b").fetchall()

@app.command()
def stuck() -> None:
    try:
        started()
        time.sleep(60)
    finally:
        time.sleep(60)

@app.command()
def loop() -> None:
    started()
    asyncio.run(asyncio.sleep(60))

@app.command()
def workers() -> None:
    pool = start_processes(2)
    try:
        tasks = [pool.submit(time.sleep, 0.2) for _ in range(300)]
        started()
        [task.result() for task in tasks]
    finally:
        pool.shutdown(cancel_futures=True)

def alone() -> None:
    sleep()

if __name__ == "__main__":
    sys.exit(run_alone(alone) if sys.argv[1:] == [] else run(app))
"""
LINE = "interrupted; the same command goes on\n"


def _heed() -> None:
    """Signals that this process ignores, as one in the background does, would be ignored by its children."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def interrupted(words: list[str], number: int, *, group: bool) -> tuple[int, str]:
    """Runs the program until it has started, and a little; then exit code and standard error.

    Returns when no process holds the other end of the pipes any more.
    """
    command = [sys.executable, "-c", PROGRAM, *words]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, start_new_session=True, preexec_fn=_heed) as process:
        assert process.stdout is not None and process.stdout.readline() == "started\n"
        time.sleep(0.2)
        os.killpg(process.pid, number) if group else os.kill(process.pid, number)
        _, errors = process.communicate(timeout=50)
    return process.returncode, errors


@pytest.mark.parametrize("work", ["sleep", "query", "endless", "loop", "workers"])
def test_an_interrupt_of_the_terminal_reaches_all_and_is_one_line(work: str) -> None:
    assert interrupted([work], signal.SIGINT, group=True) == (130, f"polyfact: {LINE}")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("work", ["query", "workers"])
def test_other_signals_are_told_too(work: str, number: int, code: int) -> None:
    assert interrupted([work], number, group=False) == (code, f"polyfact: {LINE}")


def test_work_that_does_not_end_is_left() -> None:
    assert interrupted(["stuck"], signal.SIGTERM, group=False) == (143, f"polyfact: {LINE}")


def test_trainers_and_evaluators_too() -> None:
    assert interrupted([], signal.SIGTERM, group=False) == (143, f"error: {LINE}")


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "code"), [("--version", 0), ("stats /nowhere", 2)])
def test_closed_streams_are_no_error(words: str, code: int, closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m polyfact_dataset.cli {words} {closed}', sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code and "Traceback" not in done.stdout + done.stderr
