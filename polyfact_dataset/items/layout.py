"""Stage `items`: the options of every fact in every language, in a seeded order for each item.

The gold's position depends only on (seed, fact, language), and `option_ids` lists the entities in the order shown.
Before anything is written, each item is checked; an invalid item is a bug and stops the build.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from itertools import permutations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.database import connect, parquet_files, stream
from polyfact_dataset.common.files import table_writer
from polyfact_dataset.common.text.mentions import mention
from polyfact_dataset.common.text.normalise import normalise_all
from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.context import Context, Report
from polyfact_dataset.schema import SAMPLED, items

_ORDERS = tuple(permutations(range(4)))


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on."""
    return {"seed": config.seed, "languages": config.languages}


def order_of(seed: int, fact_id: str, code: str) -> tuple[int, ...]:
    """A uniformly random order of the four options (gold first, then the distractors), from a hash."""
    key = blake2b(f"{seed}:options:{fact_id}:{code}".encode(), digest_size=8).digest()
    return _ORDERS[int.from_bytes(key, "big") % len(_ORDERS)]


def check(code: str, questions: Sequence[str], options: pa.StringArray, fact_ids: Sequence[str]) -> None:
    """Raises when an item violates a condition that the earlier stages ensure. Each question has four `options`."""
    rule, distinct = language(code).mention_rule, options.dictionary_encode()
    forms = normalise_all(distinct.dictionary.to_pylist())
    codes = iter(distinct.indices.to_pylist())
    for question, fact_id, *four in zip(normalise_all(questions), fact_ids, codes, codes, codes, codes):
        named = [forms[one] for one in four]
        if len(set(named)) != 4 or not all(named):
            raise AssertionError(f"{fact_id} {code}: options {named} are not four distinct texts")
        for form in named:
            if mention(question, form, rule):
                raise AssertionError(f"{fact_id} {code}: option {form!r} occurs in the question {question!r}")


def lay_out_batch(rows: pa.RecordBatch, seed: int, languages: Sequence[str]) -> pa.Table:
    """Rows of the items table. `options:<code>` of the rows are the texts of gold and distractors."""
    table, fact_ids = items(languages), rows.column("fact_id").to_pylist()
    golds, distractors = (rows.column(name) for name in ("object_id", "distractor_ids"))
    # Gold and distractors of all rows, four by four; an order refers to them.
    entities = pa.concat_arrays([golds, distractors.flatten()])
    others = len(golds) + np.arange(3 * len(golds)).reshape(-1, 3)
    places = np.column_stack([np.arange(len(golds)), others])
    ends = pa.array(np.arange(len(golds) + 1) * 4, pa.int32())
    columns = list(rows.select(SAMPLED.schema.names).columns)
    for code in languages:
        check(code, rows.column(code).to_pylist(), rows.column(f"options:{code}").flatten(), fact_ids)
        orders = np.array([order_of(seed, fact_id, code) for fact_id in fact_ids]).reshape(-1, 4)
        shown = entities.take(pa.array(np.take_along_axis(places, orders, axis=1).ravel()))
        parts = [
            rows.column(code),
            *(pc.struct_field(rows.column(name), code) for name in ("sources", "templates")),
            pa.ListArray.from_arrays(ends, shown),
            pa.array(np.argmin(orders, axis=1), pa.int32()),
        ]
        columns.append(pa.StructArray.from_arrays(parts, fields=list(table.schema.field(code).type)))
    return pa.Table.from_arrays(columns, table.schema.names).cast(table.schema)


def with_options(rows: pa.RecordBatch, labels: pa.Table, languages: Sequence[str]) -> pa.RecordBatch:
    """Sampled rows with the texts of their options in each language, gold first, as `options:<code>`."""
    ids = labels.column("entity_id").combine_chunks()
    golds = pc.index_in(rows.column("object_id"), value_set=ids).to_numpy()
    others = pc.index_in(rows.column("distractor_ids").flatten(), value_set=ids).to_numpy()
    places = pa.array(np.column_stack([golds, others.reshape(-1, 3)]).ravel())
    ends = pa.array(np.arange(len(golds) + 1) * 4, pa.int32())
    for code in languages:
        texts = pc.struct_field(labels.column(code).combine_chunks(), "text").take(places)
        rows = rows.append_column(f"options:{code}", pa.ListArray.from_arrays(ends, texts))
    return rows


def run(context: Context) -> Report:
    """Writes `items`. Its counts include the items of each wording (`templates`) by language."""
    languages, table = context.config.languages, items(context.config.languages)
    answers = context.read("sampled", ["object_id"]).column("object_id").unique()
    labels = context.read("question_labels")
    labels = labels.filter(pc.is_in(labels.column("entity_id"), answers))
    rows, templates = 0, {code: Counter[str]() for code in languages}
    with connect(context.folder) as connection, table_writer(context.target("items"), table.schema) as write:
        columns = ", ".join(f'q."{code}"' for code in languages)
        query = f"""
            SELECT s.*, q.sources, q.templates, {columns}
            FROM parquet($sampled) s JOIN parquet($questions) q USING (fact_id)
            ORDER BY CASE s.split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END, fact_id
        """
        parameters = {
            "sampled": parquet_files(context.path("sampled")),
            "questions": parquet_files(context.path("questions")),
        }
        batches = (with_options(batch, labels, languages) for batch in stream(connection, query, parameters))
        for laid in context.workers.map(lay_out_batch, batches, context.config.seed, languages):
            rows += len(laid)
            for code in languages:
                templates[code].update(pc.struct_field(laid.column(code), "template").to_pylist())
            write(laid)
    by_language = {code: {key: n for key, n in sorted(counts.items()) if key} for code, counts in templates.items()}
    return Report({"items": rows * len(languages), "facts": rows, "templates": by_language})
