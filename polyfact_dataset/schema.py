"""The tables of a build: their columns, types and meaning.

Tables with a column per language are functions of the language codes, in the order of the configuration. What a release
holds is in `release/schema.py`, and what only the verification writes in `verification/schema.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

SPLITS = ("train", "validation", "test")
TIERS = ("gold", "silver", "bronze")
OPTIONS = ("option_a", "option_b", "option_c", "option_d")


@dataclass(frozen=True)
class Column:
    """One column: its name, Arrow type, and meaning (units in the name)."""

    name: str
    type: pa.DataType
    doc: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """A named table. `schema` is what its Parquet file must have, in this order."""

    name: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])


STRING = pa.string()
STRINGS = pa.list_(pa.string())
TEXT = pa.struct([pa.field("code", STRING, nullable=False), pa.field("text", STRING, nullable=False)])
TEXTS = pa.list_(TEXT)

# ---------------------------------------------------------------- extraction
ENTITIES = Table(
    "entities",
    (
        Column("id", STRING, "Wikidata id, Q... or P..."),
        Column("kind", STRING, "`item` or `property`"),
        Column(
            "redirected_from",
            STRING,
            "id that now redirects to this entity, where the source contains it",
            nullable=True,
        ),
        Column("types", STRINGS, "current P31 values of items, in statement order"),
        Column("sitelinks", pa.int32(), "number of sitelinks of the item on all Wikimedia projects"),
        Column("labels", TEXTS, "labels in the codes of the configured languages' chains and `mul`"),
        Column("aliases", TEXTS, "aliases in the same codes"),
        Column("descriptions", TEXTS, "short descriptions in the same codes"),
        Column("titles", TEXTS, "Wikipedia titles; `code` is the wiki, such as `enwiki`"),
        # Current values of best rank, in statement order, as for `types`.
        Column("sexes", STRINGS, "P21 values: sex or gender"),
        Column("occupations", STRINGS, "P106 values"),
        Column("located_in", STRINGS, "P131 values: administrative territories"),
        Column("subclass_of", STRINGS, "P279 values"),
        Column("part_of", STRINGS, "P361 values"),
        Column("countries", STRINGS, "P17 values"),
        Column("continents", STRINGS, "P30 values"),
        Column("citizenships", STRINGS, "P27 values: countries of citizenship"),
        # The earliest of the current values of best rank that are known to the year; negative before year 1.
        Column("birth_year", pa.int32(), "P569", nullable=True),
        Column("death_year", pa.int32(), "P570", nullable=True),
        Column("inception_year", pa.int32(), "P571", nullable=True),
        Column("publication_year", pa.int32(), "P577", nullable=True),
        Column("is_dead", pa.bool_(), "has a date of death (P570), even if the date is unknown"),
    ),
)

STATEMENTS = Table(
    "statements",
    (
        Column("subject", STRING, "Wikidata id of the subject"),
        Column("property", STRING, "one of the configured relations"),
        Column("object", STRING, "Wikidata id of the value"),
        Column("rank", STRING, "`preferred`, `normal` or `deprecated`"),
        Column("truthy", pa.bool_(), "best rank of its subject and property"),
        Column("ended", pa.bool_(), "has an end time (qualifier P582)"),
    ),
)

QUARANTINE = Table(
    "quarantine",
    (
        Column("line", pa.int64(), "line number in the decompressed dump, from 1"),
        Column("reason", STRING, "what is wrong with it"),
        Column("excerpt", STRING, "its first 200 characters"),
    ),
)

ANSWERS = Table(
    "answers",
    (
        Column("asked", STRING, "id that was requested from the Wikidata API"),
        Column("status", STRING, "`found`, `redirect` or `deleted`"),
        Column("id", STRING, "the entity itself or the target of the redirect; null where deleted", nullable=True),
        Column("revision", pa.int64(), "revision of the entity that was read", nullable=True),
    ),
)

# Entities from the API, in the columns of the dump.
FETCHED = Table("fetched", ENTITIES.columns)

# ---------------------------------------------------------------- labels written by people
WRITTEN_LABELS = Table(
    "written_labels",
    (
        Column("entity_id", STRING, "Wikidata id"),
        Column("labels", TEXTS, "label by language code; used after Wikidata's, never attested"),
    ),
)

# ---------------------------------------------------------------- facts
REJECTS = Table(
    "rejects",
    (
        Column("fact_id", STRING, "`subject|property|object`"),
        Column("property_id", STRING, "relation"),
        Column("reason", STRING, "reason code, with the language after a colon where one decides"),
    ),
)

FACT = (
    Column("fact_id", STRING, "`subject|property|object`, stable across versions"),
    Column("subject_id", STRING, "Wikidata id of the subject"),
    Column("property_id", STRING, "Wikidata id of the relation"),
    Column("object_id", STRING, "Wikidata id of the answer"),
)

CANDIDATES = Table(
    "candidates",
    (
        *FACT,
        Column("priority", pa.int64(), "place in the relation's pool, from 1: first the fully labelled; shuffled"),
    ),
)

TRUE_OBJECTS = Table(
    "true_objects",
    (
        Column("subject_id", STRING, "subject of a candidate"),
        Column("property_id", STRING, "relation"),
        Column("objects", STRINGS, "every object ever stated, whatever its rank or end: never a distractor"),
    ),
)

# `model` is followed by the model's name after a colon. Any but `model` may be followed by the marks of changes
# below.
WRITTEN = "written"
PROVENANCES = ("label", "variant", "title", "mul", "api", WRITTEN, "model")
# Labels that do not come from Wikidata.
UNATTESTED = (WRITTEN, "model")
# Traditional Chinese characters were converted to Simplified ones by OpenCC.
CONVERTED = "+opencc"
# "Family name, given names" of a person was put into the order of speech.
REORDERED = "+reordered"
# The first letter was written small or large, as the language writes labels of the class.
RECASED = "+recased"
# A class word ("língua") was removed or added, as the language writes labels of the class.
CLASS_WORD = "+class_word"
PROVENANCE_DOC = (
    "`label` (the language's own code), `variant` (such as zh-hant or pt-br), `title` (of the Wikipedia article), "
    "`mul` (Wikidata's label for all languages), `api` (lacking in the dump), `written` (by people, in a table of "
    "written labels) or `model:<name>`; `+opencc` after it where Traditional Chinese was converted to Simplified, "
    "`+reordered` where a person listed by the family name has the given names first, `+class_word` where a class word "
    "(`língua`) was removed or added, `+recased` where the first letter was written small or large"
)
LOCALISED_TEXT = pa.struct(
    [
        pa.field("text", STRING, nullable=False),
        pa.field("provenance", STRING, nullable=False),
        pa.field("attested", pa.bool_(), nullable=False),
    ]
)


def labels(languages: Sequence[str]) -> Table:
    """One row per entity of a candidate; a language's struct is null where no label could be resolved."""
    return Table(
        "labels",
        (
            # Not `id`: that is Indonesian.
            Column("entity_id", STRING, "Wikidata id"),
            Column("types", STRINGS, "P31 values"),
            Column("sitelinks", pa.int32(), "number of sitelinks"),
            Column("articles", STRINGS, "languages of the configuration in whose Wikipedia it has an article"),
            *(Column(code, LOCALISED_TEXT, f"resolved label in {code}", nullable=True) for code in languages),
        ),
    )


def answer_aliases(languages: Sequence[str]) -> Table:
    """One row per answer of a candidate: all its names in each language, the resolved label first."""
    return Table(
        "answer_aliases",
        (
            Column("entity_id", STRING, "Wikidata id"),
            *(Column(code, STRINGS, f"names in {code}, distinct after normalisation") for code in languages),
        ),
    )


def disambiguations(languages: Sequence[str]) -> Table:
    """One row per subject and relation whose label is also that of another subject of the relation.

    Fault and descriptions concern the facts whose object is not among `shared_answers`.
    """
    return Table(
        "disambiguations",
        (
            Column("subject_id", STRING, "Wikidata id of the subject"),
            Column("property_id", STRING, "relation"),
            Column("shared_answers", STRINGS, "objects that every namesake known well enough has as well"),
            Column("excluded_answers", STRINGS, "objects of any namesake: never a distractor"),
            Column(
                "code", STRING, "first language in which a description is needed; null where none is", nullable=True
            ),
            Column("fault", STRING, "why descriptions cannot tell the subject apart, with the language", nullable=True),
            *(Column(code, STRING, f"short description in {code}", nullable=True) for code in languages),
        ),
    )


def questions(languages: Sequence[str]) -> Table:
    """One row per candidate that has a question in all languages."""
    per_language = pa.struct([pa.field(code, STRING, nullable=False) for code in languages])
    return Table(
        "questions",
        (
            *CANDIDATES.columns,
            Column("sources", per_language, "language code -> `template` or `model:<name>`"),
            Column("templates", per_language, "language code -> key of the wording; empty where a model wrote it"),
            *(Column(code, STRING, f"question in {code}") for code in languages),
        ),
    )


FEATURES = Table(
    "features",
    (
        Column("entity_id", STRING, "subject or object of a candidate"),
        Column("kind", STRING, "the kind of its types (`catalog.relation.kind_of`)", nullable=True),
        Column("types", STRINGS, "P31 values"),
        Column("sex", STRING, "`male` or `female`; null where unknown, another, or not unique", nullable=True),
        Column("birth_year", pa.int32(), "P569; negative before year 1", nullable=True),
        Column("death_year", pa.int32(), "P570", nullable=True),
        Column("is_living", pa.bool_(), "of persons whose year of birth is known; false where P570 says so", True),
        Column("inception_year", pa.int32(), "P571", nullable=True),
        Column("publication_year", pa.int32(), "P577", nullable=True),
        Column("occupations", STRINGS, "P106 values"),
        Column("country", STRING, "P17, P27 or P495; else that of the territory (P131) it lies in", nullable=True),
        Column("continent", STRING, "P30, else that of the country", nullable=True),
        Column(
            "containers",
            STRINGS,
            "all that it lies in, is part of or is a kind of (P131, P361, P279, P17, P30), directly or not",
        ),
        Column("sitelinks", pa.int32(), "number of sitelinks"),
    ),
)

VALID_CANDIDATES = Table("valid_candidates", CANDIDATES.columns)

SAMPLED = Table(
    "sampled",
    (
        *FACT,
        Column("split", STRING, "`train`, `validation` or `test`"),
        Column("stratum", STRING, "`relation/split/number`: the facts that have each other's golds as options"),
        Column("distractor_ids", STRINGS, "three entities, golds of other facts of the stratum"),
    ),
)


def items(languages: Sequence[str]) -> Table:
    """One row per fact; `option_ids` per language in the order shown there."""
    fields = [
        pa.field("question", STRING, nullable=False),
        pa.field("question_source", STRING, nullable=False),
        pa.field("template", STRING, nullable=False),
        pa.field("option_ids", STRINGS, nullable=False),
        pa.field("answer_index", pa.int32(), nullable=False),
    ]
    return Table(
        "items",
        (*SAMPLED.columns, *(Column(code, pa.struct(fields), f"item in {code}") for code in languages)),
    )


TIERED = Table(
    "tiers",
    (
        Column("fact_id", STRING, "fact"),
        Column("quality_tier", STRING, "`gold`, `silver` or `bronze`"),
        Column("reason", STRING, "what decided it"),
        Column("n_langs_attested", pa.int32(), "languages in which the gold label is attested in Wikidata"),
        Column("n_langs_subject_attested", pa.int32(), "languages in which the subject label is attested"),
        Column("name_overlap", STRINGS, "languages in which the names of subject and options give the answer away"),
        Column("verification", STRING, "`correct`, `ambiguous` or `unverified`"),
    ),
)

# ---------------------------------------------------------------- verification
LABELS = ("correct", "ambiguous", "incorrect")
# What a reviewer may answer: a label, or that they cannot judge the item, which counts in no figure but coverage.
UNSURE = "unsure"
REVIEW_LABELS = (*LABELS, UNSURE)

JUDGED_ITEM = (
    Column("fact_id", STRING, "`<subject>|<property>|<object>` in Wikidata ids"),
    Column("language", STRING, "language code of the item"),
    Column("item", STRING, "digest of question, answer and options: what was judged, whatever their order"),
)

JUDGED_TEXT = (
    Column("question", STRING, "the question that was judged"),
    Column("answer_text", STRING, "the option that was marked as correct"),
)

VERIFICATION = Table(
    "verification",
    (
        *JUDGED_ITEM,
        Column("property_id", STRING, "relation"),
        *JUDGED_TEXT,
        Column("label", STRING, "`correct`, `ambiguous` or `incorrect`: what judge and reviewers say together", True),
        Column("judge_label", STRING, "the judge's label", True),
        Column("judge_model", STRING, "the judge", True),
        Column("judge_date", STRING, "day of the judge's answer (UTC)", True),
        Column("judge_rationale", STRING, "the judge's reasons, in English", True),
        Column("judge_urls", STRINGS, "pages that the judge cites"),
        Column("judge_also_right", STRINGS, "other options that the judge holds to be right"),
        Column("drift", STRINGS, "what a judge of all languages together objects to: see `verify judge --parallel`"),
        Column("reviewers", STRINGS, "reviewers of the item, by number"),
        Column("human_labels", STRINGS, "their labels, in this order"),
        Column("human_dates", STRINGS, "the days of their labels (UTC), in this order"),
    ),
)


def _released_judgements() -> tuple[Column, ...]:
    """The columns of `VERIFICATION` with the options of the item: question and options first, identifiers last."""
    columns = {column.name: column for column in VERIFICATION.columns}
    options = tuple(Column(name, STRING, "an option, in the order of the release") for name in OPTIONS)
    marked = Column("answer_index", pa.int32(), "0 to 3: which option was marked as correct")
    last = ("property_id", "fact_id", "item")
    first = (columns["language"], columns["question"], *options, columns["answer_text"], marked)
    middle = (column for name, column in columns.items() if column not in first and name not in last)
    return (*first, *middle, *(columns[name] for name in last))


# The shipped row of config `verification`: an item that was judged, as it is in the release.
JUDGED_ROWS = Table("verification", _released_judgements())

# The judged items of a build, with their split.
JUDGED_ITEMS = Table("verification", (*JUDGED_ROWS.columns, Column("split", STRING, "split of the fact")))
