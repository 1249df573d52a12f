"""Questions answered by generation: generated in resumable shards, judged, and written as a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from baselines.evaluate import common, results
from baselines.evaluate.attributes import ItemAttributes, append
from baselines.evaluate.common import Run
from baselines.evaluate.engines import Answer, Decoding, Request
from baselines.evaluate.matching import Names, failure_mode, matches_any
from baselines.evaluate.shards import cut, units_of
from baselines.evaluate.summary import summarise_generations
from baselines.prompts import Prompt

_COLUMNS = {
    "number": pa.int32(),
    "sample": pa.int16(),
    "text": pa.string(),
    "logprob": pa.float64(),
    "tokens": pa.int32(),
    "thinking": pa.int32(),
}


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt to complete, and the answers that count as correct: `accepted` holds the gold's names by language."""

    fact_id: str
    group: str
    language: str
    prompt: str
    accepted: Mapping[str, Sequence[str]]
    contaminated: bool | None = None
    instruction: str = ""

    @property
    def name(self) -> str:
        """How errors name it."""
        return f"{self.fact_id} in {self.language}"


@dataclass(frozen=True)
class Task:
    """Questions, the names that distinguish a wrong fact from no answer, and the description for the result."""

    kind: results.Kind
    questions: Sequence[Question]
    names: Names
    data: results.Data
    prompt: results.Prompt
    settings: dict[str, Any]
    attributes: ItemAttributes = ItemAttributes()


@dataclass(frozen=True, slots=True)
class Generated:
    """The answer to question `number`, in sample `sample`."""

    number: int
    sample: int
    answer: Answer


def answer_all(
    run: Run, task: Task, new_tokens: int, batch_tokens: int | None = None, decoding: Decoding | None = None
) -> results.Result | None:
    """Generates and judges the answers and writes the result; None in processes other than the first.

    `decoding` is greedy with `new_tokens` unless given.
    """
    engine = run.started(batch_tokens)
    how = decoding or Decoding(new_tokens)
    prompts = [_request(engine.render(Prompt(q.prompt, "", q.instruction)), q) for q in task.questions]
    job = engine.answer_job(prompts, how)
    shards = cut(job.units)
    settings = {
        **task.settings,
        "engine": engine.name,
        "chat": engine.chat,
        "new_tokens": how.new_tokens,
        "samples": how.samples,
        "temperature": how.temperature,
        "thinking": how.thinking,
        **job.settings,
    }
    work = run.shards(task.kind, task.data, task.prompt, settings)

    def compute(shard: int) -> pa.Table:
        rows = [
            (number, sample, answer.text, answer.logprob, answer.tokens, answer.thinking_tokens)
            for number, sample, answer in job.run(units_of(shards[shard]))
        ]
        columns = zip(*rows) if rows else [[] for _ in _COLUMNS]
        return pa.table({name: pa.array(column, kind) for (name, kind), column in zip(_COLUMNS.items(), columns)})

    work.run(len(shards), compute, "generating", run.quiet)
    if not work.main:
        return None
    generated, seconds = work.collect(len(shards))
    ordered = generated.sort_by([("number", "ascending"), ("sample", "ascending")]).to_pylist()
    answers = [
        Generated(row["number"], row["sample"], Answer(row["text"], row["logprob"], row["tokens"], row["thinking"]))
        for row in ordered
    ]
    table = judge(task, answers, job.prompt_tokens)
    latency = common.latency(job.alone, range(job.units))
    return run.finish(
        work,
        table,
        metrics=summarise_generations(table, task.kind, task.data.languages),
        counts={},
        speed=common.speed(len(task.questions), seconds, work.processes, latency),
    )


def _request(prompt: Prompt, question: Question) -> Request:
    return Request(question.name, prompt.text, (), prompt.instruction)


def judge(task: Task, answers: Sequence[Generated], prompt_tokens: Sequence[int | None]) -> pa.Table:
    """Rows of `results.GENERATIONS` for the answers, in order."""
    columns: dict[str, list[Any]] = {name: [] for name in results.GENERATIONS.schema.names}
    for generated in answers:
        question, answer = task.questions[generated.number], generated.answer
        accepted = list(question.accepted[question.language])
        mode = failure_mode(answer.text, question.language, question.accepted, task.names)
        item = task.attributes.row(
            question.fact_id, question.language, question.prompt, prompt_tokens[generated.number]
        )
        row = (
            *(question.fact_id, question.group, question.language, generated.sample, answer.text, accepted),
            *matches_any(answer.text, accepted),
            *(mode, answer.logprob, answer.tokens, answer.thinking_tokens, question.contaminated),
            *item,
        )
        append(columns, row)
    return results.table_of(task.kind, columns)
