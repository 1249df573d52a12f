"""The command `polyfact` as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys


def polyfact(*arguments: object, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-m", "polyfact_dataset.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    if check and result.returncode:
        raise AssertionError(f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result
