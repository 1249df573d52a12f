"""Stage `sample`: selects the facts of a release, their splits and their distractors.

Sampling and drawing constrain each other: a fact that cannot get distractors in its stratum is left out and replaced by
the next of its pool, until every chosen fact has three exchangeable distractors.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.config.build import Config
from polyfact_dataset.facts.ambiguous_names import never_distractors
from polyfact_dataset.items.block_selection import choose_blocks
from polyfact_dataset.items.distractors import NoDrawingError
from polyfact_dataset.items.small_relations import as_sentence, choose_whole
from polyfact_dataset.items.splits import Fact, Selection, select
from polyfact_dataset.items.strata import Pool
from polyfact_dataset.pipeline.context import Context, Previous, Report, Tally
from polyfact_dataset.pipeline.stages import CANDIDATES
from polyfact_dataset.schema import REJECTS, SAMPLED, SPLITS

_ROUNDS = 40
_NONE = Previous()
Known = dict[tuple[str, tuple[str, ...]], list[tuple[str, ...]]]
"""The drawings of earlier rounds, by stratum and its facts."""


@dataclass
class Drawn:
    """Facts with their distractors, and facts without any."""

    rows: list[dict[str, object]] = field(default_factory=list)
    unserved: list[str] = field(default_factory=list)


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on."""
    return {
        "seed": config.seed,
        "facts": config.facts,
        "languages": config.languages,
        "sample": config.sample.model_dump(),
        "distract": config.distract.model_dump(),
    }


def draw_all(pool: Pool, selection: Selection, config: Config, known: Known | None = None) -> Drawn:
    """Distractors for every chosen fact, stratum by stratum; strata in `known` are not drawn again."""
    known = {} if known is None else known
    drawn = Drawn()
    for (relation, split), facts in selection.facts.items():
        for number, members in pool.strata(facts, config.distract):
            stratum = f"{relation}/{split}/{number}"
            key = (stratum, tuple(fact.id for fact in members))
            if key not in known:
                try:
                    known[key] = pool.draw(members, f"{config.seed}/{stratum}")
                except NoDrawingError as error:
                    drawn.unserved.append(members[error.row].id)
                    continue
            for fact, distractors in zip(members, known[key]):
                drawn.rows.append(
                    {
                        "fact_id": fact.id,
                        "subject_id": fact.subject,
                        "property_id": relation,
                        "object_id": fact.answer,
                        "split": split,
                        "stratum": stratum,
                        "distractor_ids": list(distractors),
                    }
                )
    return drawn


def choose(pool: Pool, config: Config, previous: Previous = _NONE) -> tuple[list[dict[str, object]], set[str]]:
    """Rows of `schema.SAMPLED` in a fixed order, and the ids of facts that no drawing could serve."""
    if config.distract.design == "blocks":
        rows, unserved = choose_blocks(pool, config, previous)
    # In a release of a few facts there may be no whole block where permutations exist.
    if config.distract.design == "strata" or not rows:
        rows, unserved = choose_strata(pool, config, previous)
    order = {split: position for position, split in enumerate(SPLITS)}
    rows.sort(key=lambda row: (order[row["split"]], row["fact_id"]))  # type: ignore[index]
    return rows, unserved


def choose_strata(pool: Pool, config: Config, previous: Previous = _NONE) -> tuple[list[dict[str, object]], set[str]]:
    """Rows whose distractors are permutations of the golds of a stratum, and the facts that could not be served."""
    unserved: set[str] = set()
    known: Known = {}
    for _ in range(_ROUNDS):
        pools = {relation: [f for f in facts if f.id not in unserved] for relation, facts in pool.facts.items()}
        drawn = draw_all(pool, select(pools, config.facts, config.seed, config.sample, previous.splits), config, known)
        if not drawn.unserved:
            return drawn.rows, unserved
        # What excludes the distractors of one fact excludes those of its subject's other facts in the relation.
        asked = {tuple(name.split("|")[:2]) for name in drawn.unserved}
        unserved.update(f.id for facts in pools.values() for f in facts if (f.subject, f.relation) in asked)
    raise DataError(
        f"no drawing of distractors after {_ROUNDS} rounds and {len(unserved)} facts left out; "
        "the pools are too small: lower --facts, or raise candidates.pool_factor"
    )


def _tally(
    pool: Pool,
    rows: list[dict[str, object]],
    unserved: Collection[str],
    left_out: Collection[str],
    excluded: Sequence[Fact] = (),
) -> tuple[Tally, list[dict[str, str]]]:
    tally, rejects = Tally(), []
    for fact in sorted(excluded, key=_by_id):
        tally.count(fact.relation, "excluded")
        rejects.append({"fact_id": fact.id, "property_id": fact.relation, "reason": "excluded"})
    chosen = {row["fact_id"]: row for row in rows}
    asked = {(row["subject_id"], row["property_id"]) for row in rows}
    for relation, facts in sorted(pool.facts.items()):
        tally.input[relation] += len(facts)
        for fact in sorted(facts, key=_by_id):
            if fact.id in chosen:
                tally.kept[relation] += 1
                continue
            if fact.id in unserved:
                reason = "no_distractors"
            elif relation in left_out:
                reason = "relation_too_small"
            elif (fact.subject, relation) in asked:
                reason = "subject_already_asked"
            else:
                reason = "not_sampled"
            tally.rejected.setdefault(relation, Counter())[reason] += 1
            rejects.append({"fact_id": fact.id, "property_id": relation, "reason": reason})
    return tally, rejects


def withdraw(pool: Pool, excluded: Container[str]) -> list[Fact]:
    """Removes the excluded facts from a pool and returns them; others replace them."""
    gone = [fact for facts in pool.facts.values() for fact in facts if fact.id in excluded]
    if gone:
        pool.facts = {
            relation: kept
            for relation, facts in pool.facts.items()
            if (kept := [fact for fact in facts if fact.id not in excluded])
        }
    return gone


def sampled_subjects(
    valid: pa.Table,
    labels: pa.Table,
    answer_aliases: pa.Table,
    questions: pa.Table,
    true_objects: pa.Table,
    config: Config,
    previous: Previous = _NONE,
    features: pa.Table | None = None,
    excluded: Container[str] = (),
) -> dict[str, set[str]]:
    """Relation -> subjects of the facts that the sampler would take from these tables; empty where it finds none.

    The generation of questions calls this after each round, to find the relations that need more facts.
    """
    pool = Pool(valid, labels, answer_aliases, questions, true_objects, config.languages, features)
    withdraw(pool, excluded)
    subjects: dict[str, set[str]] = defaultdict(set)
    try:
        chosen, _, _ = choose_whole(pool, config, previous, choose)
    except DataError:
        # Too few for any drawing: more are requested, and the sample stage reports it if there are no more.
        return subjects
    for row in chosen:
        subjects[str(row["property_id"])].add(str(row["subject_id"]))
    return subjects


def _by_id(fact: Fact) -> str:
    return fact.id


def run(context: Context) -> Report:
    """Writes `sampled` and `rejects`."""
    config = context.config
    pool = Pool(
        context.read("valid_candidates"),
        context.read("question_labels"),
        context.read("answer_aliases"),
        context.read("questions"),
        never_distractors(context.read("resolved_true_objects"), context.read("disambiguations")),
        config.languages,
        context.read("features"),
    )
    excluded = withdraw(pool, context.excluded)
    if not pool.facts:
        raise DataError("no fact passed validation; see the rejects of the earlier stages for the reasons")
    rows, unserved, left_out = choose_whole(pool, config, context.previous, choose)
    if not rows:
        raise DataError(
            "no relation has four answers that are distinguishable in every language; "
            "see the rejects of the earlier stages, or lower candidates.min_languages"
        )
    tally, rejects = _tally(pool, rows, unserved, left_out, excluded)
    context.write("sampled", pa.Table.from_pylist(rows, schema=SAMPLED.schema))
    context.write("rejects", pa.Table.from_pylist(rejects, schema=REJECTS.schema))
    for relation, sizes in left_out.items():
        context.log.line(as_sentence(relation, sizes, config.sample))
    splits = Counter(str(row["split"]) for row in rows)
    if len(rows) < config.facts:
        pools = context.entry(CANDIDATES)["tally"]
        beyond = sum(counts["rejected"].get("beyond_pool", 0) for counts in pools.values())
        why = (
            f"{beyond:,} candidates are beyond the pools, raise candidates.pool_factor"
            if beyond
            else "there are no more"
        )
        context.log.line(f"sample: {len(rows):,} facts of the {config.facts:,} requested; {why}")
    if set(splits) != set(SPLITS):
        context.log.line("sample: too few facts for validation and test; a relation needs at least 12")
    counts = {"facts": len(rows), "splits": dict(sorted(splits.items())), "small_relations": left_out}
    return Report(counts, tally)
