"""Stage `items`: the options of every fact in every language, in a seeded order of their own.

The gold's position depends on (seed, fact, language) alone, and `option_ids` says which entity stands where.
Before anything is written, each item must hold what a release promises; a breach is a bug and stops the build.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import permutations
from typing import Any

import pyarrow as pa

from polyfact_dataset.config import Config
from polyfact_dataset.engine import connect, stream
from polyfact_dataset.languages import language
from polyfact_dataset.pipeline import Context, Report
from polyfact_dataset.records import items
from polyfact_dataset.storage import parquet_writer
from polyfact_dataset.text import mentions, normalise

_ORDERS = tuple(permutations(range(4)))


def settings(config: Config) -> dict[str, object]:
    """What the result depends on besides the tables read."""
    return {"seed": config.seed, "languages": config.languages}


def order_of(seed: int, fact_id: str, code: str) -> tuple[int, ...]:
    """A uniformly random order of the four options (gold first, then the distractors), from a hash."""
    key = blake2b(f"{seed}:options:{fact_id}:{code}".encode(), digest_size=8).digest()
    return _ORDERS[int.from_bytes(key, "big") % len(_ORDERS)]


def check(code: str, question: str, options: Sequence[str], fact_id: str) -> None:
    """Raises when an item breaks the promises of validation: the stages before this one make that impossible."""
    entry, asked = language(code), normalise(question)
    forms = [normalise(option) for option in options]
    if len(set(forms)) != 4 or not all(forms):
        raise AssertionError(f"{fact_id} {code}: options {options} are not four distinct texts")
    named = [form for form in forms if mentions(asked, form, spaced=entry.spaced, glue=entry.glue)]
    if named:
        raise AssertionError(f"{fact_id} {code}: option {named[0]!r} stands in the question {question!r}")


def lay_out(
    row: dict[str, Any], labels: dict[str, dict[str, str]], seed: int, languages: Sequence[str]
) -> dict[str, Any]:
    """One row of the items table. `labels` maps an entity and a language to the text shown."""
    entities = [row["object_id"], *row["distractor_ids"]]
    result = dict(row)
    for code in languages:
        order = order_of(seed, row["fact_id"], code)
        ids = [entities[position] for position in order]
        check(code, row[code], [labels[qid][code] for qid in ids], row["fact_id"])
        result[code] = {
            "question": row[code],
            "question_source": row["sources"][code],
            "option_ids": ids,
            "answer_index": order.index(0),
        }
    return result


def run(context: Context) -> Report:
    """Writes `items`."""
    languages, table = context.config.languages, items(context.config.languages)
    answers = context.read("sample", "sampled", ["object_id"]).column("object_id").unique()
    localised = context.read("questions", "localised")
    localised = localised.filter(pa.compute.is_in(localised.column("entity_id"), answers))
    texts = [pa.compute.struct_field(localised.column(code), "text").to_pylist() for code in languages]
    labels = {
        qid: dict(zip(languages, shown)) for qid, shown in zip(localised.column("entity_id").to_pylist(), zip(*texts))
    }
    rows = 0
    with connect(context.folder) as connection, parquet_writer(context.target("items"), table.schema) as writer:
        columns = ", ".join(f'q."{code}"' for code in languages)
        query = f"""
            SELECT s.*, q.sources, {columns}
            FROM read_parquet($sampled) s JOIN read_parquet($questions) q USING (fact_id)
            ORDER BY CASE s.split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END, fact_id
        """
        parameters = {
            "sampled": str(context.path("sample", "sampled")),
            "questions": str(context.path("questions", "questions")),
        }
        for batch in stream(connection, query, parameters):
            laid = [lay_out(row, labels, context.config.seed, languages) for row in batch.to_pylist()]
            rows += len(laid)
            writer.write_table(pa.Table.from_pylist(laid, schema=table.schema))
    return Report({"items": rows * len(languages), "facts": rows})
