"""Review pages that are served: by the command, and by threads of the test."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from polyfact_dataset.verification.page import launch


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def command(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs the command; its process and the page's address."""
    words = ["verify", "review", "--folder", str(folder), "--port", str(free_port()), *arguments]
    with subprocess.Popen(
        [sys.executable, "-m", "polyfact_dataset.cli", *words], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Review at http://127.0.0.1:"), line
        try:
            yield process, line.split()[2]
        finally:
            process.kill()


@contextmanager
def review(folder: Path, *, code: str = "", reviewer: str = "") -> Iterator[str]:
    """What the command serves, from threads of this process, which loads Gradio once; its address."""
    # The thread of Playwright has an event loop, which Gradio would take for its own.
    with ThreadPoolExecutor(1) as other:
        options = {"reviewer": reviewer, "code": code, "port": free_port(), "first": None}
        page, url = other.submit(launch, folder, **options).result()
        try:
            yield url
        finally:
            other.submit(page.close).result()
