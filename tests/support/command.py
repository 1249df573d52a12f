"""The command `polyfact`, in this process or in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys

from click.testing import Result
from typer.testing import CliRunner

from polyfact_dataset.cli.app import app
from polyfact_dataset.common.errors import PolyFactError
from polyfact_dataset.common.escaping import printable


def polyfact(*arguments: object, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line: in this process, or in a separate one where variables of its environment are given.

    Libraries and models that a command needs are loaded once for all tests of a process.
    """
    if environment:
        return process(*arguments, check=check, **environment)
    result, error = _invoked(arguments)
    code, errors = result.exit_code, result.stderr
    if error is not None:
        code, errors = error.exit_code, f"{errors}polyfact: {printable(str(error))}\n"
    return _checked(subprocess.CompletedProcess(arguments, code, result.stdout, errors), check)


def process(*arguments: object, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a separate process, with further variables of the environment."""
    result = subprocess.run(
        [sys.executable, "-m", "polyfact_dataset.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return _checked(result, check)


def _checked(result: subprocess.CompletedProcess[str], check: bool) -> subprocess.CompletedProcess[str]:
    if check and result.returncode:
        raise AssertionError(f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result


def call(*arguments: object) -> tuple[int, str]:
    """Runs the command line in this process; its exit code and output."""
    result, error = _invoked(arguments)
    return (result.exit_code, result.output) if error is None else (error.exit_code, str(error))


def _invoked(arguments: tuple[object, ...]) -> tuple[Result, PolyFactError | None]:
    """The command line run in this process, and the expected error that ended it; others are raised."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if isinstance(result.exception, PolyFactError):
        return result, result.exception
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result, None


def done(*arguments: object) -> str:
    """The output of a command that succeeds."""
    status, output = call(*arguments)
    assert status == 0, output
    return output
