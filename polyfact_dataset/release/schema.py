"""Every table of a release: its columns, their types and their meaning.

The card's table of columns and the Croissant metadata are rendered from here. The tables of a build, and those of the
verification, are in `polyfact_dataset/schema.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from polyfact_dataset.schema import FACT, OPTIONS, PROVENANCE_DOC, STRING, STRINGS, Column, Table

SUBJECT_SPLITS = Table(
    "splits",
    (
        Column("subject_id", STRING, "every subject that this or an earlier release asked about"),
        Column("split", STRING, "its split, which later releases keep"),
    ),
)

_SHARED = (
    Column("fact_id", STRING, "`<subject>|<property>|<object>` in Wikidata ids; stable across versions"),
    Column("subject_id", STRING, "Wikidata id of the subject"),
    Column("property_id", STRING, "Wikidata id of the relation"),
    Column("object_id", STRING, "Wikidata id of the answer"),
    Column("subject", STRING, "English label of the subject"),
    Column("relation", STRING, "English label of the relation"),
    Column("object", STRING, "English label of the answer"),
    Column("domain", STRING, "`geography`, `biography`, `works` or `organisations`"),
    Column("quality_tier", STRING, "`gold`, `silver` or `bronze`; PolyFact-Clean is gold and silver"),
    Column("n_langs_attested", pa.int32(), "languages in which the answer's label is attested (see the card)"),
    Column(
        "n_langs_subject_attested",
        pa.int32(),
        "languages in which the subject's label is attested (see the card)",
    ),
    Column(
        "name_overlap",
        STRINGS,
        "languages in which the answer shares a stem with the subject and no distractor does; empty in PolyFact-Clean",
    ),
    Column("popularity", pa.int32(), "number of Wikimedia sitelinks of the subject"),
    Column("subject_articles", STRINGS, "languages in whose Wikipedia the subject has an article"),
    Column("object_articles", STRINGS, "languages in whose Wikipedia the answer has an article"),
    Column(
        "verification",
        STRING,
        "`correct` (in every language in which the fact was judged), `ambiguous` (in at least one) or `unverified`",
    ),
)

ITEM = (
    Column("question", STRING, "the question in the language"),
    Column("option_a", STRING, "first option"),
    Column("option_b", STRING, "second option"),
    Column("option_c", STRING, "third option"),
    Column("option_d", STRING, "fourth option"),
    Column("answer_text", STRING, "the correct option, verbatim"),
    Column("answer_index", pa.int32(), "0 to 3: which option is correct"),
    Column("option_ids", STRINGS, "Wikidata ids of the four options, in the order shown"),
    Column("option_provenance", STRINGS, f"where each option's label is from, in the order shown: {PROVENANCE_DOC}"),
    Column("subject_label", STRING, "label of the subject in the language"),
    Column("subject_provenance", STRING, "where the subject's label is from"),
    Column("question_source", STRING, "`template` or `model:<name>`"),
    Column("template", STRING, "relation and condition of the wording, such as `P19/female/dead`; empty for a model's"),
)


def item_struct() -> pa.DataType:
    """The value of one language in `translations`."""
    return pa.struct([pa.field(c.name, c.type, nullable=c.nullable) for c in ITEM])


def parallel_rows(languages: Sequence[str]) -> Table:
    """The shipped parallel row: one per fact, all languages in `translations`."""
    translations = pa.struct([pa.field(code, item_struct(), nullable=False) for code in languages])
    return Table("parallel", (*_SHARED, Column("translations", translations, "language code -> item in that language")))


_FLAT_ONLY = (
    Column("language", STRING, "language code of the item"),
    Column("language_script", STRING, "script of the item (ISO 15924), such as `Latn` or `Arab`"),
    Column("split", STRING, "`train`, `validation` or `test`"),
)
# The columns that readers need most come first, identifiers and lists last.
_FLAT_FIRST = ("language", "language_script", "question", *OPTIONS, "answer_text", "answer_index")
_FLAT_LAST = ("fact_id", "subject_id", "property_id", "object_id", "option_ids", "option_provenance")


def _flat_columns() -> tuple[Column, ...]:
    columns = {column.name: column for column in (*_SHARED, *_FLAT_ONLY, *ITEM)}
    lists = tuple(name for name, column in columns.items() if column.type == STRINGS and name not in _FLAT_LAST)
    ends = (*_FLAT_FIRST, *_FLAT_LAST, *lists)
    middle = (name for name in columns if name not in ends)
    return tuple(columns[name] for name in (*_FLAT_FIRST, *middle, *_FLAT_LAST, *lists))


# The shipped flat row: one per fact and language.
FLAT_ROWS = Table("flat", _flat_columns())

OPEN_ITEM = (
    Column("question", STRING, "the question in the language"),
    Column("answer", STRING, "the answer's label, as among the options"),
    Column("accepted_answers", STRINGS, "the answer and its other names in Wikidata in the language, each once"),
)


def open_rows(languages: Sequence[str]) -> Table:
    """The row of config `open`: a fact to be answered without options."""
    fields = pa.struct([pa.field(c.name, c.type, nullable=c.nullable) for c in OPEN_ITEM])
    translations = pa.struct([pa.field(code, fields, nullable=False) for code in languages])
    return Table(
        "open",
        (
            *_SHARED,
            Column("translations", translations, "language code -> question, answer and accepted answers"),
        ),
    )


# ---------------------------------------------------------------- files next to the data of a release
ERRATA = Table(
    "errata",
    (
        Column("fact_id", STRING, "fact with an item that is known to be wrong"),
        Column("language", STRING, "language of the item; null where the whole fact is wrong", nullable=True),
        Column("reason", STRING, "what is wrong"),
        Column("version", STRING, "version of the release in which it was found"),
        Column("link", STRING, "address of the report", nullable=True),
    ),
)

LEADERBOARD = Table(
    "leaderboard",
    (
        Column("model", STRING, "label of the result"),
        Column("measure", STRING, "such as `accuracy`, `total_consistency` or `kappa_p`"),
        Column("language", STRING, "language code, or `all`"),
        Column("value", pa.float64(), "value of the measure"),
        Column("low", pa.float64(), "lower end of the 95 % bootstrap interval over facts", nullable=True),
        Column("high", pa.float64(), "upper end of that interval", nullable=True),
        Column("facts", pa.int32(), "facts that were scored"),
        Column("config", STRING, "config of the release"),
        Column("split", STRING, "split of the release"),
        Column("content", STRING, "content digest of the release that was scored", nullable=True),
        Column("command", STRING, "command that made the result"),
        Column("digest", STRING, "SHA-256 of the result file"),
    ),
)

# ---------------------------------------------------------------- audit
FINDINGS = Table(
    "findings",
    (
        Column("audit", STRING, "the audit that found it"),
        Column("check", STRING, "what was found"),
        Column("fact_id", STRING, "fact, or file where no fact is concerned"),
        Column("language", STRING, "language of the item; null where the whole fact is concerned", nullable=True),
        Column("split", STRING, "split of the fact; null where no fact is concerned", nullable=True),
        Column("detail", STRING, "what exactly, with the texts concerned"),
    ),
)

CONTAMINATION = Table(
    "contamination",
    (
        *FACT,
        Column("language", STRING, "language code of the item"),
        Column("split", STRING, "`validation` or `test`"),
        Column("question", STRING, "the question, to be searched for verbatim"),
        Column("answer", STRING, "the answer's text"),
        Column("query", STRING, "question and answer in one line, normalised: NFKC, case folded, single spaces"),
    ),
)
