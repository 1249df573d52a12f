"""The model's part of stage `questions`: facts resolved from the cache, and by a live endpoint where there is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from polyfact_dataset.common.database import connect
from polyfact_dataset.common.errors import RetryableError
from polyfact_dataset.llm.cache import CACHE_NAME, Cache
from polyfact_dataset.llm.protocol import Request
from polyfact_dataset.llm.session import LlmSession, resolve_cached
from polyfact_dataset.pipeline.context import Context, Report, Tally
from polyfact_dataset.questions.generation import FactInput, FactOutcome, QuestionGenerator
from polyfact_dataset.questions.generation_run import GenerationRun, ResolveFacts, SampledSubjects
from polyfact_dataset.schema import REJECTS, questions


def cache_path(context: Context) -> Path:
    """The file with all answers."""
    return context.config.llm.cache or context.out / CACHE_NAME


def from_cache(generator: QuestionGenerator, cache: Cache, missing: Callable[[Request], object]) -> ResolveFacts:
    """Resolves facts from the cache only; unanswered requests are added to `missing`."""

    def resolve(facts: Iterable[tuple[str, FactInput]], number: int) -> Mapping[str, FactOutcome]:
        del number  # The cache needs no estimate.
        return resolve_cached(generator.advance, facts, cache, missing)

    return resolve


def from_endpoint(generator: QuestionGenerator, session: LlmSession) -> ResolveFacts:
    """Resolves facts with a live endpoint; each is expected to take one request a language."""
    requests_each = len(generator.languages)

    def resolve(facts: Iterable[tuple[str, FactInput]], number: int) -> Mapping[str, FactOutcome]:
        session.expect(number * requests_each)
        return session.resolve(generator.advance, facts, number, requests_each=requests_each)

    return resolve


def write(context: Context, sampled_subjects: SampledSubjects) -> Report:
    """Writes the stage's tables. Raises `RetryableError` while requests have no answer."""
    generator = QuestionGenerator(context.config, context.objections)
    missing: set[str] = set()
    with Cache(cache_path(context)) as cache, connect(context.folder) as connection:
        run = GenerationRun(context, generator, connection, sampled_subjects)
        if context.config.llm.base_url is None:
            if not run.run(from_cache(generator, cache, lambda request: missing.add(request.key))):
                raise RetryableError(
                    f"{len(missing):,} requests to {generator.config.model} have no answer yet. Give --base-url for a "
                    f"live endpoint, or use batch files: polyfact questions export-batches --out {context.out}"
                )
        else:
            with LlmSession(cache, context.config.llm, context.log, name="questions", unit="facts") as session:
                try:
                    finished = run.run(from_endpoint(generator, session))
                finally:
                    session.log_totals()
                if not finished:
                    raise RetryableError(
                        "some requests got no answer in time; all answers are kept: rerun the same command to request "
                        "the rest, or set accept_unanswered = true under [llm] to continue without their facts"
                    )
    return _report(context, generator, run)


def _report(context: Context, generator: QuestionGenerator, run: GenerationRun) -> Report:
    """Writes the tables of a finished run and accounts for every candidate."""
    rows, tally, rejects = run.question_rows(), Tally(), []
    context.write("questions", pa.Table.from_pylist(rows, schema=questions(generator.languages).schema))
    context.write("question_labels", run.labels(rows))
    for fact_id, row in run.candidates.items():
        relation, reason = row["property_id"], run.reason(fact_id)
        tally.count(relation, reason)
        if reason is not None:
            rejects.append({"fact_id": fact_id, "property_id": relation, "reason": reason})
    context.write("rejects", pa.Table.from_pylist(rejects, schema=REJECTS.schema))
    return Report({"questions": len(rows), "rounds": run.rounds, **counts(generator, run)}, tally)


def counts(generator: QuestionGenerator, run: GenerationRun) -> dict[str, Any]:
    """Totals over the outcomes: answers by kind, failures by reason, tokens, sources, served models, prompts."""
    totals: dict[str, Counter[str]] = {
        name: Counter() for name in ("used", "failed", "tokens", "served", "resolved", "sources")
    }
    for outcome in run.outcomes.values():
        for name in ("used", "failed", "tokens", "served", "resolved"):
            totals[name].update(getattr(outcome, name))
        totals["sources"].update(outcome.sources.values())
    return {
        "asked": len(run.outcomes),
        **{name: dict(sorted(counter.items())) for name, counter in totals.items()},
        "model": generator.config.model,
        "revision": generator.config.revision,
        "prompts": {name: prompt.version for name, prompt in generator.prompts.items()},
    }
