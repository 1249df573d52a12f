"""`polyfact questions export-batches`, `import-batches` and `status`: questions by batch files, and how far they are.

They take the configuration from the build folder, so that what they ask is what the build will look for. None of them
changes a stage.
"""

from __future__ import annotations

import datetime
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from polyfact_dataset.common.database import connect
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.common.processes import Workers
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config
from polyfact_dataset.items.selection import sampled_subjects
from polyfact_dataset.llm.batch import Shards, next_folder, take_in
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.protocol import Request
from polyfact_dataset.pipeline.build_dir import locked
from polyfact_dataset.pipeline.context import Context, Inputs
from polyfact_dataset.pipeline.inputs import previous_splits, read_objections
from polyfact_dataset.pipeline.stages import QUESTIONS
from polyfact_dataset.questions.generation import Asking
from polyfact_dataset.questions.generation_run import Writing
from polyfact_dataset.questions.online_runner import CACHE_NAME, cache_path, counts, settle_cached
from polyfact_dataset.release.reader import locate


def _config(out: Path) -> tuple[Config, dict[str, Any]]:
    """The configuration of the build in a folder, and its manifest."""
    if not (out / "manifest.json").is_file():
        raise ConfigError(f"{out} holds no build; begin one with: polyfact build --questions model --model ... --out")
    manifest = read_json(out / "manifest.json")
    try:
        config = Config.model_validate(manifest["build"]["config"])
    except (ValidationError, KeyError, TypeError) as error:
        raise DataError(f"{out}/manifest.json is of another version of polyfact ({error}); build anew") from error
    if config.questions.source != "model":
        raise ConfigError(f"the build in {out} has template questions; a model's need --questions model --model ...")
    return config, manifest


@contextmanager
def _writing(
    out: Path, previous: Path | None, objections: Path | None, model_cache: Path | None
) -> Iterator[tuple[Writing, Asking, Cache]]:
    """The state of a build's questions. Raises `ConfigError` when the build has not come that far."""
    config, manifest = _config(out)
    lacking = [name for name in QUESTIONS.depends_on if name not in manifest["stages"]]
    if lacking:
        raise ConfigError(f"the build in {out} has not come to its questions: {lacking[0]} is next; run polyfact build")
    inputs = Inputs(
        config=config.model_copy(update={"llm": config.llm.model_copy(update={"cache": model_cache})}),
        dump=None,
        dump_identity=manifest["build"]["dump"],
        previous=previous_splits(locate(str(previous))) if previous is not None else {},
        objections=read_objections(objections) if objections is not None else {},
    )
    for name, digest in inputs.digests().items():
        if manifest["build"][name] != digest:
            raise ConfigError(f"the build in {out} was begun with another --{name}; give the same here")
    with tempfile.TemporaryDirectory(prefix=".questions.", dir=out / "stages") as folder:
        context = Context(inputs, out, Log(quiet=True), Path(folder), manifest, Workers(1))
        asking = Asking(context.config, context.objections)
        with Cache(cache_path(context)) as cache, connect(context.folder) as connection:
            yield Writing(context, asking, connection, sampled_subjects), asking, cache


def write_batches(
    out: Path,
    to: Path | None,
    max_requests: int,
    max_bytes: int,
    again: bool,
    previous: Path | None,
    objections: Path | None,
    model_cache: Path | None,
) -> None:
    """Writes what is to be asked next, but (unless `again`) what stands in earlier files, and says what to do then."""
    waiting = 0
    with locked(out), _writing(out, previous, objections, model_cache) as (writing, asking, cache):
        folder = to or next_folder(out / "batches")
        shards = Shards(folder, cache, max_requests=max_requests, max_bytes=max_bytes)

        def take(request: Request) -> None:
            nonlocal waiting
            if not again and cache.waits(request):
                waiting += 1
            else:
                shards.add(request)

        finished = writing.run(settle_cached(asking, cache, _Once(take)))
        paths = shards.close()
    if finished:
        print(f"Nothing is left to ask. Go on with: polyfact build, with the options of the build in {out}")
    for path in paths:
        print(path)
    if not finished:
        more = f"; {waiting:,} more wait in earlier files (--include-pending writes them once more)" if waiting else ""
        print(f"{shards.written:,} requests to {asking.config.model} in {_files(len(paths))}{more}", file=sys.stderr)


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number:,} files"


class _Once:
    """Passes each request on once."""

    def __init__(self, take: Callable[[Request], None]) -> None:
        self._take, self._seen = take, set[bytes]()

    def __call__(self, request: Request) -> None:
        key = bytes.fromhex(request.key)
        if key not in self._seen:
            self._seen.add(key)
            self._take(request)

    def __len__(self) -> int:
        return len(self._seen)


def read_batches(files: Sequence[Path], out: Path, model_cache: Path | None) -> None:
    """Takes the answers of batch files into the cache and prints what became of their lines."""
    if model_cache is None and not out.is_dir():
        raise ConfigError(f"{out} is no build folder; give the --out of export-batches")
    intake = take_in(files, model_cache or out / CACHE_NAME)
    if intake.counts["unknown"]:
        print("unknown lines answer requests that were not written with this --out", file=sys.stderr)


def status(out: Path, previous: Path | None, objections: Path | None, model_cache: Path | None) -> None:
    """Prints how far the questions of a build are; reads only what is on disk."""
    with _writing(out, previous, objections, model_cache) as (writing, asking, cache):
        in_files = 0

        def take(request: Request) -> None:
            nonlocal in_files
            in_files += cache.waits(request)

        left = _Once(take)
        finished = writing.run(settle_cached(asking, cache, left))
        usage = cache.usage(asking.config.model, asking.config.revision)
    found = counts(asking, writing)
    kept = sum(settled.reason is None for settled in writing.settled.values())
    dropped = Counter(_plain(settled.reason) for settled in writing.settled.values() if settled.reason is not None)
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, text in (
        ("model", f"{asking.config.model} {asking.config.revision}".strip()),
        ("round", f"{writing.rounds}" + (", the last" if finished else "")),
        ("facts", f"{len(writing.settled):,} settled, {kept:,} kept, {len(writing.settled) - kept:,} dropped"),
        ("dropped", _listed(dropped)),
        ("answers", _listed(found["used"])),
        ("unusable", _listed(found["failed"])),
        ("left", "nothing" if finished else f"{len(left):,} requests now ({in_files:,} in batch files)"),
        ("tokens", f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} in {usage.answers:,} answers of all builds"),
        ("speed", f"{usage.answers_per_s:,.1f} answers/s, {usage.tokens_per_s:,.0f} tokens/s"),
        ("end", _end(len(left), usage.answers_per_s) if not finished else _reached(out)),
        ("served as", _listed(usage.served)),
    ):
        table.add_row(name, text or "–")
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def _plain(reason: str) -> str:
    return reason.partition(":")[0]


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{name} {number:,}" for name, number in ordered)


def _reached(out: Path) -> str:
    """What is to be done once everything is answered."""
    written = QUESTIONS.name in read_json(out / "manifest.json")["stages"]
    return "reached" if written else "reached; go on with: polyfact build"


def _end(left: int, per_s: float) -> str:
    """When the requests that are left now will be answered at the speed of the last ten minutes of work."""
    if not per_s:
        return "unknown: nothing was answered yet"
    end = datetime.datetime.now() + datetime.timedelta(seconds=left / per_s)
    return f"about {end:%Y-%m-%d %H:%M} for what is left now; failures are asked again after it"
