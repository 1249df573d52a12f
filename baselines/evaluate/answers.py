"""Questions answered by generation: generated in resumable shards, judged, and written as a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from baselines.evaluate import common, results
from baselines.evaluate.common import Run
from baselines.evaluate.matching import Names, failure_mode, matches_any
from baselines.evaluate.shards import cut
from baselines.evaluate.summary import summarise_generations


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt to complete, and what counts as its answer: `accepted` holds the gold's names by language."""

    fact_id: str
    group: str
    language: str
    prompt: str
    accepted: Mapping[str, Sequence[str]]
    contaminated: bool | None = None

    @property
    def name(self) -> str:
        """What to call it in an error."""
        return f"{self.fact_id} in {self.language}"


@dataclass(frozen=True)
class Task:
    """Questions, the names that tell a wrong fact from no answer, and what the result says about them."""

    kind: results.Kind
    questions: Sequence[Question]
    names: Names
    data: results.Data
    prompt: results.Prompt
    settings: dict[str, Any]


def answer_all(run: Run, task: Task, new_tokens: int, batch_tokens: int | None = None) -> results.Result | None:
    """Generates and judges the answers and writes the result; None in processes other than the first."""
    from baselines.evaluate.generate import Generator

    questions = task.questions
    generator = Generator(run.model, new_tokens, batch_tokens)
    labels = [question.name for question in questions]
    ids = generator.encode([question.prompt for question in questions], labels)
    order = sorted(range(len(questions)), key=lambda number: (-len(ids[number]), number))
    shards = [order[part] for part in cut(len(order))]
    limits = {"new_tokens": new_tokens, "batch_tokens": generator.batcher.budget}
    work = run.shards(task.kind, task.data, task.prompt, {**task.settings, **limits})

    def compute(shard: int) -> pa.Table:
        found = list(generator.run(shards[shard], ids, labels))
        numbers = pa.array([number for number, _ in found], pa.int32())
        return pa.table({"number": numbers, "text": pa.array([text for _, text in found], pa.string())})

    work.run(len(shards), compute, "generating", run.quiet)
    if not work.main:
        return None
    generated, seconds = work.collect(len(shards))
    predictions = generated.sort_by("number")["text"].to_pylist()
    table = judge(task, predictions)
    latency = common.latency(lambda number: list(generator.run([number], ids, labels)), order)
    return run.finish(
        work,
        table,
        metrics=summarise_generations(table, task.kind, task.data.languages),
        counts={},
        speed=common.speed(len(questions), seconds, work.processes, latency),
    )


def judge(task: Task, predictions: Sequence[str]) -> pa.Table:
    """Rows of `results.GENERATIONS` for the predictions, one per question."""
    columns: dict[str, list[Any]] = {name: [] for name in results.GENERATIONS.schema.names}
    for question, prediction in zip(task.questions, predictions, strict=True):
        own = list(question.accepted[question.language])
        exact, lenient = matches_any(prediction, own)
        mode = failure_mode(prediction, question.language, question.accepted, task.names)
        row = (question.fact_id, question.group, question.language, prediction, own, exact, lenient, mode)
        for column, value in zip(columns.values(), (*row, question.contaminated)):
            column.append(value)
    return results.table_of(task.kind, columns)
