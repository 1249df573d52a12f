"""Every table of a build and of a release: its columns, their types and their meaning.

This is the one place that names columns; the dataset card's schema table is rendered from the release records. Tables
with a column per language are functions of the language codes, in the order of the configuration. All tables are in
this one file, although it is long, so that a column is easy to find.
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
        Column("truthy", pa.bool_(), "best rank of its subject and property (definitions: truthy statement)"),
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

# Every reason code of a rejected fact, without the language after the colon. Codes of a model begin with `model_`.
REASONS = (
    *(
        "repeated",
        "deprecated",
        "not_best_rank",
        "ended",
        "self_reference",
        "subject_not_a_thing",
        "subject_is_no_more",
        "object_not_in_dump",
    ),
    *("subject_unlabelled", "object_unlabelled", "unexpected_type", "catalogue_designation", "not_unique"),
    *("beyond_pool", "subject_deleted", "object_deleted"),
    *("namesake_no_description", "namesake_same_description", "namesake_description_answers", "namesake_not_described"),
    *("subject_is_gold", "gold_in_question", "gold_inflected", "surname_in_question", "alias_in_question"),
    *("subject_not_named", "empty_question", "half_transliterated", "ambiguous_subject", "same_question"),
    "subject_of_another_kind",
    *(
        "erratum",
        "excluded",
        "subject_already_asked",
        "relation_too_small",
        "not_sampled",
        "no_distractors",
        "judged_incorrect",
    ),
    *("subject_untranslated", "object_untranslated", "not_asked"),
)


def is_reason(reason: str) -> bool:
    """Whether a reason, with or without its language, is one of the documented codes."""
    code = reason.partition(":")[0]
    return code in REASONS or code.startswith("model_")


_FACT = (
    Column("fact_id", STRING, "`subject|property|object`, stable across versions"),
    Column("subject_id", STRING, "Wikidata id of the subject"),
    Column("property_id", STRING, "Wikidata id of the relation"),
    Column("object_id", STRING, "Wikidata id of the answer"),
)

CANDIDATES = Table(
    "candidates",
    (
        *_FACT,
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
        Column("containers", STRINGS, "all that it lies in or is part of (P131, P361, P17, P30), directly or not"),
        Column("sitelinks", pa.int32(), "number of sitelinks"),
    ),
)

VALID_CANDIDATES = Table("valid_candidates", CANDIDATES.columns)

SAMPLED = Table(
    "sampled",
    (
        *_FACT,
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

# ---------------------------------------------------------------- release
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
    Column("n_langs_attested", pa.int32(), "languages in which the answer's label is attested in Wikidata"),
    Column("n_langs_subject_attested", pa.int32(), "languages in which the subject's label is attested in Wikidata"),
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

_ITEM = (
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
    return pa.struct([pa.field(c.name, c.type, nullable=c.nullable) for c in _ITEM])


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
    columns = {column.name: column for column in (*_SHARED, *_FLAT_ONLY, *_ITEM)}
    lists = tuple(name for name, column in columns.items() if column.type == STRINGS and name not in _FLAT_LAST)
    ends = (*_FLAT_FIRST, *_FLAT_LAST, *lists)
    middle = (name for name in columns if name not in ends)
    return tuple(columns[name] for name in (*_FLAT_FIRST, *middle, *_FLAT_LAST, *lists))


# The shipped flat row: one per fact and language.
FLAT_ROWS = Table("flat", _flat_columns())

# ---------------------------------------------------------------- verification
LABELS = ("correct", "ambiguous", "incorrect")
# What a reviewer may answer: a label, or that they cannot judge the item, which counts in no figure but coverage.
UNSURE = "unsure"
REVIEW_LABELS = (*LABELS, UNSURE)

_JUDGED_ITEM = (
    Column("fact_id", STRING, "`<subject>|<property>|<object>` in Wikidata ids"),
    Column("language", STRING, "language code of the item"),
    Column("item", STRING, "digest of question, answer and options: what was judged, whatever their order"),
)

_JUDGED_TEXT = (
    Column("question", STRING, "the question that was judged"),
    Column("answer_text", STRING, "the option that was marked as correct"),
)

VERIFY_SAMPLE = Table(
    "sample",
    (
        *_JUDGED_ITEM,
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
        *_JUDGED_ITEM,
        *_JUDGED_TEXT,
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
        *_JUDGED_ITEM,
        *_JUDGED_TEXT,
        Column("problems", STRINGS, "among subject, relation, language, negation, extra; null if unjudged", True),
        Column("reason", STRING, "why there is no judgement", True),
        Column("rationale", STRING, "the judge's note, in English"),
        Column("date", STRING, "day of the answer (UTC)", True),
    ),
)

VERIFICATION = Table(
    "verification",
    (
        *_JUDGED_ITEM,
        Column("property_id", STRING, "relation"),
        *_JUDGED_TEXT,
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
        *_FACT,
        Column("language", STRING, "language code of the item"),
        Column("split", STRING, "`validation` or `test`"),
        Column("question", STRING, "the question, to be searched for verbatim"),
        Column("answer", STRING, "the answer's text"),
        Column("query", STRING, "question and answer in one line, normalised: NFKC, case folded, single spaces"),
    ),
)

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
