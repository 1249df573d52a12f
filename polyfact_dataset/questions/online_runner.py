"""The model's part of stage `questions`: facts settled from the cache, and by a live endpoint where there is one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from polyfact_dataset.common.database import connect
from polyfact_dataset.common.errors import RetryableError
from polyfact_dataset.llm.budget import Meter
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.client import Client, each
from polyfact_dataset.llm.openai_engine import OpenAIEngine
from polyfact_dataset.llm.protocol import Answer, Request, Unanswered
from polyfact_dataset.pipeline.context import Context, Report, Tally
from polyfact_dataset.questions.generation import Asking, Fact, Settled
from polyfact_dataset.questions.generation_run import SampledSubjects, Settle, Writing
from polyfact_dataset.schema import REJECTS, questions

CACHE_NAME = "model-cache.sqlite"


def cache_path(context: Context) -> Path:
    """The file with all answers."""
    return context.config.llm.cache or context.out / CACHE_NAME


def settle_cached(asking: Asking, cache: Cache, missing: Callable[[Request], None]) -> Settle:
    """Settles facts from the cache alone; `missing` gets every request that has no answer."""

    def settle(facts: Iterable[Fact], number: int) -> Mapping[str, Settled]:
        found = {}
        for fact in facts:
            step = asking.advance(fact, cache.get)
            if isinstance(step, Settled):
                found[fact.fact_id] = step
            else:
                for request in step:
                    missing(request)
        return found

    return settle


class Live:
    """Settles facts with a live endpoint; use it in a `with` block, outside any event loop."""

    def __init__(self, context: Context, asking: Asking, cache: Cache) -> None:
        self._context, self._asking, self._cache = context, asking, cache
        self._config = context.config.llm
        self._runner = asyncio.Runner()
        self._left = 0
        self._retries: Counter[str] = Counter()
        self._meter = Meter(self._config, context.log, lambda: self._left * len(asking.languages))

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def settle(self, facts: Iterable[Fact], number: int) -> Mapping[str, Settled]:
        """Settles facts; those with a request that found no answer in time are left out."""
        return self._runner.run(self._settle(facts, number))

    async def _settle(self, facts: Iterable[Fact], number: int) -> Mapping[str, Settled]:
        found: dict[str, Settled] = {}
        self._left = number
        engine = OpenAIEngine(self._config, self._retries)
        try:
            await engine.check()
            client = Client(self._cache, engine, self._config, self._meter)
            with self._context.log.progress("questions", "facts", number) as task:

                async def work(fact: Fact) -> None:
                    settled = await self._one(fact, client)
                    if settled is not None:
                        found[fact.fact_id] = settled
                    self._left -= 1
                    task.advance()

                await each(facts, work, self._config.in_flight)
        finally:
            await engine.close()
        return found

    async def _one(self, fact: Fact, client: Client) -> Settled | None:
        """What becomes of one fact; None when a request found no answer in time."""
        unstored: dict[str, Answer] = {}

        def lookup(request: Request) -> Answer | None:
            return unstored.get(request.key) or self._cache.get(request)

        while not isinstance(step := self._asking.advance(fact, lookup), Settled):
            answers = await asyncio.gather(*map(client.answer, step), return_exceptions=True)
            for request, answer in zip(step, answers):
                if isinstance(answer, Answer) and answer.status != 200:
                    unstored[request.key] = answer
                elif isinstance(answer, BaseException) and not isinstance(answer, Unanswered):
                    raise answer
            if any(isinstance(answer, Unanswered) for answer in answers):
                return None
        return step

    def say(self) -> None:
        """Logs what was asked in all."""
        meter = self._meter
        if meter.done:
            tokens = f"{meter.prompt_tokens:,} + {meter.completion_tokens:,} tokens"
            spent = f", {meter.spent_usd:,.2f} USD" if meter.spent_usd else ""
            again = ", ".join(f"{reason} {number:,}" for reason, number in self._retries.most_common())
            self._context.log.line(
                f"questions: {meter.done:,} requests, {tokens}{spent}" + (f"; tried again: {again}" if again else "")
            )


def write(context: Context, sampled_subjects: SampledSubjects) -> Report:
    """Writes the stage's tables. Raises `RetryableError` while requests have no answer."""
    asking = Asking(context.config, context.objections)
    missing: set[str] = set()
    with Cache(cache_path(context)) as cache, connect(context.folder) as connection:
        writing = Writing(context, asking, connection, sampled_subjects)
        if context.config.llm.base_url is None:
            if not writing.run(settle_cached(asking, cache, lambda request: missing.add(request.key))):
                raise RetryableError(
                    f"{len(missing):,} requests to {asking.config.model} have no answer yet. Give --base-url for a "
                    f"live endpoint, or ask by batch files: polyfact questions export-batches --out {context.out}"
                )
        else:
            with Live(context, asking, cache) as live:
                finished = writing.run(live.settle)
                live.say()
                if not finished:
                    raise RetryableError(
                        "some requests found no answer in time; everything answered is kept: run again to ask for "
                        "the rest, or set accept_unanswered = true under [llm] to go on without their facts"
                    )
    return _report(context, asking, writing)


def _report(context: Context, asking: Asking, writing: Writing) -> Report:
    """Writes the tables of a finished run and accounts for every candidate."""
    rows, tally, rejects = writing.question_rows(), Tally(), []
    context.write("questions", pa.Table.from_pylist(rows, schema=questions(asking.languages).schema))
    context.write("question_labels", writing.labels(rows))
    for fact_id, row in writing.candidates.items():
        relation, reason = row["property_id"], writing.reason(fact_id)
        tally.input[relation] += 1
        if reason is None:
            tally.kept[relation] += 1
        else:
            tally.rejected.setdefault(relation, Counter())[reason] += 1
            rejects.append({"fact_id": fact_id, "property_id": relation, "reason": reason})
    context.write("rejects", pa.Table.from_pylist(rejects, schema=REJECTS.schema))
    return Report({"questions": len(rows), "rounds": writing.rounds, **counts(asking, writing)}, tally)


def counts(asking: Asking, writing: Writing) -> dict[str, Any]:
    """What the settled facts took: answers by kind, failures by reason, tokens, sources, who served, prompts."""
    totals: dict[str, Counter[str]] = {
        name: Counter() for name in ("used", "failed", "tokens", "served", "resolved", "sources")
    }
    for settled in writing.settled.values():
        for name in ("used", "failed", "tokens", "served", "resolved"):
            totals[name].update(getattr(settled, name))
        totals["sources"].update(settled.sources.values())
    return {
        "asked": len(writing.settled),
        **{name: dict(sorted(counter.items())) for name, counter in totals.items()},
        "model": asking.config.model,
        "revision": asking.config.revision,
        "prompts": {name: prompt.version for name, prompt in asking.prompts.items()},
    }
