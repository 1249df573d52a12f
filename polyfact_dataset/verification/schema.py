"""Tables of the verification that neither a build nor a release contains: samples and the judges' labels."""

from __future__ import annotations

import pyarrow as pa

from polyfact_dataset.schema import JUDGED_ITEM, JUDGED_TEXT, OPTIONS, STRING, STRINGS, Column, Table

VERIFY_SAMPLE = Table(
    "sample",
    (
        *JUDGED_ITEM,
        Column("place", pa.int32(), "place in the language, from 1: any beginning is balanced over relations"),
        Column("split", STRING, "split of the fact"),
        Column("property_id", STRING, "relation"),
        Column("question", STRING, "the question in the language"),
        *(Column(name, STRING, "an option, in the order shown") for name in OPTIONS),
        Column("answer_index", pa.int32(), "0 to 3: which option is marked as correct"),
    ),
)

_ASKED = pa.struct(
    [pa.field(name, STRING, nullable=False) for name in ("language", "item", "question", "subject", "answer")]
)

VERIFY_FACTS = Table(
    "facts",
    (
        Column("fact_id", STRING, "fact of which an item is in the sample"),
        Column("property_id", STRING, "relation"),
        Column("subject", STRING, "English label of the subject"),
        Column("relation", STRING, "English label of the relation"),
        Column("object", STRING, "English label of the answer"),
        Column("items", pa.list_(_ASKED), "its question in every language, with the labels there"),
    ),
)

JUDGEMENTS = Table(
    "judgements",
    (
        *JUDGED_ITEM,
        *JUDGED_TEXT,
        Column("label", STRING, "`correct`, `ambiguous` or `incorrect`; null where there is no usable answer", True),
        Column("reason", STRING, "why there is no label", True),
        Column("rationale", STRING, "the judge's reasons, in English"),
        Column("urls", STRINGS, "pages that the judge cites"),
        Column("also_right", STRINGS, "options other than the marked one that the judge considers correct as well"),
        Column("searches", pa.int32(), "web searches that led to the label"),
        Column("date", STRING, "day of the answer (UTC)", True),
    ),
)

DRIFT = Table(
    "drift",
    (
        *JUDGED_ITEM,
        *JUDGED_TEXT,
        Column("problems", STRINGS, "among subject, relation, language, negation, extra; null if unjudged", True),
        Column("reason", STRING, "why there is no judgement", True),
        Column("rationale", STRING, "the judge's note, in English"),
        Column("date", STRING, "day of the answer (UTC)", True),
    ),
)
