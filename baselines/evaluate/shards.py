"""Resumable work: the rows of each shard are written when it is done, and a restarted run computes the others.

Under `accelerate launch` the shards are distributed over the processes; all of them must have access to the folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from baselines import lockstep
from baselines.models import processes
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import digest_json, read_json, read_parquet, remove, write_json, write_parquet
from polyfact_dataset.common.progress import Log

_SECONDS = b"seconds"


def cut(total: int) -> list[slice]:
    """Shards of `total` rows: some 32 of them, none smaller than 64 rows (but the last) or larger than 2048."""
    size = min(max(64, -(-total // 32)), 2048)
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def units_of(part: slice) -> range:
    """The numbers of the rows of a shard."""
    return range(part.start, part.stop)


def _changed(note: Path, identity: dict[str, Any]) -> list[str]:
    """The names in `identity` whose values differ from those of the run that wrote `note`."""
    earlier = read_json(note)
    if earlier["key"] == digest_json(identity):
        return []
    return [name for name in identity if earlier["identity"].get(name) != identity[name]] or ["settings"]


class Shards:
    """The shards of one run in `<output>.parts`. `identity` is everything that the rows depend on.

    Raises `ConfigError` when the folder holds shards of a run with another identity; `overwrite` removes those.
    """

    def __init__(self, output: Path, identity: dict[str, Any], overwrite: bool = False) -> None:
        self.folder = output.with_name(f"{output.name}.parts")
        self._state = processes()
        note = self.folder / "run.json"
        started = note.is_file() and any(self.folder.glob("*.parquet"))
        changed = _changed(note, identity) if started else []
        self._state.wait_for_everyone()
        if changed and not overwrite:
            raise ConfigError(
                f"{self.folder} holds part of another run (other {', '.join(changed)}); "
                "choose another --output, or add --overwrite to remove it"
            )
        if self.main and (changed or not started):
            self.remove()
            write_json(note, {"key": digest_json(identity), "identity": identity})
        self._state.wait_for_everyone()

    @property
    def processes(self) -> int:
        """Processes that share the work."""
        return int(self._state.num_processes)

    @property
    def main(self) -> bool:
        """Whether this process writes the result."""
        return bool(self._state.is_main_process)

    def run(self, count: int, compute: Callable[[int], pa.Table], what: str, quiet: bool) -> None:
        """Computes what is missing of shards 0 to `count` - 1, then waits for the other processes."""
        assigned = range(self._state.process_index, count, self.processes)
        with Log(quiet=quiet).progress(what, "shards", len(assigned)) as task:
            for number in assigned:
                path = self._path(number)
                if not path.is_file():
                    start = time.perf_counter()
                    rows = compute(number)
                    seconds = time.perf_counter() - start
                    metadata = {**(rows.schema.metadata or {}), _SECONDS: repr(seconds).encode()}
                    write_parquet(path, rows.replace_schema_metadata(metadata))
                task.advance()
        lockstep.finish()
        self._state.wait_for_everyone()

    def tables(self, count: int) -> tuple[list[pa.Table], float]:
        """The rows of each shard, and the seconds they took, summed over processes."""
        tables = [read_parquet(self._path(number)) for number in range(count)]
        return tables, sum(float(table.schema.metadata[_SECONDS]) for table in tables)

    def collect(self, count: int) -> tuple[pa.Table, float]:
        """All rows in the order of the shards, and the seconds they took, summed over processes."""
        tables, seconds = self.tables(count)
        return pa.concat_tables(table.replace_schema_metadata(None) for table in tables), seconds

    def remove(self) -> None:
        """Removes the folder, once the result is written."""
        remove(self.folder)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05}.parquet"
