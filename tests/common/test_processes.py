"""Worker processes: none outlives the process that started it."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
