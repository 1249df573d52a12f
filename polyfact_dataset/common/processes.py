"""Worker processes that process batches of rows and return the results in the order of the batches.

A batch is split into tasks of a fixed number of rows, so results do not depend on the number of workers.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any, TypeVar

import pyarrow as pa

from polyfact_dataset.common.signals import leave_to_parent

R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")
_TASK_ROWS = 1_000
# Fewer rows are processed in this process: sending them to workers would take longer.
MANY_ROWS = 4 * _TASK_ROWS


def _end_with_parent() -> None:
    """Ends this process when its parent is gone, since a killed parent cannot stop its workers."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _start(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    leave_to_parent()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*arguments)


def start_processes(count: int, initializer: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """A pool whose processes have started. Forking saves the imports, but is unsafe once other threads run."""
    if sys.platform == "linux" and threading.active_count() == 1:
        context: Any = multiprocessing.get_context("fork")
        # Arrow imports pandas (half a second) at its first list: do that here, not in every process.
        pa.array([None])
    else:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(count, context, _start, (initializer, arguments))
    # All processes start at the first task. Start them now, before this process has threads.
    pool.submit(os.getpid)
    return pool


class _Inherited:
    """What the processes of `map_inheriting` share."""

    value: Any

    @classmethod
    def set(cls, value: Any) -> None:
        cls.value = value

    @classmethod
    def call(cls, function: Callable[[Any, T], R], task: T) -> R:
        return function(cls.value, task)


def map_inheriting(function: Callable[[S, T], R], shared: S, tasks: Sequence[T], count: int) -> list[R]:
    """`function(shared, task)` for every task, in order, in `count` processes that inherit `shared`.

    Where processes are forked, nothing is copied at first, however large `shared` is. Give long tasks first. `function`
    must be defined in a module; with a `count` of 1, this process does the work.
    """
    if min(count, len(tasks)) <= 1:
        return [function(shared, task) for task in tasks]
    # Otherwise the first garbage collection in a process would write to, and thereby copy, all that is shared.
    gc.freeze()
    try:
        with start_processes(min(count, len(tasks)), _Inherited.set, shared) as pool:
            return list(pool.map(_Inherited.call, [function] * len(tasks), tasks))
    finally:
        gc.unfreeze()


class Workers:
    """Processes that are reused by all stages, as a context manager. Until `start`, this process does the work."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the processes, and the threads of this one that serve them."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def start(self) -> None:
        """Starts the processes, unless there is only one to do the work."""
        if self._pool is None and self.count > 1:
            self._pool = start_processes(self.count)

    def map(self, function: Callable[..., R], batches: Iterable[pa.RecordBatch], *arguments: Any) -> Iterator[R]:
        """`function(rows, *arguments)` for every task of the batches; `function` must be defined in a module.

        Arguments are pickled for each task: keep them small.
        """
        tasks = (part for batch in batches for part in _tasks(batch))
        if self._pool is None:
            yield from (function(rows, *arguments) for rows in tasks)
            return
        flying: deque[Future[R]] = deque()
        for rows in tasks:
            flying.append(self._pool.submit(_call, function, _encode(rows), arguments))
            if len(flying) > 2 * self.count:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()


def _tasks(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, batch.num_rows, _TASK_ROWS):
        yield batch.slice(start, _TASK_ROWS)


def _encode(rows: pa.RecordBatch) -> bytes:
    """A copy of the rows: pickling a slice would include its whole batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _call(function: Callable[..., R], rows: bytes, arguments: tuple[Any, ...]) -> R:
    with pa.ipc.open_stream(rows) as reader:
        return function(reader.read_next_batch(), *arguments)
