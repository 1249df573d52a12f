"""The command `polyfact`, in this process or as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

from typer.testing import CliRunner

from polyfact_dataset.cli.app import app
from polyfact_dataset.common.errors import PolyFactError


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


def call(*arguments: object) -> tuple[int, str]:
    """Runs the command line in this process; its exit code and output."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if isinstance(result.exception, PolyFactError):
        return result.exception.exit_code, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def done(*arguments: object) -> str:
    """The output of a command that succeeds."""
    status, output = call(*arguments)
    assert status == 0, output
    return output
