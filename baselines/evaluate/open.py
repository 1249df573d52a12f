"""Open generation: PolyFact's questions without options, answered greedily, scored against all names of the answer.

    python -m baselines.evaluate.open --model M --dataset jvonrad/PolyFact --config clean_open --output o.json

Each answer is correct, declines, is the right fact in the wrong language, a wrong fact in the right language, or
incoherent; the names that the release holds for all its answers distinguish these. An
answer is correct by the paper's rule after folding (`baselines.evaluate.matching`).
"""

from __future__ import annotations

import sys

from baselines import prompts
from baselines.data import OpenFact, Rows, load_answers
from baselines.evaluate import common, results
from baselines.evaluate.answers import Question, Task, answer_all
from baselines.evaluate.attributes import ItemAttributes
from baselines.evaluate.common import Run
from baselines.evaluate.matching import Names
from baselines.evaluate.options import AnswerOptions, ChatEngineOptions, ModelOptions, OpenItemOptions, RunOptions
from polyfact_dataset.cli.option_groups import option_groups


def questions_of(facts: Rows[OpenFact]) -> list[Question]:
    """One question per fact and language, facts outermost."""
    questions = []
    for fact in facts:
        accepted = {code: item.accepted for code, item in fact.items.items()}
        for code, item in fact.items.items():
            prompt = prompts.free_prompt(code, item.question)
            questions.append(
                Question(fact.fact_id, fact.property_id, code, prompt.text, accepted, instruction=prompt.instruction)
            )
    return questions


@option_groups
def main(
    model: ModelOptions,
    target: RunOptions,
    items: OpenItemOptions,
    engine: ChatEngineOptions,
    answers: AnswerOptions,
) -> None:
    """Let a model answer PolyFact's questions freely in every language."""
    common.prepare(target, engine.engine)
    facts = items.load(target.seed)
    names = Names(load_answers(items.dataset, facts.languages, items.dataset_revision))
    task = Task(
        "open",
        questions_of(facts),
        names,
        common.data_of(facts),
        results.Prompt(style="free", sha256=prompts.prompt_hash("free", facts.languages)),
        {"names": names.digest},
        ItemAttributes.of_release(facts.origin, facts.languages),
    )
    run = Run.start(target, model, engine)
    result = answer_all(run, task, answers.new_tokens, engine.batch_tokens, answers.decoding(target.seed))
    if result:
        common.print_generations(result, target.output)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
