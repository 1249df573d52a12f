"""The progress of a long task: log lines, or a bar on a terminal."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from polyfact_dataset.common import progress
from polyfact_dataset.common.progress import Log


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_a_line_comes_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s)
    with Log().progress("extract", "MB", total=400) as task:
        task.advance(50)
        assert capsys.readouterr().err == ""
        now_s += progress._LOG_EVERY_S
        task.advance(50, "9 lines")
        task.advance(50)
    rate = 100 / progress._LOG_EVERY_S
    line = f"extract: 100 MB, {rate:,.1f}/s, 25 %, about {300 / rate:,.0f} s left; 9 lines\n"
    assert capsys.readouterr().err == line


def test_on_a_terminal_a_bar_shows_amount_and_note(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = _Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    log = Log()
    log.console = Console(file=shown, force_terminal=True, width=120)
    with log.progress("extract", "MB", total=400) as task:
        task.advance(100, "9 lines [x]")
    assert "extract" in shown.getvalue() and "100 MB" in shown.getvalue() and "9 lines" in shown.getvalue()


def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_LOG_EVERY_S", 0.0)
    log = Log(quiet=True)
    with log.progress("extract", "MB") as task:
        task.advance(1)
    log.line("x")
    assert capsys.readouterr().err == ""
