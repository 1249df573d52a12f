"""Open generation: PolyFact's questions without options, answered greedily, scored against all names of the answer.

    python -m baselines.evaluate.open --model M --dataset jvonrad/PolyFact --config clean_open --output o.json

Each answer is correct, declines, is the right fact in the wrong language, a wrong fact in the right language, or
incoherent (definitions: failure modes); the names that the release holds for all its answers distinguish these. An
answer is correct by the paper's rule after folding (`baselines.evaluate.matching`).
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from baselines import prompts
from baselines.data import OpenFact, Rows, load_answers, load_open
from baselines.evaluate import common, results
from baselines.evaluate.answers import Question, Task, answer_all
from baselines.evaluate.attributes import ItemAttributes
from baselines.evaluate.common import Run
from baselines.evaluate.matching import Names


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


def main(
    model: common.ModelName,
    output: common.Output,
    dataset: common.Dataset = common.DATASET,
    config: Annotated[str, typer.Option(help="clean_open or open.")] = "clean_open",
    split: common.Split = "test",
    languages: common.Languages = None,
    new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer in tokens.")] = 48,
    limit: common.Limit = None,
    revision: common.Revision = None,
    dataset_revision: common.DatasetRevision = None,
    dtype: common.Dtype = "auto",
    device: common.Device = None,
    device_map: common.DeviceMap = None,
    batch_tokens: common.BatchTokens = None,
    engine: common.EngineOption = "hf",
    chat: common.Chat = False,
    thinking: common.Thinking = "keep",
    thinking_tokens: common.ThinkingTokens = 2048,
    samples: common.Samples = 1,
    temperature: common.Temperature = 0.0,
    base_url: common.BaseUrl = None,
    engine_args: common.EngineArgs = None,
    seed: common.Seed = 42,
    label: common.Label = None,
    overwrite: common.Overwrite = False,
    quiet: common.Quiet = False,
) -> None:
    """Let a model answer PolyFact's questions freely in every language."""
    options = common.EngineOptions(engine, chat, batch_tokens, base_url, engine_args)
    decoding = common.decoding(new_tokens, samples, temperature, thinking, thinking_tokens, seed)
    common.prepare(output, overwrite, engine)
    facts = load_open(dataset, config, split, common.split_list(languages), dataset_revision).sample(limit, seed)
    names = Names(load_answers(dataset, facts.languages, dataset_revision))
    task = Task(
        "open",
        questions_of(facts),
        names,
        common.data_of(facts),
        results.Prompt(style="free", sha256=prompts.prompt_hash("free", facts.languages)),
        {"names": names.digest},
        ItemAttributes.of_release(facts.origin, facts.languages),
    )
    run = Run.start(output, model, revision, dtype, device, device_map, seed, label, quiet, overwrite, options)
    result = answer_all(run, task, new_tokens, batch_tokens, decoding)
    if result:
        common.print_generations(result, output)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
