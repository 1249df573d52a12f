"""The rows of a release, column by column, from items, labels and tiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.catalog.language import language
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.items.columns import Labels, item_columns
from polyfact_dataset.release.schema import FLAT_ROWS, item_struct, open_rows, parallel_rows


def shared_columns(items: pa.Table, tiers: Mapping[str, pa.Array], labels: Labels) -> dict[str, pa.Array]:
    """The columns that all languages of a fact share. `tiers` is aligned with `items`."""
    subjects, objects = (items.column(name).combine_chunks() for name in ("subject_id", "object_id"))
    relations = items.column("property_id").to_pylist()
    catalog = all_relations()
    return {
        "fact_id": items.column("fact_id").combine_chunks(),
        "subject_id": subjects,
        "property_id": items.column("property_id").combine_chunks(),
        "object_id": objects,
        "subject": labels.of(subjects, "en", "text"),
        "relation": pa.array([catalog[relation].label for relation in relations], pa.string()),
        "object": labels.of(objects, "en", "text"),
        "domain": pa.array([catalog[relation].domain for relation in relations], pa.string()),
        **tiers,
        "popularity": labels.column(subjects, "sitelinks"),
        "subject_articles": labels.column(subjects, "articles"),
        "object_articles": labels.column(objects, "articles"),
    }


def accepted_answers(names: Sequence[str], answer: str) -> list[str]:
    """The answer as shown, then its other names, distinct after `normalise`."""
    shown = normalise(answer)
    return [answer, *(name for name in names if normalise(name) != shown)]


def open_table(
    items: pa.Table, shared: Mapping[str, pa.Array], labels: Labels, answer_aliases: pa.Table, languages: Sequence[str]
) -> pa.Table:
    """The rows of config `open`. `answer_aliases` has a row for every answer."""
    schema = open_rows(languages).schema
    answers = shared["object_id"]
    known = answer_aliases.filter(pc.is_in(answer_aliases.column("entity_id"), answers.unique())).combine_chunks()
    ids = known.column("entity_id").combine_chunks()
    rows = pc.index_in(answers, value_set=ids)
    translated, structs = schema.field("translations").type, []
    for code in languages:
        shown = labels.of(ids, code, "text").to_pylist()
        names = [accepted_answers(*pair) for pair in zip(known.column(code).to_pylist(), shown)]
        columns = [
            items.column(code).combine_chunks().field("question"),
            labels.of(answers, code, "text"),
            pa.array(names, pa.list_(pa.string())).take(rows),
        ]
        structs.append(pa.StructArray.from_arrays(columns, fields=list(translated.field(code).type)))
    translations = pa.StructArray.from_arrays(structs, fields=list(translated))
    return pa.table([*(shared[name] for name in schema.names[:-1]), translations], schema=schema)


def tables(
    items: pa.Table,
    tiers: Mapping[str, pa.Array],
    question_labels: pa.Table,
    answer_aliases: pa.Table,
    languages: Sequence[str],
) -> Iterator[tuple[str, pa.Table]]:
    """`parallel`, `open`, then each language: the whole table of shipped rows, aligned with `items`."""
    labels = Labels(question_labels)
    shared = shared_columns(items, tiers, labels)
    by_language = {
        code: item_columns(items.column(code).combine_chunks(), shared["subject_id"], labels, code)
        for code in languages
    }
    structs = {
        code: pa.StructArray.from_arrays([columns[field.name] for field in item_struct()], fields=list(item_struct()))
        for code, columns in by_language.items()
    }
    schema = parallel_rows(languages).schema
    translations = pa.StructArray.from_arrays(list(structs.values()), fields=list(schema.field("translations").type))
    yield "parallel", pa.table([*(shared[name] for name in schema.names[:-1]), translations], schema=schema)
    yield "open", open_table(items, shared, labels, answer_aliases, languages)
    flat, split = FLAT_ROWS.schema, items.column("split").combine_chunks()
    for code, columns in by_language.items():
        constant = {"language": code, "language_script": language(code).scripts[0]}
        repeated = {name: pa.array([value] * len(items), pa.string()) for name, value in constant.items()}
        values = {**shared, **repeated, "split": split, **columns}
        yield code, pa.table([values[name] for name in flat.names], schema=flat)
