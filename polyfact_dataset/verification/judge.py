"""`polyfact verify judge`: a model judges the sample; one table for every judge, and its self-test."""

from __future__ import annotations

import datetime
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from polyfact_dataset.common.errors import ConfigError, DataError, RetryableError
from polyfact_dataset.common.files import digest_json, read_parquet, write_json, write_parquet
from polyfact_dataset.common.progress import Log
from polyfact_dataset.common.secrets import bare_url
from polyfact_dataset.common.untrusted import read_validated
from polyfact_dataset.config.build import Config
from polyfact_dataset.llm.batch import Shards, import_batches, next_folder
from polyfact_dataset.llm.cache import CACHE_NAME, Cache
from polyfact_dataset.llm.session import LlmSession, new_requests, resolve_cached
from polyfact_dataset.verification.items import load_facts, load_sample, locked
from polyfact_dataset.verification.judging import FactTask, ItemTask, Judge, JudgeOutcome
from polyfact_dataset.verification.schema import DRIFT, JUDGEMENTS
from polyfact_dataset.verification.selftest import Score, planted_facts, planted_items, score
from polyfact_dataset.verification.table import JudgeRecord

OPENAI = "https://api.openai.com/v1"
Tasks = Mapping[str, ItemTask | FactTask]


@dataclass(frozen=True)
class JudgeOptions:
    """The options of a judge: items, or with `parallel` whole facts; only the `first` places of each language."""

    folder: Path
    parallel: bool = False
    self_test: bool = False
    first: int | None = None


class JudgeRun:
    """A judge, its tasks, and the files of its judgements."""

    def __init__(self, options: JudgeOptions, config: Config) -> None:
        self.options, self.config, settings = options, config, config.verification
        if not settings.model:
            raise ConfigError("no judge is named; give --model, such as --model gpt-4o")
        has_sample = (options.folder / "sample.parquet").is_file()
        if not has_sample and not options.self_test:
            load_sample(options.folder)
        sample = load_sample(options.folder) if has_sample else None
        languages = [entry.language for entry in load_facts(options.folder)[0].items] if sample else config.languages
        seed = sample.about["seed"] if sample else config.seed
        self.judge = Judge(settings, seed if config.llm.seed else None, languages, parallel=options.parallel)
        self.planted = planted_facts(languages) if options.parallel else planted_items()
        self.tasks: Tasks = {}
        if sample is not None:
            items = [item for code in sample.languages for item in sample.of(code, options.first)]
            if options.parallel:
                ids = {item.fact_id for item in items}
                facts = [fact for fact in load_facts(options.folder) if fact.fact_id in ids]
                self.tasks = {fact.fact_id: FactTask(fact) for fact in facts}
            else:
                self.tasks = {f"{item.fact_id} {item.language}": ItemTask(item) for item in items}
        self.identity = {
            **settings.model_dump(include={"model", "revision", "api", "guided"}),
            "search_tool": settings.search_tool if settings.searches else "",
            "prompt": self.judge.prompt.version,
            "kind": "parallel" if options.parallel else "judge",
        }

    @property
    def cache_path(self) -> Path:
        """The file with all answers."""
        return self.config.llm.cache or self.options.folder / CACHE_NAME

    @property
    def name(self) -> str:
        """The name of the judge's files: its model and a digest of its settings."""
        return f"{re.sub(r'[^A-Za-z0-9.]+', '-', self.identity['model'])}-{digest_json(self.identity)[:8]}"

    @property
    def path(self) -> Path:
        """The judge's table."""
        return self.options.folder / ("drift" if self.options.parallel else "judgements") / f"{self.name}.parquet"

    def rows(self, outcomes: Mapping[str, JudgeOutcome], cache: Cache) -> list[dict[str, Any]]:
        """Rows of `JUDGEMENTS` or `DRIFT`."""
        rows: list[dict[str, Any]] = []
        for name, outcome in outcomes.items():
            task, at = self.tasks[name], cache.answered_at(outcome.request)
            date = None if at is None else f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%Y-%m-%d}"
            rows += _rows(task, outcome, date)
        return rows

    def save(self, rows: Sequence[Mapping[str, Any]], served: Mapping[str, int], tested: Score | None) -> None:
        """Writes the judge's table, with earlier judgements of items outside the sample, and its description."""
        with locked(self.options.folder):
            self._save(rows, served, tested)

    def _save(self, rows: Sequence[Mapping[str, Any]], served: Mapping[str, int], tested: Score | None) -> None:
        schema = (DRIFT if self.options.parallel else JUDGEMENTS).schema
        known = {(row["fact_id"], row["language"], row["item"]): row for row in self._earlier_rows()}
        known |= {(row["fact_id"], row["language"], row["item"]): dict(row) for row in rows}
        table = pa.Table.from_pylist([known[key] for key in sorted(known)], schema=schema)
        about = self.path.with_suffix(".json")
        previous = read_validated(about, JudgeRecord, "remove it") if about.is_file() else {}
        test = tested.as_json() if tested else previous.get("self_test")
        write_parquet(self.path, table)
        record = {**self.identity, "served": dict(served), "self_test": test}
        JudgeRecord.model_validate(record)
        write_json(about, record)

    def _earlier_rows(self) -> list[dict[str, Any]]:
        return list(read_parquet(self.path).to_pylist()) if self.path.is_file() else []


def _rows(task: ItemTask | FactTask, outcome: JudgeOutcome, date: str | None) -> list[dict[str, Any]]:
    finding, reason = outcome.finding, outcome.reason or None
    if isinstance(task, ItemTask):
        return [
            {
                "fact_id": task.item.fact_id,
                "language": task.item.language,
                "item": task.item.item,
                "question": task.item.question,
                "answer_text": task.item.answer,
                "label": finding.label if finding else None,
                "reason": reason,
                "rationale": finding.rationale if finding else "",
                "urls": list(finding.urls) if finding else [],
                "also_right": list(finding.also_right) if finding else [],
                "searches": finding.searches if finding else 0,
                "date": date,
            }
        ]
    return [
        {
            "fact_id": task.fact.fact_id,
            "language": question.language,
            "item": question.item,
            "question": question.question,
            "answer_text": question.answer,
            "problems": list(finding.problems[question.language]) if finding else None,
            "reason": reason,
            "rationale": finding.notes[question.language] if finding else "",
            "date": date,
        }
        for question in task.fact.items
    ]


def with_endpoint(config: Config, cached: bool) -> Config:
    """The configuration with the endpoint: the configured one, else OpenAI's; None where only the cache is read.

    Raises `ConfigError` when the variable OPENAI_BASE_URL contains credentials.
    """
    url = None if cached else config.llm.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    try:
        bare_url(url)
    except ValueError as error:
        raise ConfigError(f"the environment variable OPENAI_BASE_URL: {error}") from None
    return config.model_copy(update={"llm": config.llm.model_copy(update={"base_url": url})})


def run(options: JudgeOptions, config: Config, log: Log) -> None:
    """Judges the tasks without a judgement and writes the judge's table.

    Raises `DataError` when the judge fails its self-test, `RetryableError` while requests have no answer.
    """
    run = JudgeRun(options, config)
    missing: set[str] = set()
    with Cache(run.cache_path) as cache:
        if config.llm.base_url is None:
            outcomes, tested = _judge(run, cache, None, missing)
        else:
            with LlmSession(cache, config.llm, log, name="judge", unit="judged") as session:
                try:
                    outcomes, tested = _judge(run, cache, session, missing)
                finally:
                    session.log_totals()
        if run.tasks:
            served = cache.usage(run.identity["model"], run.identity["revision"]).served
            run.save(run.rows(outcomes, cache), served, tested)
    if run.tasks:
        _show(run, outcomes)
    if len(outcomes) < len(run.tasks) or missing:
        raise RetryableError(_unfinished(run, len(run.tasks) - len(outcomes), missing))


def _judge(
    run: JudgeRun, cache: Cache, session: LlmSession | None, missing: set[str]
) -> tuple[dict[str, JudgeOutcome], Score | None]:
    """The outcomes of the tasks, and the score of the self-test if there is one; it must be passed first.

    Without a session they are read from the cache, and the keys of unanswered requests are added to `missing`.
    """
    stages: list[Tasks] = [run.planted.tasks, run.tasks] if run.options.self_test else [run.tasks]
    known = [resolve_cached(run.judge.advance, tasks.items(), cache, lambda _: None) for tasks in stages]
    if session is not None:
        session.expect(sum(len(tasks) - len(cached) for tasks, cached in zip(stages, known)))
    tested: Score | None = None
    for tasks, outcomes in zip(stages, known):
        left = [(name, task) for name, task in tasks.items() if name not in outcomes]
        if session is not None:
            outcomes.update(session.resolve(run.judge.advance, left, len(left)))
        else:
            resolve_cached(run.judge.advance, left, cache, lambda request: missing.add(request.key))
        if tasks is run.planted.tasks:
            tested = _tested(run, outcomes, missing)
    return {name: known[-1][name] for name in run.tasks if name in known[-1]}, tested


def _tested(run: JudgeRun, outcomes: Mapping[str, JudgeOutcome], missing: set[str]) -> Score | None:
    """The judge's score in the self-test, printed. Raises `DataError` when it is too low to continue."""
    if len(outcomes) < len(run.planted.tasks):
        if not missing:
            raise RetryableError(
                "requests of the self-test got no answer in time; all answers are kept: rerun the same command"
            )
        return None
    result, settings = score(run.planted, outcomes), run.config.verification
    show_score(result)
    if result.recall < settings.min_recall or result.false_alarms > settings.max_false_alarms:
        raise DataError(
            f"{settings.model} finds {result.recall:.0%} of the planted defects and objects to "
            f"{result.false_alarms:.0%} of the correct items; the limits are {settings.min_recall:.0%} and "
            f"{settings.max_false_alarms:.0%}. Nothing else was judged: choose another judge, or set min_recall and "
            "max_false_alarms under [verification]"
        )
    return result


def _unfinished(run: JudgeRun, left: int, missing: set[str]) -> str:
    if missing:
        return (
            f"{len(missing):,} requests to {run.config.verification.model} have no answer yet. Give --base-url for a "
            f"live endpoint, or use batch files: polyfact verify export-batches --folder {run.options.folder}"
        )
    return f"{left:,} got no answer in time; all answers are kept: rerun the same command to request the rest"


# ---------------------------------------------------------------- batch files
def write_batches(
    options: JudgeOptions,
    config: Config,
    to: Path | None,
    *,
    max_requests: int,
    max_bytes: int,
    include_pending: bool,
) -> None:
    """Writes unanswered requests as batch files and prints their paths.

    Those that are pending in earlier files are left out, unless `include_pending`.
    """
    run = JudgeRun(options, config)
    seen: set[str] = set()
    with Cache(run.cache_path) as cache:
        folder = to or next_folder(options.folder / "batches")
        shards = Shards(folder, cache, max_requests=max_requests, max_bytes=max_bytes, include_pending=include_pending)
        for tasks in ((run.planted.tasks,) if options.self_test else ()) + (run.tasks,):
            resolve_cached(run.judge.advance, tasks.items(), cache, new_requests(shards.add, seen))
        paths = shards.close()
    for path in paths:
        print(path)
    if seen:
        print(shards.summary(config.verification.model), file=sys.stderr)
    else:
        print(f"All requests are answered. Continue with: polyfact verify judge --cached --folder {options.folder}")


def read_batches(files: Sequence[Path], folder: Path, cache_path: Path | None) -> None:
    """Imports the answers of batch files into the cache and prints the counts of lines by outcome."""
    if cache_path is None and not folder.is_dir():
        raise ConfigError(f"{folder} is not a verification folder; give the --folder of export-batches")
    import_batches(files, cache_path or folder / CACHE_NAME)


# ---------------------------------------------------------------- output
def show_score(result: Score) -> None:
    """Prints the result of a self-test."""
    table = Table("planted", "items", "objected to", "no judgement", box=None, pad_edge=False)
    for name in result.judged:
        numbers = result.judged[name] + result.unjudged[name], result.flagged[name], result.unjudged[name]
        table.add_row(name, *(f"{number:,}" for number in numbers))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    console.print(table)
    console.print(f"recall {result.recall:.1%}, false alarms {result.false_alarms:.1%}")


def _show(run: JudgeRun, outcomes: Mapping[str, JudgeOutcome]) -> None:
    """Prints the number of labels or problems, and of tasks without a judgement by reason."""
    counts: Counter[str] = Counter()
    for outcome in outcomes.values():
        if outcome.finding is None:
            counts[f"unjudged ({outcome.reason})"] += 1
        elif run.options.parallel:
            counts.update(["facts judged", *(p for listed in outcome.finding.problems.values() for p in listed)])
        else:
            counts[outcome.finding.label] += 1
    listed = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items(), key=lambda e: (-e[1], e[0])))
    print(f"{run.path}: {listed or 'nothing judged'}")
