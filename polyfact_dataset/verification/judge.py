"""`polyfact verify judge`: the sample put to a model; a table for every judge, and its test on planted defects."""

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
from polyfact_dataset.common.files import digest_json, read_json, read_parquet, write_json, write_parquet
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config, bare_url
from polyfact_dataset.llm.batch import Shards, next_folder, take_in
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.protocol import Request
from polyfact_dataset.schema import DRIFT, JUDGEMENTS
from polyfact_dataset.verification.asking import Live, from_cache, uncached
from polyfact_dataset.verification.items import load_facts, load_sample
from polyfact_dataset.verification.judging import FactTask, ItemTask, Judge, Outcome
from polyfact_dataset.verification.selftest import Score, planted_facts, planted_items, score

CACHE_NAME = "model-cache.sqlite"
OPENAI = "https://api.openai.com/v1"
Tasks = Mapping[str, ItemTask | FactTask]


@dataclass(frozen=True)
class Order:
    """What is to be judged: items, or with `parallel` whole facts; `first` so many places of each language only."""

    folder: Path
    parallel: bool = False
    self_test: bool = False
    first: int | None = None


class Work:
    """A judge and its tasks, and where its judgements go."""

    def __init__(self, order: Order, config: Config) -> None:
        self.order, self.config, own = order, config, config.verification
        if not own.model:
            raise ConfigError("no judge is named; give --model, such as --model gpt-4o")
        has_sample = (order.folder / "sample.parquet").is_file()
        if not has_sample and not order.self_test:
            load_sample(order.folder)
        sample = load_sample(order.folder) if has_sample else None
        languages = [asked.language for asked in load_facts(order.folder)[0].items] if sample else config.languages
        self.judge = Judge(own, sample.about["seed"] if sample else config.seed, languages, parallel=order.parallel)
        self.planted = planted_facts(languages) if order.parallel else planted_items()
        self.tasks: Tasks = {}
        if sample is not None:
            items = [item for code in sample.languages for item in sample.of(code, order.first)]
            if order.parallel:
                wanted = {item.fact_id for item in items}
                facts = [fact for fact in load_facts(order.folder) if fact.fact_id in wanted]
                self.tasks = {fact.fact_id: FactTask(fact) for fact in facts}
            else:
                self.tasks = {f"{item.fact_id} {item.language}": ItemTask(item) for item in items}
        self.identity = {
            **own.model_dump(include={"model", "revision", "api", "guided"}),
            "search_tool": own.search_tool if own.searches else "",
            "prompt": self.judge.prompt.version,
            "kind": "parallel" if order.parallel else "judge",
        }

    @property
    def cache_path(self) -> Path:
        """The file with all answers."""
        return self.config.llm.cache or self.order.folder / CACHE_NAME

    @property
    def name(self) -> str:
        """The judge's name among the files: of its model, and of how it is asked."""
        return f"{re.sub(r'[^A-Za-z0-9.]+', '-', self.identity['model'])}-{digest_json(self.identity)[:8]}"

    @property
    def path(self) -> Path:
        """The judge's table."""
        return self.order.folder / ("drift" if self.order.parallel else "judgements") / f"{self.name}.parquet"

    def rows(self, outcomes: Mapping[str, Outcome], cache: Cache) -> list[dict[str, Any]]:
        """Rows of `records.JUDGEMENTS` or `records.DRIFT`."""
        rows: list[dict[str, Any]] = []
        for name, outcome in outcomes.items():
            task, at = self.tasks[name], cache.answered_at(outcome.request)
            date = None if at is None else f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%Y-%m-%d}"
            rows += _rows(task, outcome, date)
        return rows

    def keep(self, rows: Sequence[Mapping[str, Any]], served: Mapping[str, int], tested: Score | None) -> None:
        """Writes the judge's table, with what it said of items that are not in the sample any more, and about it."""
        schema = (DRIFT if self.order.parallel else JUDGEMENTS).schema
        known = {(row["fact_id"], row["language"], row["item"]): row for row in self._earlier()}
        known |= {(row["fact_id"], row["language"], row["item"]): dict(row) for row in rows}
        table = pa.Table.from_pylist([known[key] for key in sorted(known)], schema=schema)
        about = self.path.with_suffix(".json")
        before = read_json(about) if about.is_file() else {}
        test = tested.as_json() if tested else before.get("self_test")
        write_parquet(self.path, table)
        write_json(about, {**self.identity, "served": dict(served), "self_test": test})

    def _earlier(self) -> list[dict[str, Any]]:
        return list(read_parquet(self.path).to_pylist()) if self.path.is_file() else []


def _rows(task: ItemTask | FactTask, outcome: Outcome, date: str | None) -> list[dict[str, Any]]:
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
            "language": asked.language,
            "item": asked.item,
            "question": asked.question,
            "answer_text": asked.answer,
            "problems": list(finding.problems[asked.language]) if finding else None,
            "reason": reason,
            "rationale": finding.notes[asked.language] if finding else "",
            "date": date,
        }
        for asked in task.fact.items
    ]


def reached(config: Config, cached: bool) -> Config:
    """The configuration with the endpoint to ask: the one given, else OpenAI's; none where only the cache is asked.

    Raises `ConfigError` when the variable OPENAI_BASE_URL holds what may not stand in a message.
    """
    url = None if cached else config.llm.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    try:
        bare_url(url)
    except ValueError as error:
        raise ConfigError(f"the environment variable OPENAI_BASE_URL: {error}") from None
    return config.model_copy(update={"llm": config.llm.model_copy(update={"base_url": url})})


def run(order: Order, config: Config, log: Log) -> None:
    """Judges what is not judged yet, and writes the judge's table.

    Raises `DataError` when the judge fails its self-test, `RetryableError` while requests have no answer.
    """
    work = Work(order, config)
    tested: Score | None = None
    everything = [*(work.planted.tasks.values() if order.self_test else ()), *work.tasks.values()]
    with Cache(work.cache_path) as cache:
        missing: set[str] = set()
        if config.llm.base_url is None:
            if order.self_test:
                tested = _tested(
                    work, from_cache(work.judge, work.planted.tasks, cache, lambda r: missing.add(r.key)), missing
                )
            found = from_cache(work.judge, work.tasks, cache, lambda request: missing.add(request.key))
        else:
            left = uncached(work.judge, everything, cache)
            with Live(work.judge, cache, config.llm, log, left) as live:
                try:
                    if order.self_test:
                        tested = _tested(work, live.judge(work.planted.tasks), missing)
                    found = live.judge(work.tasks)
                finally:
                    live.say()
        if work.tasks:
            served = cache.usage(work.identity["model"], work.identity["revision"]).served
            work.keep(work.rows(found, cache), served, tested)
    if work.tasks:
        _show(work, found)
    if len(found) < len(work.tasks) or missing:
        raise RetryableError(_unfinished(work, len(work.tasks) - len(found), missing))


def _tested(work: Work, outcomes: Mapping[str, Outcome], missing: set[str]) -> Score | None:
    """The judge's score on planted defects, shown. Raises `DataError` when it is too low to go on."""
    if len(outcomes) < len(work.planted.tasks):
        if not missing:
            raise RetryableError("requests of the self-test found no answer; everything answered is kept: run again")
        return None
    found, own = score(work.planted, outcomes), work.config.verification
    show_score(found)
    if found.recall < own.min_recall or found.false_alarms > own.max_false_alarms:
        raise DataError(
            f"{own.model} finds {found.recall:.0%} of the planted defects and objects to {found.false_alarms:.0%} of "
            f"the sound items; at least {own.min_recall:.0%} and at most {own.max_false_alarms:.0%} are asked. Nothing "
            "else was judged: take another judge, or set min_recall and max_false_alarms under [verification]"
        )
    return found


def _unfinished(work: Work, left: int, missing: set[str]) -> str:
    if missing:
        return (
            f"{len(missing):,} requests to {work.config.verification.model} have no answer yet. Give --base-url for a "
            f"live endpoint, or ask by batch files: polyfact verify export-batches --folder {work.order.folder}"
        )
    return f"{left:,} found no answer in time; everything answered is kept: run again to ask for the rest"


# ---------------------------------------------------------------- batch files
def write_batches(order: Order, config: Config, to: Path | None, limits: tuple[int, int], again: bool) -> None:
    """Writes the requests without an answer as batch files, but (unless `again`) those that stand in earlier ones."""
    work, waiting = Work(order, config), 0
    seen: set[str] = set()
    with Cache(work.cache_path) as cache:
        shards = Shards(to or next_folder(order.folder / "batches"), cache, max_requests=limits[0], max_bytes=limits[1])

        def take(request: Request) -> None:
            nonlocal waiting
            if request.key in seen:
                return
            seen.add(request.key)
            if not again and cache.waits(request):
                waiting += 1
            else:
                shards.add(request)

        for tasks in ((work.planted.tasks,) if order.self_test else ()) + (work.tasks,):
            from_cache(work.judge, tasks, cache, take)
        paths = shards.close()
    for path in paths:
        print(path)
    if not seen:
        print(f"Nothing is left to ask. Go on with: polyfact verify judge --cached --folder {order.folder}")
        return
    more = f"; {waiting:,} more wait in earlier files (--include-pending writes them once more)" if waiting else ""
    print(f"{shards.written:,} requests to {config.verification.model} in {len(paths)} files{more}", file=sys.stderr)


def read_batches(files: Sequence[Path], folder: Path, cache_path: Path | None) -> None:
    """Takes the answers of batch files into the cache and prints what became of their lines."""
    if cache_path is None and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder of a verification; give the --folder of export-batches")
    take_in(files, cache_path or folder / CACHE_NAME)


# ---------------------------------------------------------------- what is shown
def show_score(found: Score) -> None:
    """Prints what a judge made of the planted defects."""
    table = Table("planted", "items", "objected to", "no judgement", box=None, pad_edge=False)
    for name in found.judged:
        numbers = found.judged[name] + found.unjudged[name], found.flagged[name], found.unjudged[name]
        table.add_row(name, *(f"{number:,}" for number in numbers))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    console.print(table)
    console.print(f"recall {found.recall:.1%}, false alarms {found.false_alarms:.1%}")


def _show(work: Work, found: Mapping[str, Outcome]) -> None:
    """Prints labels, or problems, and what has none."""
    counts: Counter[str] = Counter()
    for outcome in found.values():
        if outcome.finding is None:
            counts[f"unjudged ({outcome.reason})"] += 1
        elif work.order.parallel:
            counts.update(["facts judged", *(p for own in outcome.finding.problems.values() for p in own)])
        else:
            counts[outcome.finding.label] += 1
    listed = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items(), key=lambda e: (-e[1], e[0])))
    print(f"{work.path}: {listed or 'nothing judged'}")
