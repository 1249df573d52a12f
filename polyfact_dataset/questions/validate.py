"""Stage `validate`: all or nothing. A fact stays only if its question and gold are sound in every language.

What depends on the distractors (four distinct options, none in the question) is guaranteed where they are drawn,
in `facts/distract.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from polyfact_dataset.config import Config
from polyfact_dataset.engine import connect, stream
from polyfact_dataset.languages import language
from polyfact_dataset.pipeline import Context, Report, Tally
from polyfact_dataset.questions.write import both_ends
from polyfact_dataset.records import REJECTS, SURVIVORS
from polyfact_dataset.relations import all_relations
from polyfact_dataset.storage import parquet_writer
from polyfact_dataset.text import half_transliterated, mentions, mentions_inflected, mentions_surname, normalise


def settings(config: Config) -> dict[str, object]:
    """What the result depends on besides the tables read."""
    return {"languages": config.languages}


def fault(question: str, subject: str, gold: str, code: str, people: str | None = None) -> str | None:
    """The reason why one language's question is unsound, or None. Texts are as shown to the reader.

    `people` is which end of the fact is a person (relations.toml).
    """
    entry = language(code)
    asked, named, answer = normalise(question), normalise(subject), normalise(gold)
    if not asked:
        return "empty_question"
    if named not in asked:
        return "subject_not_named"
    if named == answer:
        return "subject_is_gold"
    if mentions(asked, answer, spaced=entry.spaced, glue=entry.glue):
        return "gold_in_question"
    if mentions_inflected(asked, answer, entry.cases):
        return "gold_inflected"
    if people == "answers" and mentions_surname(
        asked, answer, spaced=entry.spaced, glue=entry.glue, endings=entry.cases
    ):
        return "surname_in_question"
    if people and half_transliterated(gold if people == "answers" else subject, person=True):
        return "half_transliterated"
    return None


def ambiguous(connection: duckdb.DuckDBPyConnection, questions: str, languages: Sequence[str]) -> dict[str, str]:
    """Fact -> a language in which its question is also asked of another subject.

    `questions` is the path of a questions table.
    """
    parts = " UNION ALL ".join(
        f"""SELECT fact_id, '{code}' AS code FROM read_parquet($questions)
            WINDOW asked AS (PARTITION BY property_id, lower("{code}"))
            QUALIFY min(subject_id) OVER asked <> max(subject_id) OVER asked"""
        for code in languages
    )
    query = f"SELECT fact_id, min(code) FROM ({parts}) GROUP BY fact_id ORDER BY fact_id"
    return dict(connection.execute(query, {"questions": questions}).fetchall())


def verdict(row: dict[str, Any], languages: Sequence[str], doubtful: Mapping[str, str]) -> str | None:
    """The reason code of the first language in which the fact is unsound, or None. `doubtful`: see `ambiguous`."""
    if row["fact_id"] in doubtful:
        return f"ambiguous_subject:{doubtful[row['fact_id']]}"
    people = all_relations()[row["property_id"]].people
    for code in languages:
        reason = fault(row[code], row[f"subject:{code}"], row[f"object:{code}"], code, people)
        if reason is not None:
            return f"{reason}:{code}"
    return None


def run(context: Context) -> Report:
    """Writes `survivors` and `rejects`."""
    languages, tally = context.config.languages, Tally()
    with (
        connect(context.folder) as connection,
        parquet_writer(context.target("survivors"), SURVIVORS.schema) as kept,
        parquet_writer(context.target("rejects"), REJECTS.schema) as rejects,
    ):
        doubtful = ambiguous(connection, str(context.path("questions", "questions")), languages)
        query = f"""
            SELECT q.*, {both_ends(languages)}
            FROM read_parquet($questions) q
            JOIN read_parquet($localised) s ON s.entity_id = q.subject_id
            JOIN read_parquet($localised) o ON o.entity_id = q.object_id
            ORDER BY q.property_id, q.priority
        """
        parameters = {
            "questions": str(context.path("questions", "questions")),
            "localised": str(context.path("questions", "localised")),
        }
        for batch in stream(connection, query, parameters):
            good, bad = [], []
            for row in batch.to_pylist():
                relation = row["property_id"]
                tally.input[relation] += 1
                reason = verdict(row, languages, doubtful)
                if reason is None:
                    good.append(row)
                    tally.kept[relation] += 1
                else:
                    bad.append({**row, "reason": reason})
                    tally.rejected.setdefault(relation, Counter())[reason] += 1
            for rows, writer, target in ((good, kept, SURVIVORS), (bad, rejects, REJECTS)):
                if rows:
                    writer.write_table(pa.Table.from_pylist(rows, schema=target.schema))
    return Report({"survivors": sum(tally.kept.values())}, tally)
