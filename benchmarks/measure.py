"""Running a command and measuring it: wall and CPU seconds, and the peak memory of all its processes together."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

_SAMPLE_S = 0.05


@dataclass(frozen=True)
class Measured:
    """`peak_mb` counts memory that processes share once (proportional set size). CPU is of all processes."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def _children(pid: int) -> list[int]:
    pids = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                pids += [int(child), *_children(int(child))]
    except OSError:
        pass  # it has ended meanwhile
    return pids


def _pss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0  # it has ended meanwhile
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _cpu_s() -> float:
    """Of all processes that have been started from here, directly or not, and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(command: Sequence[str], *, memory: bool = True, **options: Any) -> Measured:
    """Runs a command to its end. Raises `CalledProcessError` when it fails.

    Reading the `memory` of processes slows them down: where seconds matter it is left out, and 0.
    """
    started, before, peak = time.monotonic(), _cpu_s(), 0.0
    process = subprocess.Popen(command, **options)
    while memory and process.poll() is None:
        peak = max(peak, sum(map(_pss_mb, [process.pid, *_children(process.pid)])))
        time.sleep(_SAMPLE_S)
    process.wait()
    wall = time.monotonic() - started
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Measured(wall, _cpu_s() - before, peak)


def machine(packages: Sequence[str]) -> str:
    """One line about where the numbers were taken."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    listed = ", ".join(f"{package} {version(package)}" for package in packages)
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, {listed}"
