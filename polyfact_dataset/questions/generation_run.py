"""Questions written by a model: rounds of facts, until the sampler has enough.

Candidates are requested lazily (see `scheduler`). After each round the sampler runs on the valid facts. Where it finds
fewer facts of a relation than its share, the next candidates are requested, so that failures of the model reduce
neither the number of facts nor the balance. The result depends only on the answers, so that an interrupted run
resumes to the same result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.database import parquet_files, stream
from polyfact_dataset.common.files import write_parquet
from polyfact_dataset.facts.ambiguous_names import never_distractors
from polyfact_dataset.pipeline.context import Context
from polyfact_dataset.questions.generation import FactInput, FactOutcome, QuestionGenerator
from polyfact_dataset.questions.joined_facts import FACTS, SUBJECT, both_ends, disambiguation, inputs
from polyfact_dataset.questions.scheduler import Candidate, CandidateScheduler
from polyfact_dataset.questions.validate import fault, mark_ambiguous
from polyfact_dataset.schema import CANDIDATES, questions

_ROWS = 1000

SampledSubjects = Callable[..., dict[str, set[str]]]
"""`items.selection.sampled_subjects`, passed by the runner: relation -> subjects that the sampler would take."""
ResolveFacts = Callable[[Iterable[tuple[str, FactInput]], int], Mapping[str, FactOutcome]]
"""Resolves a number of facts with their ids; facts with unanswered requests are omitted."""


class GenerationRun:
    """The state of a run: the candidates, the outcomes of those requested, and the sampler's choice among them."""

    def __init__(
        self,
        context: Context,
        generator: QuestionGenerator,
        connection: duckdb.DuckDBPyConnection,
        sampled_subjects: SampledSubjects,
    ) -> None:
        self._context, self._generator, self._connection = context, generator, connection
        self._sampled_subjects = sampled_subjects
        self._config, self._languages = context.config, context.config.languages
        self._features = context.read("features")
        self._true_objects = never_distractors(context.read("resolved_true_objects"), context.read("disambiguations"))
        self._answer_aliases = context.read("answer_aliases")
        # Candidate rows (fact, subject, property, object, priority) by relation and priority.
        self.candidates: dict[str, dict[str, Any]] = {}
        self.unusable: dict[str, str] = {}
        self.outcomes: dict[str, FactOutcome] = {}
        self.rounds = 0
        self._read_candidates()
        self._load_entity_texts()

    def run(self, resolve: ResolveFacts) -> bool:
        """Resolves round by round into `outcomes`; False when answers are missing."""
        pools: dict[str, list[Candidate]] = defaultdict(list)
        for fact_id, row in self.candidates.items():
            if fact_id not in self.unusable:
                pools[row["property_id"]].append(Candidate(fact_id, row["subject_id"], row["object_id"]))
        options = self._config.questions.spare_share, self._config.sample.answer_share_cap
        scheduler = CandidateScheduler(pools, self._config.facts, *options)
        chosen = scheduler.first()
        while chosen:
            self.rounds += 1
            self._context.log.line(f"questions: round {self.rounds}: {len(chosen):,} facts")
            self.outcomes.update(resolve(self._facts([c.fact_id for c in chosen]), len(chosen)))
            if any(candidate.fact_id not in self.outcomes for candidate in chosen):
                return False
            for candidate in chosen:
                if self.outcomes[candidate.fact_id].reason is not None:
                    scheduler.fail(self.candidates[candidate.fact_id]["property_id"], candidate.fact_id)
            chosen = scheduler.next(self._sampled())
        return True

    # ------------------------------------------------------------ reading
    def _read_candidates(self) -> None:
        """Fills `candidates`, and `unusable` with those that cannot have a valid question, and the reason."""
        query = f"SELECT c.*, d.fault, {both_ends(self._languages)} {FACTS} ORDER BY c.property_id, c.priority"
        for batch in stream(self._connection, query, inputs(self._context)):
            for row in batch.to_pylist():
                self.candidates[row["fact_id"]] = {name: row[name] for name in CANDIDATES.schema.names}
                reason = self._unusable(row)
                if reason is not None:
                    self.unusable[row["fact_id"]] = reason

    def _unusable(self, row: Mapping[str, Any]) -> str | None:
        if row["fault"] is not None:
            return str(row["fault"])
        for end in ("subject", "object"):
            if all(row[f"{end}:{code}"] is None for code in self._languages):
                return f"{end}_unlabelled:{self._languages[0]}"
        for code in self._languages:
            subject, answer = row[f"subject:{code}"], row[f"object:{code}"]
            # A question contains its subject's name, so a fault of the name is a fault of every wording.
            reason = subject and answer and fault(subject, subject, answer, code)
            if reason:
                return f"{reason}:{code}"
        return None

    def _load_entity_texts(self) -> None:
        """Temporary table `entity_text`: labels and descriptions of the candidates' entities and of their types."""
        path = self._context.path
        self._connection.execute(
            """
            CREATE TEMP TABLE entity_text AS
            WITH fact AS (SELECT subject_id, object_id FROM parquet($candidates)),
            end_entity AS (
                SELECT entity_id AS id, types FROM parquet($labels)
                WHERE entity_id IN (SELECT subject_id FROM fact UNION SELECT object_id FROM fact)
            ), needed AS (SELECT id FROM end_entity UNION SELECT types[1] FROM end_entity WHERE len(types) > 0),
            source AS (
                SELECT id, labels, descriptions, 0 AS priority FROM parquet($entities) WHERE kind = 'item'
                UNION ALL SELECT id, labels, descriptions, 1 FROM parquet($fetched)
            )
            SELECT id, labels, descriptions FROM source SEMI JOIN needed USING (id)
            QUALIFY row_number() OVER (PARTITION BY id ORDER BY len(descriptions) DESC, len(labels) DESC, priority) = 1
            """,
            {
                "candidates": parquet_files(path("resolved_candidates")),
                "labels": parquet_files(path("labels")),
                "entities": parquet_files(path("entities")),
                "fetched": parquet_files(path("fetched")),
            },
        )

    def _facts(self, ids: list[str]) -> Iterator[tuple[str, FactInput]]:
        """The facts by id, with the values for prompts, by relation and priority."""
        self._connection.register("chosen", pa.table({"fact_id": pa.array(ids, pa.string())}))
        query = f"""
            SELECT c.*, {SUBJECT}, {both_ends(self._languages)}, {disambiguation(self._languages)},
                   sn.descriptions AS subject_descriptions, sk.labels AS subject_kinds,
                   an.descriptions AS object_descriptions, ak.labels AS object_kinds
            {FACTS}
            LEFT JOIN entity_text sn ON sn.id = c.subject_id LEFT JOIN entity_text sk ON sk.id = s.types[1]
            LEFT JOIN entity_text an ON an.id = c.object_id LEFT JOIN entity_text ak ON ak.id = o.types[1]
            WHERE c.fact_id IN (SELECT fact_id FROM chosen) ORDER BY c.property_id, c.priority
        """
        for batch in stream(self._connection, query, inputs(self._context)):
            for start in range(0, batch.num_rows, _ROWS):
                for row in batch.slice(start, _ROWS).to_pylist():
                    yield row["fact_id"], _fact_input(row, self._languages)

    # ------------------------------------------------------------ results
    def question_rows(self) -> list[dict[str, Any]]:
        """Rows of the questions table: the kept facts, by relation and priority."""
        rows = []
        for fact_id, row in self.candidates.items():
            outcome = self.outcomes.get(fact_id)
            if outcome is not None and outcome.reason is None:
                templates = {code: outcome.templates.get(code, "") for code in self._languages}
                rows.append({**row, **outcome.questions, "sources": outcome.sources, "templates": templates})
        return rows

    def reason(self, fact_id: str) -> str | None:
        """The reason why a candidate has no question, or None."""
        if fact_id in self.unusable:
            return self.unusable[fact_id]
        outcome = self.outcomes.get(fact_id)
        return "not_asked" if outcome is None else outcome.reason

    def labels(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """The labels of both ends of `rows`, with the model's labels where Wikidata has none."""
        ends = {row[name] for row in rows for name in ("subject_id", "object_id")}
        model_labels: dict[str, dict[str, str]] = defaultdict(dict)
        for row in rows:
            for (entity, code), text in self.outcomes[row["fact_id"]].labels.items():
                model_labels[entity][code] = text
        table = self._context.read("labels")
        table = table.filter(pc.is_in(table.column("entity_id"), pa.array(sorted(ends), pa.string())))
        touched = pc.is_in(table.column("entity_id"), pa.array(sorted(model_labels), pa.string()))
        changed = table.filter(touched).to_pylist()
        for row in changed:
            for code, text in model_labels[row["entity_id"]].items():
                row[code] = {"text": text, "provenance": self._generator.source, "attested": False}
        whole = [table.filter(pc.invert(touched)), pa.Table.from_pylist(changed, schema=table.schema)]
        return pa.concat_tables(whole).sort_by("entity_id")

    def _sampled(self) -> dict[str, set[str]]:
        """Relation -> subjects of the facts that the sampler takes from those kept so far."""
        rows = self.question_rows()
        if not rows:
            return {}
        path = self._context.target("questions")
        table = pa.Table.from_pylist(rows, schema=questions(self._languages).schema)
        write_parquet(path, table)
        labels = self.labels(rows)
        write_parquet(labels_path := self._context.target("question_labels"), labels)
        mark_ambiguous(self._connection, parquet_files(path), parquet_files(labels_path), self._languages)
        ambiguous = [fact for (fact,) in self._connection.execute("SELECT fact_id FROM ambiguous").fetchall()]
        unambiguous = pc.invert(pc.is_in(table.column("fact_id"), pa.array(ambiguous, pa.string())))
        valid = table.filter(unambiguous).select(CANDIDATES.schema.names)
        return self._sampled_subjects(
            valid,
            labels,
            self._answer_aliases,
            table,
            self._true_objects,
            self._config,
            self._context.previous,
            self._features,
            self._context.excluded,
        )


def _texts(entries: Iterable[Mapping[str, str]] | None, chain: Sequence[str]) -> list[str]:
    """The first text in a chain of codes, as a list of at most one."""
    texts = {entry["code"]: entry["text"] for entry in entries or ()}
    return next(([texts[code]] for code in chain if code in texts), [])


def _fact_input(row: Mapping[str, Any], languages: tuple[str, ...]) -> FactInput:
    """A joined row as a fact with the values for its prompts."""

    def texts_of(end: str) -> dict[str, tuple[str, ...]]:
        by_language = {}
        for code in languages:
            chain = language(code).labels
            texts = _texts(row[f"{end}_descriptions"], chain) + _texts(row[f"{end}_kinds"], chain)
            if texts:
                by_language[code] = tuple(texts)
        return by_language

    return FactInput(
        **{name: row[name] for name in CANDIDATES.schema.names},
        kind=row["subject_kind"],
        sex=row["subject_sex"],
        is_living=row["subject_is_living"],
        subject={code: row[f"subject:{code}"] for code in languages},
        answer={code: row[f"object:{code}"] for code in languages},
        descriptions={code: text for code in languages if (text := row[f"description:{code}"]) is not None},
        about=texts_of("subject"),
        answer_about=texts_of("object"),
    )
