"""Scoring of candidate answers: a job in resumable shards, its latency and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from baselines.evaluate import common, results
from baselines.evaluate.common import Run
from baselines.evaluate.engines import Score, ScoreJob
from baselines.evaluate.shards import cut, units_of
from baselines.evaluate.summary import summarise_choices
from baselines.metrics import NORMALISATIONS


def score_all(
    run: Run,
    kind: results.Kind,
    data: results.Data,
    prompt: results.Prompt,
    settings: dict[str, Any],
    job: ScoreJob,
    requests: int,
    table_of: Callable[[pa.Table], pa.Table],
) -> results.Result | None:
    """Runs the job and writes the result; None in processes other than the first.

    `table_of` joins the scores (`scores_table`) to their items: rows of `results.CHOICES`.
    """
    shards = cut(job.units)
    work = run.shards(kind, data, prompt, settings)
    work.run(len(shards), lambda shard: scores_table(job.run(units_of(shards[shard]))), "scoring", run.quiet)
    if not work.main:
        return None
    scored, seconds = work.collect(len(shards))
    table = table_of(scored)
    latency = common.latency(job.alone, range(requests))
    return run.finish(
        work,
        table,
        metrics=summarise_choices(table, data.languages, normalisations_of(table)),
        counts=job.counts,
        speed=common.speed(requests, seconds + job.seconds, work.processes, latency),
    )


def scores_table(scores: Iterable[Score]) -> pa.Table:
    """The scores of one shard, one row per continuation."""
    rows = list(scores)
    return pa.table(
        {
            "index": pa.array([score.index for score in rows], pa.int32()),
            "number": pa.array([score.number for score in rows], pa.int32()),
            "tokens": pa.array([score.tokens for score in rows], pa.int32()),
            "logprob": pa.array([score.logprob for score in rows], pa.float64()),
        }
    )


def normalisations_of(table: pa.Table) -> tuple[str, ...]:
    """The normalisations that the scores allow: those over tokens need their counts."""
    return tuple(name for name in NORMALISATIONS if name != "token" or not table["tokens"].null_count)
