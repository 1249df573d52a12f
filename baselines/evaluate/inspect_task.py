"""PolyFact as a task of Inspect AI: the options are shown, the model answers with a letter.

    inspect eval baselines/evaluate/inspect_task.py -T dataset=build/release -T languages=en,sw --model openai/MODEL

Inspect reads this file; nothing else here needs it. `accuracy` is over all items, `grouped` by language; the metric
`consistent` is the share of facts that are correct in all languages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import accuracy, choice, grouped, metric, scorer, stderr
from inspect_ai.solver import multiple_choice

from baselines.data import load
from baselines.evaluate.options import DATASET, split_list
from polyfact_dataset.catalog.language import language


@metric  # type: ignore[untyped-decorator]
def consistent() -> Any:
    """The share of facts that are correct in all languages."""

    def compute(scores: list[Any]) -> float:
        right: dict[str, bool] = defaultdict(lambda: True)
        for score in scores:
            fact = score.sample_metadata["fact_id"]
            right[fact] = right[fact] and score.score.as_float() == 1.0
        return sum(right.values()) / max(len(right), 1)

    return compute


@scorer(metrics=[accuracy(), stderr(), grouped(accuracy(), "language"), consistent()])  # type: ignore[untyped-decorator]
def letter() -> Any:
    """Inspect's scorer of multiple choice, with our metrics."""
    return choice()


def samples(
    dataset: str, config: str, split: str, languages: str | Sequence[str] | None, limit: int | None
) -> list[Any]:
    """One sample per fact and language, facts outermost; the question is preceded by the language's instruction."""
    # Inspect makes a list of `en,sw` itself.
    codes = split_list(languages) if languages is None or isinstance(languages, str) else tuple(languages)
    facts = load(dataset, config, split, codes).sample(limit)
    return [
        Sample(
            input=f"{language(code).prompt.instruction}\n{item.question}",
            choices=list(item.options),
            target="ABCD"[item.answer],
            id=f"{fact.fact_id}|{code}",
            metadata={"fact_id": fact.fact_id, "language": code, "relation": fact.property_id},
        )
        for fact in facts
        for code, item in fact.items.items()
    ]


@task  # type: ignore[untyped-decorator]
def polyfact(
    dataset: str = DATASET,
    config: str = "clean",
    split: str = "test",
    languages: str | list[str] | None = None,
    limit: int | None = None,
) -> Any:
    """PolyFact's multiple choice in all its languages; `limit` counts facts."""
    return Task(
        dataset=MemoryDataset(samples(dataset, config, split, languages, limit), name="polyfact"),
        solver=multiple_choice(),
        scorer=letter(),
    )
