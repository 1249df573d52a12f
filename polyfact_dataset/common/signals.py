"""Interrupts: SIGINT, SIGTERM and SIGHUP end a command in the same way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# Service managers also kill a process some time after they ask it to end.
_PATIENCE_S = 8.0


class Interrupted(KeyboardInterrupt):
    """Raised in the main thread by one of the signals."""


@contextmanager
def interruptible(give_up: Callable[[int], None]) -> Iterator[list[int]]:
    """Raises `Interrupted` at the first signal, which is then in the list: libraries may raise another exception.

    `give_up` is called with the signal in another thread when the work has not ended after `_PATIENCE_S`: DuckDB waits
    for the tasks of an interrupted query. A second signal ends the process at once. Ignored signals stay ignored
    (nohup).
    """
    received: list[int] = []
    timers: list[threading.Timer] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    process = os.getpid()

    def handle(number: int, _: FrameType | None) -> None:
        if os.getpid() != process:
            # A worker that has just been forked.
            os._exit(128 + number)
        received.append(number)
        for other in _SIGNALS:
            signal.signal(other, signal.SIG_DFL)
        timer = threading.Timer(_PATIENCE_S, give_up, (number,))
        timer.daemon = True
        timer.start()
        timers.append(timer)
        raise Interrupted

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield received
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_to_parent() -> None:
    """Called in a worker process: its parent reacts to an interrupt from the terminal, which both receive."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
