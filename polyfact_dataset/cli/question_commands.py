"""`polyfact questions export-batches`, `import-batches` and `status`: questions by batch files, and their progress.

They take the configuration from the build folder, so that their requests are exactly those that the build needs. None
of them changes a stage.
"""

from __future__ import annotations

import datetime
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from polyfact_dataset.cli.options import QuestionOptions
from polyfact_dataset.common.database import connect
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import write_text
from polyfact_dataset.common.processes import Workers
from polyfact_dataset.common.progress import Log
from polyfact_dataset.common.untrusted import shown
from polyfact_dataset.config.build import Config
from polyfact_dataset.items.selection import sampled_subjects
from polyfact_dataset.llm.batch import MAX_BYTES, Shards, import_batches, next_folder
from polyfact_dataset.llm.cache import CACHE_NAME, Cache
from polyfact_dataset.llm.cluster import ClusterConfig, ClusterRun, latest_run
from polyfact_dataset.llm.protocol import Request
from polyfact_dataset.llm.session import new_requests
from polyfact_dataset.pipeline.build_dir import locked, read_manifest
from polyfact_dataset.pipeline.context import Context, Inputs, Previous
from polyfact_dataset.pipeline.executors import Executor, load_executor_config
from polyfact_dataset.pipeline.inputs import read_objections, read_previous
from polyfact_dataset.pipeline.stages import QUESTIONS
from polyfact_dataset.questions.generation import QuestionGenerator
from polyfact_dataset.questions.generation_run import GenerationRun
from polyfact_dataset.questions.model_questions import cache_path, counts, from_cache
from polyfact_dataset.release.reader import locate


def _config(out: Path) -> tuple[Config, dict[str, Any]]:
    """The configuration of the build in a folder, and its manifest."""
    if not (out / "manifest.json").is_file():
        raise ConfigError(
            f"{out} contains no build; start one with: polyfact build --questions model --model ... --out"
        )
    manifest = read_manifest(out)
    try:
        config = Config.model_validate(manifest["build"]["config"])
    except (ValidationError, KeyError, TypeError) as error:
        raise DataError(
            f"{out}/manifest.json was written by another version of polyfact ({shown(error)}); rebuild"
        ) from error
    if config.questions.source != "model":
        raise ConfigError(
            f"the build in {out} has template questions; questions by a model need --questions model --model ..."
        )
    return config, manifest


@contextmanager
def _generation_run(build: QuestionOptions) -> Iterator[tuple[GenerationRun, QuestionGenerator, Cache]]:
    """The state of a build's questions. Raises `ConfigError` when the build has not reached them."""
    out, previous, objections = build.out, build.previous, build.objections
    config, manifest = _config(out)
    lacking = [name for name in QUESTIONS.depends_on if name not in manifest["stages"]]
    if lacking:
        raise ConfigError(f"the build in {out} has not reached its questions: {lacking[0]} is next; run polyfact build")
    inputs = Inputs(
        config=config.model_copy(update={"llm": config.llm.model_copy(update={"cache": build.model_cache})}),
        dump=None,
        dump_identity=manifest["build"]["dump"],
        previous=read_previous(locate(str(previous))) if previous is not None else Previous(),
        objections=read_objections(objections) if objections is not None else {},
    )
    for name, digest in inputs.digests().items():
        if manifest["build"][name] != digest:
            raise ConfigError(f"the build in {out} was started with another --{name}; give the same value")
    with tempfile.TemporaryDirectory(prefix=".questions.", dir=out / "stages") as folder:
        context = Context(inputs, out, Log(quiet=True), Path(folder), manifest, Workers(1))
        generator = QuestionGenerator(context.config, context.objections)
        with Cache(cache_path(context)) as cache, connect(context.folder) as connection:
            yield GenerationRun(context, generator, connection, sampled_subjects), generator, cache


def write_batches(
    build: QuestionOptions, to: Path | None, max_requests: int, max_bytes: int, include_pending: bool
) -> None:
    """Writes the next requests as batch files and prints their paths and the next command.

    Those that are pending in earlier files are left out, unless `include_pending`.
    """
    with locked(build.out), _generation_run(build) as (run, generator, cache):
        folder = to or next_folder(build.out / "batches")
        shards = Shards(folder, cache, max_requests=max_requests, max_bytes=max_bytes, include_pending=include_pending)
        finished = run.run(from_cache(generator, cache, new_requests(shards.add, set())))
        paths = shards.close()
    if finished:
        print(f"All requests are answered. Continue with: polyfact build, with the options of the build in {build.out}")
    for path in paths:
        print(path)
    if not finished:
        print(shards.summary(generator.config.model), file=sys.stderr)


def read_batches(files: Sequence[Path], out: Path, model_cache: Path | None) -> None:
    """Imports the answers of batch files into the cache and prints the counts of lines by outcome."""
    if model_cache is None and not out.is_dir():
        raise ConfigError(f"{out} is not a build folder; give the --out of export-batches")
    intake = import_batches(files, model_cache or out / CACHE_NAME)
    if intake.counts["unknown"]:
        print("unknown lines answer requests that were not written with this --out", file=sys.stderr)


def run_cluster(
    build: QuestionOptions,
    executor: Executor,
    tasks: int,
    config: Path,
) -> None:
    """Answers the remaining requests with datatrove, round by round; an unfinished run is resumed first.

    On SLURM one round is submitted; the command is repeated when its jobs have ended.
    """
    settings, parent = load_executor_config(config, ClusterConfig), build.out / "cluster"
    while True:
        run = latest_run(parent)
        if run is not None and not (run.folder / "imported").is_file():
            if run.finished_tasks < run.tasks:
                try:
                    run.execute(executor, settings)
                finally:
                    if run.answers:
                        read_batches(run.answers, build.out, build.model_cache)
                if run.finished_tasks < run.tasks:
                    print(f"submitted; when the jobs have ended, rerun the same command ({run.folder})")
                    return
            else:
                read_batches(run.answers, build.out, build.model_cache)
            write_text(run.folder / "imported", "")
        folder = next_folder(parent)
        write_batches(build, folder / "requests", 50_000, MAX_BYTES, True)
        files = sorted((folder / "requests").glob("*.jsonl"))
        if not files:
            return
        ClusterRun.begin(folder, files, tasks)


def status(build: QuestionOptions) -> None:
    """Prints the progress of a build's questions, from the files on disk."""
    with _generation_run(build) as (run, generator, cache):
        in_files = 0

        def take(request: Request) -> None:
            nonlocal in_files
            in_files += cache.waits(request)

        left: set[str] = set()
        finished = run.run(from_cache(generator, cache, new_requests(take, left)))
        usage = cache.usage(generator.config.model, generator.config.revision)
    totals = counts(generator, run)
    kept = sum(outcome.reason is None for outcome in run.outcomes.values())
    dropped = Counter(_plain(outcome.reason) for outcome in run.outcomes.values() if outcome.reason is not None)
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, text in (
        ("model", f"{generator.config.model} {generator.config.revision}".strip()),
        ("round", f"{run.rounds}" + (", the last" if finished else "")),
        ("facts", f"{len(run.outcomes):,} finished, {kept:,} kept, {len(run.outcomes) - kept:,} dropped"),
        ("dropped", _listed(dropped)),
        ("answers", _listed(totals["used"])),
        ("invalid", _listed(totals["failed"])),
        ("left", "nothing" if finished else f"{len(left):,} requests now ({in_files:,} in batch files)"),
        ("tokens", f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} in {usage.answers:,} answers of all builds"),
        ("speed", f"{usage.answers_per_s:,.1f} answers/s, {usage.tokens_per_s:,.0f} tokens/s"),
        ("end", _end(len(left), usage.answers_per_s) if not finished else _reached(build.out)),
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
    """The next step once everything is answered."""
    written = QUESTIONS.name in read_manifest(out)["stages"]
    return "reached" if written else "reached; continue with: polyfact build"


def _end(left: int, per_s: float) -> str:
    """The expected end of the remaining requests at the speed of the last ten minutes of work."""
    if not per_s:
        return "unknown: no answers yet"
    end = datetime.datetime.now() + datetime.timedelta(seconds=left / per_s)
    return f"about {end:%Y-%m-%d %H:%M} for the remaining requests; failed ones are retried after them"
