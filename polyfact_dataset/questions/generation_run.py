"""Questions written by a model: rounds of facts, settled from the cache and an engine, until the sampler has enough.

The pool is asked lazily (see `need`). After each round the sampler itself is run on what survived: where it finds
fewer facts of a relation than its share, the next candidates are asked, so that a model's failures cost neither
facts nor balance. Nothing but the answers decides, so a run that was killed goes on to the same result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.catalog.language import language
from polyfact_dataset.catalog.relation import kind_of
from polyfact_dataset.common.database import stream
from polyfact_dataset.common.files import write_parquet
from polyfact_dataset.pipeline.context import Context
from polyfact_dataset.questions.generation import Asking, Fact, Settled
from polyfact_dataset.questions.scheduler import Candidate, Need
from polyfact_dataset.questions.templates import FACTS, both_ends, inputs
from polyfact_dataset.questions.validate import fault, mark_ambiguous
from polyfact_dataset.schema import CANDIDATES, questions

_ROWS = 1000

SampledSubjects = Callable[..., dict[str, set[str]]]
"""`items.selection.sampled_subjects`, which the runner passes: relation -> subjects that the sampler would take."""
Settle = Callable[[Iterable[Fact], int], Mapping[str, Settled]]
"""Settles facts, whose number is given; those with requests that found no answer are left out of the result."""


class Writing:
    """The state of a whole run: candidates, what became of those asked, and what the sampler makes of them."""

    def __init__(
        self,
        context: Context,
        asking: Asking,
        connection: duckdb.DuckDBPyConnection,
        sampled_subjects: SampledSubjects,
    ) -> None:
        self._context, self._asking, self._connection = context, asking, connection
        self._sampled_subjects = sampled_subjects
        self._config, self._languages = context.config, context.config.languages
        self._true_objects = context.read("resolved_true_objects")
        self._answer_aliases = context.read("answer_aliases")
        # Candidate rows (fact, subject, property, object, priority) in the order of the pool.
        self.candidates: dict[str, dict[str, Any]] = {}
        self.unfit: dict[str, str] = {}
        self.settled: dict[str, Settled] = {}
        self.rounds = 0
        self._read_candidates()
        self._note_entities()

    def run(self, settle: Settle) -> bool:
        """Asks round by round; False when answers are missing, and `settled` holds what could be settled."""
        pools: dict[str, list[Candidate]] = defaultdict(list)
        for fact_id, row in self.candidates.items():
            if fact_id not in self.unfit:
                pools[row["property_id"]].append(Candidate(fact_id, row["subject_id"], row["object_id"]))
        options = self._config.questions.spare_share, self._config.sample.answer_share_cap
        need = Need(pools, self._config.facts, *options)
        chosen = need.first()
        while chosen:
            self.rounds += 1
            self._context.log.line(f"questions: round {self.rounds}: {len(chosen):,} facts")
            self.settled.update(settle(self._facts([c.fact_id for c in chosen]), len(chosen)))
            if any(candidate.fact_id not in self.settled for candidate in chosen):
                return False
            for candidate in chosen:
                if self.settled[candidate.fact_id].reason is not None:
                    need.fail(self.candidates[candidate.fact_id]["property_id"], candidate.fact_id)
            chosen = need.next(self._sampled())
        return True

    # ------------------------------------------------------------ reading
    def _read_candidates(self) -> None:
        """Fills `candidates`, and `unfit` with those that no question could make sound, and why."""
        query = f"SELECT c.*, d.fault, {both_ends(self._languages)} {FACTS} ORDER BY c.property_id, c.priority"
        for batch in stream(self._connection, query, inputs(self._context)):
            for row in batch.to_pylist():
                self.candidates[row["fact_id"]] = {name: row[name] for name in CANDIDATES.schema.names}
                reason = self._unfit(row)
                if reason is not None:
                    self.unfit[row["fact_id"]] = reason

    def _unfit(self, row: Mapping[str, Any]) -> str | None:
        if row["fault"] is not None:
            return str(row["fault"])
        for end in ("subject", "object"):
            if all(row[f"{end}:{code}"] is None for code in self._languages):
                return f"{end}_unlabelled:{self._languages[0]}"
        for code in self._languages:
            subject, answer = row[f"subject:{code}"], row[f"object:{code}"]
            # A question names its subject: what is wrong with the name alone, no wording mends.
            reason = subject and answer and fault(subject, subject, answer, code)
            if reason:
                return f"{reason}:{code}"
        return None

    def _note_entities(self) -> None:
        """Temporary table `note`: labels and descriptions of the candidates' entities and of their types."""
        path = self._context.path
        self._connection.execute(
            """
            CREATE TEMP TABLE note AS
            WITH fact AS (SELECT subject_id, object_id FROM read_parquet($candidates)),
            own AS (
                SELECT entity_id AS id, types FROM read_parquet($labels)
                WHERE entity_id IN (SELECT subject_id FROM fact UNION SELECT object_id FROM fact)
            ), wanted AS (SELECT id FROM own UNION SELECT types[1] FROM own WHERE len(types) > 0),
            held AS (
                SELECT id, labels, descriptions, 0 AS place FROM read_parquet($entities) WHERE kind = 'item'
                UNION ALL SELECT id, labels, descriptions, 1 FROM read_parquet($fetched)
            )
            SELECT id, labels, descriptions FROM held SEMI JOIN wanted USING (id)
            QUALIFY row_number() OVER (PARTITION BY id ORDER BY len(descriptions) DESC, len(labels) DESC, place) = 1
            """,
            {
                "candidates": str(path("resolved_candidates")),
                "labels": str(path("labels")),
                "entities": str(path("entities")),
                "fetched": str(path("fetched")),
            },
        )

    def _facts(self, ids: list[str]) -> Iterator[Fact]:
        """The facts with all that a prompt needs, in the order of the pool."""
        self._connection.register("chosen", pa.table({"fact_id": pa.array(ids, pa.string())}))
        descriptions = ", ".join(f'd."{code}" AS "description:{code}"' for code in self._languages)
        query = f"""
            SELECT c.*, s.types AS subject_types, {both_ends(self._languages)}, {descriptions},
                   sn.descriptions AS subject_descriptions, sk.labels AS subject_kinds,
                   an.descriptions AS object_descriptions, ak.labels AS object_kinds
            {FACTS}
            LEFT JOIN note sn ON sn.id = c.subject_id LEFT JOIN note sk ON sk.id = s.types[1]
            LEFT JOIN note an ON an.id = c.object_id LEFT JOIN note ak ON ak.id = o.types[1]
            WHERE c.fact_id IN (SELECT fact_id FROM chosen) ORDER BY c.property_id, c.priority
        """
        for batch in stream(self._connection, query, inputs(self._context)):
            for start in range(0, batch.num_rows, _ROWS):
                for row in batch.slice(start, _ROWS).to_pylist():
                    yield _fact(row, self._languages)

    # ------------------------------------------------------------ results
    def question_rows(self) -> list[dict[str, Any]]:
        """Rows of the questions table: the facts that were kept, in the order of the pool."""
        rows = []
        for fact_id, row in self.candidates.items():
            settled = self.settled.get(fact_id)
            if settled is not None and settled.reason is None:
                rows.append({**row, **settled.questions, "sources": settled.sources})
        return rows

    def reason(self, fact_id: str) -> str | None:
        """Why a candidate has no question, or None."""
        if fact_id in self.unfit:
            return self.unfit[fact_id]
        settled = self.settled.get(fact_id)
        return "not_asked" if settled is None else settled.reason

    def labels(self, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
        """The labels of both ends of `rows`, with those that the model gave."""
        ends = {row[name] for row in rows for name in ("subject_id", "object_id")}
        given: dict[str, dict[str, str]] = defaultdict(dict)
        for row in rows:
            for (entity, code), text in self.settled[row["fact_id"]].labels.items():
                given[entity][code] = text
        table = self._context.read("labels")
        table = table.filter(pc.is_in(table.column("entity_id"), pa.array(sorted(ends), pa.string())))
        touched = pc.is_in(table.column("entity_id"), pa.array(sorted(given), pa.string()))
        changed = table.filter(touched).to_pylist()
        for row in changed:
            for code, text in given[row["entity_id"]].items():
                row[code] = {"text": text, "provenance": self._asking.source, "attested": False}
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
        mark_ambiguous(self._connection, str(path), self._languages)
        doubtful = [fact for (fact,) in self._connection.execute("SELECT fact_id FROM ambiguous").fetchall()]
        sure = pc.invert(pc.is_in(table.column("fact_id"), pa.array(doubtful, pa.string())))
        valid = table.filter(sure).select(CANDIDATES.schema.names)
        return self._sampled_subjects(
            valid,
            self.labels(rows),
            self._answer_aliases,
            table,
            self._true_objects,
            self._config,
            self._context.previous,
        )


def _texts(entries: Iterable[Mapping[str, str]] | None, chain: Sequence[str]) -> list[str]:
    """The first text in a chain of codes, as a list of at most one."""
    texts = {entry["code"]: entry["text"] for entry in entries or ()}
    return next(([texts[code]] for code in chain if code in texts), [])


def _fact(row: Mapping[str, Any], languages: tuple[str, ...]) -> Fact:
    """A joined row as a fact."""

    def notes(end: str) -> dict[str, tuple[str, ...]]:
        found = {}
        for code in languages:
            chain = language(code).labels
            texts = _texts(row[f"{end}_descriptions"], chain) + _texts(row[f"{end}_kinds"], chain)
            if texts:
                found[code] = tuple(texts)
        return found

    return Fact(
        **{name: row[name] for name in CANDIDATES.schema.names},
        kind=kind_of(row["subject_types"]),
        subject={code: row[f"subject:{code}"] for code in languages},
        answer={code: row[f"object:{code}"] for code in languages},
        descriptions={code: text for code in languages if (text := row[f"description:{code}"]) is not None},
        about=notes("subject"),
        answer_about=notes("object"),
    )
