"""The columns of one language's item: question, options and answer as text, with their provenance."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.schema import OPTIONS


class Labels:
    """Resolved labels of all entities by language, looked up for whole columns of ids."""

    def __init__(self, labels: pa.Table) -> None:
        self._table = labels.combine_chunks()
        self._ids = self._table.column("entity_id").combine_chunks()

    def of(self, ids: pa.Array, code: str, field: str) -> pa.Array:
        """`text` or `provenance` of each id in a language."""
        column = pc.struct_field(self._table.column(code).combine_chunks(), field)
        return column.take(self._rows(ids))

    def column(self, ids: pa.Array, name: str) -> pa.Array:
        """`sitelinks` or `articles` of each id."""
        return self._table.column(name).combine_chunks().take(self._rows(ids))

    def _rows(self, ids: pa.Array) -> pa.Array:
        rows = pc.index_in(ids, value_set=self._ids)
        if rows.null_count:
            raise AssertionError("an item names an entity without labels")
        return rows


def item_columns(item: pa.StructArray, subjects: pa.Array, labels: Labels, code: str) -> dict[str, pa.Array]:
    """The columns of one language's item: `item` is the language's struct in the items table."""
    ids = item.field("option_ids")
    flat = pc.list_flatten(ids)
    texts, provenances = (labels.of(flat, code, field) for field in ("text", "provenance"))
    first = np.arange(len(item)) * 4
    answer = item.field("answer_index")
    offsets = pa.array(np.arange(len(item) + 1, dtype=np.int32) * 4)
    return {
        "question": item.field("question"),
        **{name: texts.take(pa.array(first + position)) for position, name in enumerate(OPTIONS)},
        "answer_text": texts.take(pc.add(pa.array(first), pc.cast(answer, pa.int64()))),
        "answer_index": answer,
        "option_ids": ids,
        "option_provenance": pa.ListArray.from_arrays(offsets, provenances),
        "subject_label": labels.of(subjects, code, "text"),
        "subject_provenance": labels.of(subjects, code, "provenance"),
        "question_source": item.field("question_source"),
        "template": item.field("template"),
    }
