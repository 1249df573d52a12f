"""Stage `questions`: the question of a fact in every language, from templates or a model, and the labels of its ends.

A question depends only on the subject and the relation, never on the options, which keeps the options
exchangeable (deviation from the paper, whose model saw the distractors). Templates are written for
every candidate; a model writes only those that the sampler needs (see `model_questions`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
from polyfact_dataset.schema import REJECTS, labels, questions

SOURCE = "template"


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on, besides the language files."""
    result: dict[str, object] = {"languages": config.languages, "questions": config.questions.model_dump()}
    if config.questions.source == "model":
        # The requested candidates depend on the settings of the sampler.
        result |= {"seed": config.seed, "facts": config.facts}
        result |= {"sample": config.sample.model_dump(), "distract": config.distract.model_dump()}
    return result


def subject_of(row: Mapping[str, Any], code: str) -> Subject:
    """The subject of a joined row, as the argument of a language's templates."""
    features = row["subject_kind"], row["subject_sex"], row["subject_is_living"]
    return Subject(row[f"subject:{code}"], row["subject_id"], *features)


def fault_of(row: Mapping[str, Any], languages: Sequence[str]) -> str | None:
    """The reason why a joined row can have no questions; None where it can."""
    for end in ("subject", "object"):
        for code in languages:
            if row[f"{end}:{code}"] is None:
                return f"{end}_unlabelled:{code}"
    if row["fault"] is not None:
        return str(row["fault"])
    return "subject_of_another_kind" if _is_no_place(row) else None


def _is_no_place(row: Mapping[str, Any]) -> bool:
    """Whether a relation of places has a subject that is known to be another thing: an era, an organisation."""
    assumed, kinds = all_relations()[row["property_id"]].subjects, kind_chain(row["subject_kind"])
    return assumed in ("place", "territory") and bool(kinds) and "place" not in kinds


def ask(row: Mapping[str, Any], languages: Sequence[str]) -> dict[str, Asked]:
    """The questions by language of one joined row that has no fault."""
    return {
        code: language(code).ask(row["property_id"], subject_of(row, code), row[f"description:{code}"])
        for code in languages
    }


def ask_batch(
    rows: pa.RecordBatch, languages: Sequence[str]
) -> tuple[pa.Table, pa.Table, Tally, Counter[tuple[str, str]]]:
    """Joined rows to rows of `schema.questions` and of `schema.REJECTS`, and counts of wordings.

    The counts are by language: safe wordings by reason (`Wordings.why_safe`), and `label_differs`, the questions about
    subjects whose label in the forms differs.
    """
    good, bad, tally, sources = [], [], Tally(), dict.fromkeys(languages, SOURCE)
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows.to_pylist():
        fault = fault_of(row, languages)
        if fault is not None:
            bad.append({**row, "reason": fault})
        else:
            asked = ask(row, languages)
            texts = {code: question.text for code, question in asked.items()}
            templates = {code: question.template for code, question in asked.items()}
            good.append({**row, **texts, "sources": sources, "templates": templates})
            for code in languages:
                subject = subject_of(row, code)
                if asked[code].is_safe:
                    counts[code, language(code).wordings[row["property_id"]].why_safe(subject)] += 1
                if forms(code).differs(subject):
                    counts[code, "label_differs"] += 1
        tally.count(row["property_id"], fault)
    return (
        pa.Table.from_pylist(good, schema=questions(languages).schema),
        pa.Table.from_pylist(bad, schema=REJECTS.schema),
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
