"""Stage `questions`: the question of a fact in every language, from templates or a model, and the labels of its ends.

A question depends only on the subject and the relation, never on the options, which keeps the options
exchangeable (deviation from the paper, whose model saw the distractors). Templates are written for
every candidate; a model writes only those that the sampler needs (see `model_questions`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pyarrow as pa

from polyfact_dataset.catalog.forms import forms
from polyfact_dataset.catalog.language import language
from polyfact_dataset.catalog.relation import all_relations, kind_chain
from polyfact_dataset.catalog.subject import Subject
from polyfact_dataset.catalog.wordings import Asked
from polyfact_dataset.common.database import connect, stream, write_query
from polyfact_dataset.common.files import table_writer
from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.context import Context, Report, Tally
from polyfact_dataset.questions.joined_facts import FACTS, SUBJECT, both_ends, disambiguation, inputs
from polyfact_dataset.schema import CANDIDATES, REJECTS, labels, questions

SOURCE = "template"


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on, besides the language files."""
    result: dict[str, object] = {"languages": config.languages, "questions": config.questions.model_dump()}
    if config.questions.source == "model":
        # The requested candidates depend on the settings of the sampler.
        result |= {"seed": config.seed, "facts": config.facts}
        result |= {"sample": config.sample.model_dump(), "distract": config.distract.model_dump()}
    return result


def reasons_of(rows: pa.RecordBatch, languages: Sequence[str]) -> list[str | None]:
    """The reason why a joined row can have no questions; None where it can."""
    reasons: list[str | None] = [None] * rows.num_rows
    for end in ("subject", "object"):
        for code in languages:
            for row in np.flatnonzero(rows.column(f"{end}:{code}").is_null()).tolist():
                reasons[row] = reasons[row] or f"{end}_unlabelled:{code}"
    columns = (rows.column(name).to_pylist() for name in ("fault", "property_id", "subject_kind"))
    for row, (fault, relation, kind) in enumerate(zip(*columns)):
        other = "subject_of_another_kind" if _is_of_another_kind(relation, kind) else None
        reasons[row] = reasons[row] or fault or other
    return reasons


@cache
def _is_of_another_kind(property_id: str, kind: str | None) -> bool:
    """Whether a relation of places has a subject that is known to be another thing: an era, an organisation.

    Where the relation says so (`kind_known`), a subject whose types are of no kind is one as well.
    """
    relation, kinds = all_relations()[property_id], kind_chain(kind)
    if not kinds:
        return relation.kind_known
    return relation.subjects in ("place", "territory") and "place" not in kinds


def _ask(rows: pa.RecordBatch, code: str) -> tuple[list[Asked], Counter[tuple[str, str]]]:
    """The questions of joined rows in a language, and counts of their wordings (see `ask_batch`)."""
    names = ("property_id", f"subject:{code}", "subject_id", "subject_kind", "subject_sex", "subject_is_living")
    columns = (rows.column(name).to_pylist() for name in (*names, f"description:{code}"))
    entry, known, counts, asked = language(code), forms(code), Counter[tuple[str, str]](), []
    for relation, *features, description in zip(*columns):
        subject = Subject(*features)
        asked.append(entry.ask(relation, subject, description))
        if asked[-1].is_safe:
            counts[code, entry.wordings[relation].why_safe(subject)] += 1
        if known.differs(subject):
            counts[code, "label_differs"] += 1
    return asked, counts


def ask_batch(
    rows: pa.RecordBatch, languages: Sequence[str]
) -> tuple[pa.Table, pa.Table, Tally, Counter[tuple[str, str]]]:
    """Joined rows to rows of `schema.questions` and of `schema.REJECTS`, and counts of wordings.

    The counts are by language: safe wordings by reason (`Wordings.why_safe`), and `label_differs`, the questions about
    subjects whose label in the forms differs.
    """
    reasons, tally = reasons_of(rows, languages), Tally()
    for relation, reason in zip(rows.column("property_id").to_pylist(), reasons):
        tally.count(relation, reason)
    column = pa.array(reasons, pa.string())
    bad = rows.select(["fact_id", "property_id"]).append_column("reason", column).filter(column.is_valid())
    good, counts = rows.filter(column.is_null()), Counter[tuple[str, str]]()
    texts, templates = [], []
    for code in languages:
        asked, counted = _ask(good, code)
        counts.update(counted)
        texts.append(pa.array([question.text for question in asked], pa.string()))
        templates.append(pa.array([question.template for question in asked], pa.string()))
    table = questions(languages)
    fields = list(table.schema.field("sources").type)
    sources = [pa.array([SOURCE] * good.num_rows, pa.string())] * len(languages)
    structs = (pa.StructArray.from_arrays(arrays, fields=fields) for arrays in (sources, templates))
    columns = [*good.select(CANDIDATES.schema.names).columns, *structs, *texts]
    return (
        pa.Table.from_arrays(columns, schema=table.schema),
        pa.Table.from_batches([bad]).cast(REJECTS.schema),
        tally,
        counts,
    )


def run(context: Context, sampled_subjects: Callable[..., dict[str, set[str]]]) -> Report:
    """Writes `questions`, `question_labels` (the labels of their ends, including those from a model) and `rejects`."""
    if context.config.questions.source == "model":
        from polyfact_dataset.questions.model_questions import write

        return write(context, sampled_subjects)
    return _write_templates(context)


def _write_templates(context: Context) -> Report:
    """Questions of all candidates that are labelled in all languages."""
    languages = context.config.languages
    table, tally, wordings = questions(languages), Tally(), Counter[tuple[str, str]]()
    with connect(context.folder) as connection:
        with (
            table_writer(context.target("questions"), table.schema) as keep,
            table_writer(context.target("rejects"), REJECTS.schema) as reject,
        ):
            columns = f"c.*, {SUBJECT}, {both_ends(languages)}, {disambiguation(languages)}"
            rows = stream(connection, f"SELECT {columns} {FACTS} ORDER BY c.property_id, c.priority", inputs(context))
            for good, bad, counts, worded in context.workers.map(ask_batch, rows, languages):
                keep(good)
                reject(bad)
                tally.add(counts)
                wordings.update(worded)
        ends = "SELECT subject_id FROM parquet($questions) UNION SELECT object_id FROM parquet($questions)"
        write_query(
            connection,
            f"SELECT * FROM parquet($labels) WHERE entity_id IN ({ends}) ORDER BY entity_id",
            labels(languages),
            context.target("question_labels"),
            {"labels": inputs(context)["labels"], "questions": str(context.target("questions"))},
        )
    by_language = {code: {name: n for (key, name), n in sorted(wordings.items()) if key == code} for code in languages}
    return Report({"questions": sum(tally.kept.values()), "wordings": by_language}, tally)
