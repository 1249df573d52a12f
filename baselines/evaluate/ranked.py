"""Ranking of candidate answers by a causal model, with pools of any size: KLAR's objects, BMLAMA's candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from baselines.evaluate import common, results
from baselines.evaluate.attributes import ItemAttributes, append
from baselines.evaluate.common import Run
from baselines.evaluate.engines import Request
from baselines.evaluate.mcq import normalisations_of, scores_table
from baselines.evaluate.shards import cut, units_of
from baselines.evaluate.summary import summarise_choices


@dataclass(frozen=True, slots=True)
class Pool:
    """A prompt in a language and its candidates: aligned id -> the text to score, separator included."""

    fact_id: str
    group: str
    language: str
    prompt: str
    candidates: Mapping[str, str]
    gold: str

    @property
    def name(self) -> str:
        """How errors name it."""
        return f"{self.fact_id} in {self.language}"


def rank_all(
    run: Run,
    kind: results.Kind,
    pools: Sequence[Pool],
    data: results.Data,
    prompt: results.Prompt,
    settings: dict[str, Any],
    boundary: str = "exact",
) -> results.Result | None:
    """Scores every candidate and writes the result; None in processes other than the first.

    `boundary` is exact: candidates of a pool share their prompt, and none may lose its beginning to it.
    """
    engine = run.started()
    requests = [Request(pool.name, pool.prompt, tuple(pool.candidates.values())) for pool in pools]
    job = engine.score_job(requests, boundary, "auto")
    shards = cut(job.units)
    settings = {**settings, "engine": engine.name, "chat": False, "boundary": boundary, **job.settings}
    work = run.shards(kind, data, prompt, settings)
    work.run(len(shards), lambda shard: scores_table(job.run(units_of(shards[shard]))), "scoring", run.quiet)
    if not work.main:
        return None
    scored, seconds = work.collect(len(shards))
    latency = common.latency(job.alone, range(len(pools)))
    table = ranked_table(kind, pools, scored, job.prompt_tokens)
    return run.finish(
        work,
        table,
        metrics=summarise_choices(table, data.languages, normalisations_of(table)),
        counts=job.counts,
        speed=common.speed(len(pools), seconds + job.seconds, work.processes, latency),
    )


def ranked_table(
    kind: results.Kind, pools: Sequence[Pool], scored: pa.Table, prompt_tokens: Sequence[int | None]
) -> pa.Table:
    """Joins the log-probabilities to their pools: rows of `results.CHOICES`."""
    scored = scored.sort_by([("index", "ascending"), ("number", "ascending")])
    columns: dict[str, list[Any]] = {name: [] for name in results.CHOICES.schema.names}
    attributes = ItemAttributes()
    for pool, tokens in zip(pools, prompt_tokens, strict=True):
        item = attributes.row(pool.fact_id, pool.language, pool.prompt, tokens)
        for number, (option_id, text) in enumerate(pool.candidates.items()):
            name = text.strip()
            row = (pool.fact_id, pool.group, pool.language, number, option_id, name, option_id == pool.gold)
            append(columns, (*row, None, None, len(name), len(name.encode()), *item))
    columns["logprob"], columns["tokens"] = scored["logprob"].to_pylist(), scored["tokens"].to_pylist()
    return results.table_of(kind, columns)
