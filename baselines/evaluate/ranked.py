"""Ranking of candidate answers by a causal model, with pools of any size: KLAR's objects, BMLAMA's candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from baselines.evaluate import results
from baselines.evaluate.attributes import ItemAttributes, append
from baselines.evaluate.common import Run
from baselines.evaluate.engines import Request
from baselines.evaluate.scored import score_all


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
    settings = {**settings, "engine": engine.name, "chat": False, "boundary": boundary, **job.settings}

    def table_of(scored: pa.Table) -> pa.Table:
        return ranked_table(kind, pools, scored, job.prompt_tokens)

    return score_all(run, kind, data, prompt, settings, job, len(pools), table_of)


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
