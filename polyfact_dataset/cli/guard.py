"""What every command has in common: expected errors and interrupts end in one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from polyfact_dataset.common.errors import PolyFactError
from polyfact_dataset.common.escaping import printable
from polyfact_dataset.common.secrets import redacted
from polyfact_dataset.common.signals import interruptible

_INTERRUPTED = "interrupted; the same command goes on"


class _Stopped(BaseException):
    """An interrupt, passed through typer, which would print a line about `KeyboardInterrupt`."""


class Group(TyperGroup):
    """A group of commands whose interrupts reach `guarded`; its help lists them by panel."""

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        panels: dict[str, list[tuple[str, str]]] = {}
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names), default=0)
        for name in names:
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                panel = getattr(command, "rich_help_panel", None)
                rows = panels.setdefault(panel if isinstance(panel, str) else "Commands", [])
                rows.append((name, command.get_short_help_str(limit)))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Stopped from error


class Command(TyperCommand):
    """A command whose interrupts reach `guarded`."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Stopped from error


def _open_standard_streams() -> None:
    """Opens the null device for streams that the caller closed, so that no other file gets their descriptor."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def guarded(call: Callable[..., Any], prefix: str) -> int:
    """Runs a command; returns its exit code: of its error, or 128 and the number of the signal that ended it."""
    _open_standard_streams()

    def tell(text: str) -> None:
        print(printable(redacted(f"{prefix}: {text}")), file=sys.stderr)

    def give_up(number: int) -> None:
        tell(_INTERRUPTED)
        sys.stderr.flush()
        os._exit(128 + number)

    with interruptible(give_up) as received:
        try:
            call(standalone_mode=True)
        except PolyFactError as error:
            if not received:
                tell(str(error))
                return error.exit_code
        except MemoryError:
            if not received:
                tell("not enough memory; free some, raise its limit, or use fewer --workers, then rerun the command")
                return 1
        except SystemExit as error:
            # A command that ends by itself at an interrupt, such as a server, has not failed.
            if not received or not error.code:
                raise
        except _Stopped:
            received = received or [signal.SIGINT]
        except BaseException:
            if not received:
                raise
        else:
            return 0
        tell(_INTERRUPTED)
        return 128 + received[0]
