"""PolyFact multiple choice: the log-likelihood of every option in every language.

    python -m baselines.evaluate.mcq --model M --dataset jvonrad/PolyFact --config clean --split test --output r.json

Prompt styles: `paper`, `plain`, `letters`, `choose` (see `baselines.prompts`). With `--names aliases` every accepted
name of an option is scored and its best one counts (sensitivity to phrasing, arXiv 2606.10657). Accuracy, consistency
and calibration are computed for scores per byte, character and token and for their sums. The same command resumes
a killed run; `accelerate launch -m baselines.evaluate.mcq ...` uses several GPUs.

The paper selects by log-probability per token (appendix A). Here the scores per byte are reported first: options have
some 3 tokens in English and 17 in Bengali, so a mean over tokens does not measure the same in both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import pyarrow as pa
import typer

from baselines import prompts
from baselines.data import Fact, Rows, accepted_names, load_open
from baselines.evaluate import common, results
from baselines.evaluate.attributes import ItemAttributes, Row, append
from baselines.evaluate.common import Run
from baselines.evaluate.engines import Request
from baselines.evaluate.options import ChatEngineOptions, ItemOptions, ModelOptions, RunOptions
from baselines.evaluate.scored import score_all
from baselines.prompts import Prompt, Style
from polyfact_dataset.cli.option_groups import option_groups
from polyfact_dataset.common.errors import ConfigError, DataError

Names = Literal["labels", "aliases"]
Accepted = Mapping[str, Mapping[str, Sequence[str]]]


def names_of(fact: Fact, code: str, style: Style, accepted: Accepted | None) -> list[tuple[str, ...]]:
    """For each option the texts to score: its letter, its label, or with `accepted` all its names, the label first."""
    item = fact.items[code]
    texts = prompts.answers(style, item.options)
    if accepted is None:
        return [(text,) for text in texts]
    names = accepted[code]
    return [tuple(dict.fromkeys((text, *names.get(id_, ())))) for text, id_ in zip(texts, item.option_ids)]


def check_alignment(facts: Rows[Fact]) -> None:
    """Raises `DataError` for a fact whose languages do not have the same four distinct options and the same gold."""
    for fact in facts:
        first: set[str] | None = None
        for code, item in fact.items.items():
            ids = set(item.option_ids)
            if len(ids) != len(item.options) or item.option_ids[item.answer] != fact.object_id or ids != (first or ids):
                raise DataError(f"fact {fact.fact_id} in {code}: its option_ids are not those of the other languages")
            first = ids


def requests_of(
    facts: Rows[Fact], style: Style, accepted: Accepted | None = None, render: Callable[[Prompt], Prompt] | None = None
) -> list[Request]:
    """One request per fact and language, facts outermost; options and their names in order."""
    requests = []
    for fact in facts:
        for code, item in fact.items.items():
            plain = prompts.item_prompt(style, code, item)
            prompt = render(plain) if render else plain
            texts = (prompt.separator + name for names in names_of(fact, code, style, accepted) for name in names)
            name = f"fact {fact.fact_id} in {code}"
            requests.append(Request(name, prompt.text, tuple(texts), prompt.instruction))
    return requests


def choices_table(
    facts: Rows[Fact],
    style: Style,
    accepted: Accepted | None,
    scored: pa.Table,
    items: Iterable[Row],
) -> pa.Table:
    """Joins the log-probabilities to their facts: rows of `results.CHOICES`. `items`: attributes by fact, language."""
    scored = scored.sort_by([("index", "ascending"), ("number", "ascending")])
    columns: dict[str, list[Any]] = {name: [] for name in results.CHOICES.schema.names}
    attributes = iter(items)
    for fact in facts:
        for code, item in fact.items.items():
            row_attributes = next(attributes)
            for option, names in enumerate(names_of(fact, code, style, accepted)):
                for name in names:
                    row = (fact.fact_id, fact.property_id, code, option, item.option_ids[option], name)
                    gold = option == item.answer
                    append(columns, (*row, gold, None, None, len(name), len(name.encode()), *row_attributes))
    columns["logprob"], columns["tokens"] = scored["logprob"].to_pylist(), scored["tokens"].to_pylist()
    return results.table_of("mcq", columns)


def item_rows(facts: Rows[Fact], requests: Sequence[Request], tokens: Sequence[int | None]) -> list[Row]:
    """The attributes of every fact and language, facts outermost."""
    attributes = ItemAttributes.of_release(facts.origin, facts.languages)
    pairs = [(fact.fact_id, code) for fact in facts for code in fact.items]
    return [
        attributes.row(fact_id, code, request.prompt, count)
        for (fact_id, code), request, count in zip(pairs, requests, tokens, strict=True)
    ]


def evaluate(
    run: Run,
    facts: Rows[Fact],
    style: Style = "paper",
    accepted: Accepted | None = None,
    boundary: str = "lm_eval",
    sharing: str = "auto",
    batch_tokens: int | None = None,
) -> results.Result | None:
    """Scores all options and writes the result; None in processes other than the first."""
    if style not in prompts.STYLES:
        raise ConfigError(f"--prompt {style!r} is unknown; known are {', '.join(prompts.STYLES)}")
    check_alignment(facts)
    engine = run.started(batch_tokens)
    requests = requests_of(facts, style, accepted, engine.render)
    job = engine.score_job(requests, boundary, sharing)
    settings = {
        "engine": engine.name,
        "chat": engine.chat,
        "names": "labels" if accepted is None else "aliases",
        "boundary": boundary,
        **job.settings,
    }
    prompt = results.Prompt(style=style, sha256=prompts.prompt_hash(style, facts.languages))

    def table_of(scored: pa.Table) -> pa.Table:
        merged = job.counts.get("merged", 0)
        if merged and boundary == "lm_eval":
            run.note(
                f"{merged} of {len(scored)} answers merge with their prompt's last token and are scored from the token "
                "after it; --boundary exact scores them whole"
            )
        return choices_table(facts, style, accepted, scored, item_rows(facts, requests, job.prompt_tokens))

    return score_all(run, "mcq", common.data_of(facts), prompt, settings, job, len(requests), table_of)


@option_groups
def main(
    model: ModelOptions,
    target: RunOptions,
    items: ItemOptions,
    engine: ChatEngineOptions,
    prompt: Annotated[str, typer.Option(help="paper, plain, letters or choose.")] = "paper",
    names: Annotated[str, typer.Option(help="labels, or aliases: each option by its best name.")] = "labels",
    boundary: Annotated[
        str, typer.Option(help="How to split prompt from answer: as lm_eval does, or exact where tokens merge.")
    ] = "lm_eval",
    sharing: Annotated[str, typer.Option(help="auto, packed (one pass per prompt) or separate.")] = "auto",
) -> None:
    """Score the options of PolyFact's questions in every language."""
    common.prepare(target, engine.engine)
    if names not in ("labels", "aliases"):
        raise ConfigError(f"--names {names!r} is unknown; known are labels, aliases")
    if names == "aliases" and prompt == "letters":
        raise ConfigError("--names aliases scores names, --prompt letters scores letters; choose one of them")
    facts = items.load(target.seed)
    accepted = None
    if names == "aliases":
        accepted = accepted_names(load_open(items.dataset, "open", items.split, items.codes, items.dataset_revision))
    run = Run.start(target, model, engine)
    result = evaluate(run, facts, prompt, accepted, boundary, sharing, engine.batch_tokens)  # type: ignore[arg-type]
    if result:
        common.print_choices(result, target.output)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
