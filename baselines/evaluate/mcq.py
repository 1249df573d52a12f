"""PolyFact multiple choice: the log-likelihood of every option in every language.

    python -m baselines.evaluate.mcq --model M --dataset jvonrad/PolyFact --config clean --split test --output r.json

Prompt styles: `paper`, `plain`, `letters`, `choose` (see `baselines.prompts`). With `--names aliases` every accepted
name of an option is scored and its best one counts (sensitivity to phrasing, arXiv 2606.10657). Accuracy, consistency
and calibration are computed for scores per byte, character and token and for their sums. A killed run goes on with
the same command; `accelerate launch -m baselines.evaluate.mcq ...` uses several GPUs.

The paper selects by log-probability per token (appendix A). Per byte comes first here: options have some 3 tokens in
English and 17 in Bengali, so that a mean over tokens does not measure the same in both.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pyarrow as pa
import typer

from baselines import prompts
from baselines.data import Fact, Rows, accepted_names, load, load_open
from baselines.evaluate import common, results
from baselines.evaluate.common import Run
from baselines.evaluate.shards import cut
from baselines.prompts import Style
from polyfact_dataset.common.errors import ConfigError, DataError

if TYPE_CHECKING:
    from baselines.evaluate.scoring import Request, Row, Scorer

Names = Literal["labels", "aliases"]
Accepted = Mapping[str, Mapping[str, Sequence[str]]]


def names_of(fact: Fact, code: str, style: Style, accepted: Accepted | None) -> list[tuple[str, ...]]:
    """For each option the texts to score: its letter, its label, or with `accepted` all its names, the label first."""
    item = fact.items[code]
    shown = prompts.answers(style, item.options)
    if accepted is None:
        return [(text,) for text in shown]
    known = accepted[code]
    return [tuple(dict.fromkeys((text, *known.get(id_, ())))) for text, id_ in zip(shown, item.option_ids)]


def check_alignment(facts: Rows[Fact]) -> None:
    """Raises `DataError` for a fact whose languages do not offer the same four distinct entities, gold included."""
    for fact in facts:
        first: set[str] | None = None
        for code, item in fact.items.items():
            ids = set(item.option_ids)
            if len(ids) != len(item.options) or item.option_ids[item.answer] != fact.object_id or ids != (first or ids):
                raise DataError(f"fact {fact.fact_id} in {code}: its option_ids are not those of the other languages")
            first = ids


def requests_of(facts: Rows[Fact], style: Style, accepted: Accepted | None = None) -> list[Request]:
    """One request per fact and language, facts outermost; options and their names in order."""
    from baselines.evaluate.scoring import Request

    found = []
    for fact in facts:
        for code, item in fact.items.items():
            prompt = prompts.item_prompt(style, code, item)
            texts = (prompt.separator + name for names in names_of(fact, code, style, accepted) for name in names)
            found.append(Request(f"fact {fact.fact_id} in {code}", prompt.text, tuple(texts)))
    return found


def compute(scorer: Scorer, rows: Sequence[Row], names: Sequence[str]) -> pa.Table:
    """The log-probabilities of one shard, one row per continuation: which request, which continuation, its tokens."""
    found = list(scorer.score(rows, names))
    return pa.table(
        {
            "index": pa.array([one.path.index for one in found], pa.int32()),
            "number": pa.array([one.path.number for one in found], pa.int32()),
            "tokens": pa.array([one.path.scored for one in found], pa.int32()),
            "logprob": pa.array([one.logprob for one in found], pa.float64()),
        }
    )


def choices_table(facts: Rows[Fact], style: Style, accepted: Accepted | None, scored: pa.Table) -> pa.Table:
    """Joins the log-probabilities to the facts they belong to: rows of `results.CHOICES`."""
    scored = scored.sort_by([("index", "ascending"), ("number", "ascending")])
    columns: dict[str, list[Any]] = {name: [] for name in results.CHOICES.schema.names}
    for fact in facts:
        for code, item in fact.items.items():
            for option, names in enumerate(names_of(fact, code, style, accepted)):
                for name in names:
                    row = (
                        *(fact.fact_id, fact.property_id, code, option, item.option_ids[option], name),
                        *(option == item.answer, None, None, len(name), len(name.encode())),
                    )
                    for column, value in zip(columns.values(), row):
                        column.append(value)
    columns["logprob"], columns["tokens"] = scored["logprob"].to_pylist(), scored["tokens"].to_pylist()
    return results.table_of("mcq", columns)


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
    from baselines.evaluate.scoring import Boundary, Scorer, Sharing, check_choices, encode
    from baselines.evaluate.summary import summarise_choices

    check_choices(boundary=(boundary, Boundary), sharing=(sharing, Sharing), prompt=(style, Style))
    check_alignment(facts)
    requests = requests_of(facts, style, accepted)
    names = [request.name for request in requests]
    start = time.perf_counter()
    encoding = encode(run.model.tokenizer, requests, run.model.max_tokens, boundary)  # type: ignore[arg-type]
    scorer = Scorer(run.model, sharing, batch_tokens)  # type: ignore[arg-type]
    rows = scorer.rows(encoding.paths)
    shards = cut(len(rows))
    encoding_s = time.perf_counter() - start
    settings = {
        "names": "labels" if accepted is None else "aliases",
        "boundary": boundary,
        "sharing": scorer.sharing,
        "batch_tokens": scorer.batcher.budget,
    }
    prompt = results.Prompt(style=style, sha256=prompts.prompt_hash(style, facts.languages))
    work = run.shards("mcq", common.data_of(facts), prompt, settings)
    work.run(len(shards), lambda i: compute(scorer, rows[shards[i]], names), "scoring", run.quiet)
    if not work.main:
        return None
    scored, seconds = work.collect(len(shards))
    table = choices_table(facts, style, accepted, scored)
    merged = f"{encoding.merged} of {len(scored)} answers merge with their prompt's last token"
    if encoding.merged and boundary == "lm_eval":
        run.note(f"{merged} and are scored from the token after it; --boundary exact scores them whole")
    items = [list(paths) for _, paths in groupby(encoding.paths, key=lambda path: path.index)]
    latency = common.latency(lambda paths: list(scorer.score(scorer.rows(paths), names)), items)
    return run.finish(
        work,
        table,
        metrics=summarise_choices(table, facts.languages),
        counts={"merged": encoding.merged, "truncated": encoding.truncated},
        speed=common.speed(len(requests), seconds + encoding_s, work.processes, latency),
    )


def main(
    model: common.ModelName,
    output: common.Output,
    dataset: common.Dataset = common.DATASET,
    config: Annotated[str, typer.Option(help="clean or parallel.")] = "clean",
    split: common.Split = "test",
    languages: common.Languages = None,
    prompt: Annotated[str, typer.Option(help="paper, plain, letters or choose.")] = "paper",
    names: Annotated[str, typer.Option(help="labels, or aliases: each option by its best name.")] = "labels",
    limit: common.Limit = None,
    revision: common.Revision = None,
    dataset_revision: common.DatasetRevision = None,
    dtype: common.Dtype = "auto",
    device: common.Device = None,
    device_map: common.DeviceMap = None,
    batch_tokens: common.BatchTokens = None,
    boundary: Annotated[
        str, typer.Option(help="How to split prompt from answer: as lm_eval does, or exact where tokens merge.")
    ] = "lm_eval",
    sharing: Annotated[str, typer.Option(help="auto, packed (one pass per prompt) or separate.")] = "auto",
    seed: common.Seed = 42,
    label: common.Label = None,
    overwrite: common.Overwrite = False,
    quiet: common.Quiet = False,
) -> None:
    """Score the options of PolyFact's questions in every language."""
    common.prepare(output, overwrite)
    if names not in ("labels", "aliases"):
        raise ConfigError(f"--names {names!r} is unknown; known are labels, aliases")
    if names == "aliases" and prompt == "letters":
        raise ConfigError("--names aliases scores names, --prompt letters scores letters; choose one of them")
    codes = common.split_list(languages)
    facts = load(dataset, config, split, codes, dataset_revision).sample(limit, seed)
    accepted = None
    if names == "aliases":
        accepted = accepted_names(load_open(dataset, "open", split, codes, dataset_revision))
    run = Run.start(output, model, revision, dtype, device, device_map, seed, label, quiet, overwrite)
    result = evaluate(run, facts, prompt, accepted, boundary, sharing, batch_tokens)  # type: ignore[arg-type]
    if result:
        common.print_choices(result, output)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
