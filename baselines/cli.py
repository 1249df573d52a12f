"""Running a module's `main` as a command: typed options from its signature, expected errors as one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import typer

from polyfact_dataset.cli.guard import Command, guarded
from polyfact_dataset.cli.options import accept_replaced_names
from polyfact_dataset.common.errors import ConfigError


def run(main: Callable[..., Any]) -> int:
    """Runs `main` with the options of the command line; returns the exit code."""
    # Progress bars and notices of libraries would hide our output. Both are read when they are imported.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(cls=Command, context_settings=accept_replaced_names())(main)
    return guarded(app, "error")


def need(extra: str, *modules: str) -> None:
    """Raises `ConfigError` saying which extra to install when one of `modules` is missing."""
    from importlib.util import find_spec

    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} is not installed; run: pip install 'polyfact[{extra}]'")
