"""Stage `validate`: keeps a fact only if its question and gold are valid in every language.

Conditions on distractors (four distinct options, none in the question) are ensured when they are drawn, in
`items.strata`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import duckdb
import numpy as np
import pyarrow as pa

from polyfact_dataset.catalog.forms import forms
from polyfact_dataset.catalog.language import language
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.database import connect, parquet_files, stream
from polyfact_dataset.common.files import table_writer
from polyfact_dataset.common.text.mentions import Mention, MentionRule, mention
from polyfact_dataset.common.text.normalise import normalise, normalise_all
from polyfact_dataset.common.text.scripts import half_transliterated
from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.context import Context, Report, Tally
from polyfact_dataset.questions.joined_facts import both_ends
from polyfact_dataset.schema import REJECTS, VALID_CANDIDATES, Table

_MENTION_REASONS: dict[Mention, str] = {
    "name": "gold_in_question",
    "inflected": "gold_inflected",
    "surname": "surname_in_question",
}


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on."""
    return {"languages": config.languages}


def fault(
    question: str,
    subject: str,
    gold: str,
    code: str,
    people: str | None = None,
    names: Collection[str] = (),
    written: Iterable[str] = (),
) -> str | None:
    """The reason why one language's question is invalid, or None. Texts are as shown to the reader.

    `people` is which end of the fact is a person (relations.toml), `names` are other names of the gold, `written` forms
    of the subject's name that may replace it ("das Vereinigte Königreich").
    """
    forms_of_gold = [normalise(name) for name in (gold, *names)]
    end = people and (gold if people == "answers" else subject)
    texts = normalise(question), normalise(subject)
    return _fault(*texts, forms_of_gold, language(code).mention_rule, people, end, written)


def _fault(
    question_text: str,
    named: str,
    golds: Sequence[str],
    rule: MentionRule,
    people: str | None,
    person: str | None,
    written: Iterable[str],
) -> str | None:
    """`fault` of texts in the form of `normalise`: `golds` are the gold and its other names.

    `person` is the name of the fact's person, as it is shown.
    """
    answer = golds[0]
    if not question_text:
        return "empty_question"
    if named not in question_text and not any(normalise(form) in question_text for form in written):
        return "subject_not_named"
    if named == answer:
        return "subject_is_gold"
    if (how := mention(question_text, answer, rule, person=people == "answers")) is not None:
        return _MENTION_REASONS[how]
    for name in golds[1:]:
        if mention(question_text, name, rule) is not None:
            return "alias_in_question"
    return "half_transliterated" if person and half_transliterated(person, person=True) else None


def mark_ambiguous(
    connection: duckdb.DuckDBPyConnection, questions: Sequence[str], labels: Sequence[str], languages: Sequence[str]
) -> None:
    """Makes a temporary table `ambiguous`: facts whose question equals that of another subject, and the reason.

    `questions` and `labels` are the files of tables. Of subjects with the same question and the same answer only the
    best known one is kept (`same_question:<code>`). Where their answers differ, all are rejected
    (`ambiguous_subject:<code>`).
    """
    parts = " UNION ALL ".join(
        f"""SELECT fact_id, subject_id, object_id, property_id, '{code}' AS code, lower("{code}") AS question
            FROM parquet($questions)"""
        for code in languages
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE ambiguous AS
        WITH asked AS (
            SELECT *, min(subject_id) OVER same <> max(subject_id) OVER same AS shared FROM ({parts})
            WINDOW same AS (PARTITION BY property_id, code, question)
        ), ranked AS (
            SELECT a.*, first_value(subject_id) OVER (
                       PARTITION BY property_id, code, question ORDER BY sitelinks DESC, subject_id) AS best
            FROM asked a JOIN parquet($labels) l ON l.entity_id = a.subject_id WHERE shared
        ), judged AS (
            SELECT *, bool_and(subject_id = best OR list_contains(answers, object_id)) OVER (
                       PARTITION BY property_id, code, question) AS one_answer
            FROM (SELECT *, list(object_id) FILTER (subject_id = best) OVER (
                       PARTITION BY property_id, code, question) AS answers FROM ranked)
        )
        SELECT fact_id, min(CASE WHEN one_answer THEN 'same_question:' ELSE 'ambiguous_subject:' END || code) AS reason
        FROM judged WHERE NOT (one_answer AND subject_id = best) GROUP BY fact_id
        """,
        {"questions": questions, "labels": labels},
    )


def judge_batch(rows: pa.RecordBatch, languages: Sequence[str]) -> tuple[pa.Table, pa.Table, Tally]:
    """Joined rows to rows of `schema.VALID_CANDIDATES` and of `schema.REJECTS`.

    The reason of a reject is a known error, or the first language in which the fact is invalid. Columns are judged one
    after the other, and the names of a gold are read once.
    """
    reasons = [
        "erratum" if erratum else ambiguous
        for erratum, ambiguous in zip(rows.column("erratum").to_pylist(), rows.column("ambiguous").to_pylist())
    ]
    relations, ids = (rows.column(name).to_pylist() for name in ("property_id", "subject_id"))
    people = [all_relations()[relation].people for relation in relations]
    golds = rows.column("object_id").dictionary_encode().indices.to_numpy()
    distinct = pa.array(np.unique(golds, return_index=True)[1])
    for code in languages:
        rule, written = language(code).mention_rule, forms(code).written
        questions, subjects, answers = (
            rows.column(name).to_pylist() for name in (code, f"subject:{code}", f"object:{code}")
        )
        columns = (rows.column(name).take(distinct).to_pylist() for name in (f"object:{code}", f"names:{code}"))
        forms_of = [[normalise(name) for name in (gold, *(names or ()))] for gold, names in zip(*columns)]
        texts = zip(normalise_all(questions), normalise_all(subjects))
        for position, (question_text, named) in enumerate(texts):
            if reasons[position] is None:
                end = people[position]
                person = end and (answers if end == "answers" else subjects)[position]
                also = written(ids[position], subjects[position])
                reason = _fault(question_text, named, forms_of[golds[position]], rule, end, person, also)
                reasons[position] = reason and f"{reason}:{code}"
    tally = Tally()
    for relation, reason in zip(relations, reasons):
        tally.count(relation, reason)
    column = pa.array(reasons, pa.string())
    bad = rows.select(["fact_id", "property_id"]).append_column("reason", column).filter(column.is_valid())
    good = rows.select(VALID_CANDIDATES.schema.names).filter(column.is_null())
    return _table(good, VALID_CANDIDATES), _table(bad, REJECTS), tally


def _table(rows: pa.RecordBatch, table: Table) -> pa.Table:
    return pa.Table.from_batches([rows]).cast(table.schema)


def run(context: Context) -> Report:
    """Writes `valid_candidates` and `rejects`."""
    languages, tally = context.config.languages, Tally()
    with (
        connect(context.folder) as connection,
        table_writer(context.target("valid_candidates"), VALID_CANDIDATES.schema) as keep,
        table_writer(context.target("rejects"), REJECTS.schema) as reject,
    ):
        mark_ambiguous(
            connection,
            parquet_files(context.path("questions")),
            parquet_files(context.path("question_labels")),
            languages,
        )
        facts = ", ".join(f"q.{name}" for name in VALID_CANDIDATES.schema.names)
        questions = ", ".join(f'q."{code}"' for code in languages)
        names = ", ".join(f'n."{code}" AS "names:{code}"' for code in languages)
        query = f"""
            SELECT {facts}, {questions}, a.reason AS ambiguous, list_contains($errata, q.fact_id) AS erratum,
                {both_ends(languages)}, {names}
            FROM parquet($questions) q
            JOIN parquet($labels) s ON s.entity_id = q.subject_id
            JOIN parquet($labels) o ON o.entity_id = q.object_id
            LEFT JOIN parquet($answer_aliases) n ON n.entity_id = q.object_id
            LEFT JOIN ambiguous a USING (fact_id)
            ORDER BY q.property_id, q.priority
        """
        parameters = {
            "questions": parquet_files(context.path("questions")),
            "labels": parquet_files(context.path("question_labels")),
            "answer_aliases": parquet_files(context.path("answer_aliases")),
            "errata": sorted(context.errata),
        }
        rows = stream(connection, query, parameters)
        for good, bad, counts in context.workers.map(judge_batch, rows, languages):
            keep(good)
            reject(bad)
            tally.add(counts)
    return Report({"valid_candidates": sum(tally.kept.values())}, tally)
