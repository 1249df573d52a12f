"""Stage `tier`: gold, silver or bronze for every fact, as a side table.

gold: a relation of PolyFact-Clean, every label of the item attested in Wikidata in all languages, and no doubt from
judge or reviewer in any language. silver: the same, with labels that Wikidata does not attest. bronze: a relation above
the ambiguity limit, an item judged ambiguous, or names that give the answer away in some language; with it the facts of
its block. A fact with an item judged incorrect is withdrawn, and listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.config.build import Config
from polyfact_dataset.items.evidence import Evidence
from polyfact_dataset.items.judged import Judged, judged
from polyfact_dataset.items.name_overlap import overlaps
from polyfact_dataset.pipeline.context import Context, Report, Tally
from polyfact_dataset.schema import JUDGED_ITEMS, REJECTS, TIERED


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on."""
    return {
        "languages": config.languages,
        "tiers": config.tiers.model_dump(),
        "design": config.distract.design,
    }


def tier_of(
    evidence: Evidence, max_ambiguity: float, all_attested: bool, doubted: Sequence[str], overlap: Sequence[str] = ()
) -> tuple[str, str]:
    """The tier and the reason.

    `doubted` are the languages in which the item was judged ambiguous, `overlap` those of `items.name_overlap`.
    """
    if evidence.ambiguity is not None and evidence.ambiguity > max_ambiguity:
        return "bronze", f"relation ambiguity {evidence.ambiguity:.2f} above {max_ambiguity:.2f} ({evidence.source})"
    if doubted:
        return "bronze", f"judged ambiguous: {', '.join(doubted)}"
    if overlap:
        return "bronze", f"names give the answer away: {', '.join(overlap)}"
    if all_attested:
        return "gold", "clean relation, all labels attested"
    return "silver", "clean relation, a label not attested"


def attested_languages(labels: pa.Table, languages: Sequence[str]) -> dict[str, int]:
    """Entity -> bit mask of the languages in which its label is attested, in the order of `languages`."""
    masks = dict.fromkeys(labels.column("entity_id").to_pylist(), 0)
    for position, code in enumerate(languages):
        for qid, attested in zip(masks, pc.struct_field(labels.column(code), "attested").to_pylist()):
            masks[qid] |= bool(attested) << position
    return masks


def rows(
    facts: Sequence[Mapping[str, object]],
    masks: Mapping[str, int],
    overlap: Sequence[Sequence[str]],
    labels: Judged,
    config: Config,
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Rows of `schema.TIERED` for facts with subject, relation, object and distractors; and of `schema.REJECTS`.

    `overlap` are the languages of `items.name_overlap` for each fact.
    """
    everywhere = (1 << len(config.languages)) - 1
    kept: list[dict[str, object]] = []
    withdrawn: list[dict[str, object]] = []
    for fact, overlapping in zip(facts, overlap):
        label, codes = labels.of(str(fact["fact_id"]))
        if label == "incorrect":
            ids = {name: fact[name] for name in ("fact_id", "property_id")}
            withdrawn.append({**ids, "reason": f"judged_incorrect:{codes[0]}"})
            continue
        shown = [masks[qid] for qid in (fact["subject_id"], fact["object_id"], *fact["distractor_ids"])]  # type: ignore
        tier, reason = tier_of(
            labels.evidence[str(fact["property_id"])],
            config.tiers.max_ambiguity,
            all(mask == everywhere for mask in shown),
            codes if label == "ambiguous" else (),
            overlapping,
        )
        kept.append(
            {
                "fact_id": fact["fact_id"],
                "quality_tier": tier,
                "reason": reason,
                "n_langs_attested": shown[1].bit_count(),
                "n_langs_subject_attested": shown[0].bit_count(),
                "name_overlap": list(overlapping),
                "verification": label,
            }
        )
    return kept, withdrawn


def with_whole_blocks(tiers: Sequence[Mapping[str, object]], block_of: Mapping[str, str]) -> list[dict[str, object]]:
    """The rows; a fact is bronze where any of its block is, the four facts that have each other's golds as options.

    So PolyFact-Clean is as exchangeable as the release: every entity is four times as often an option as it is a gold.
    """
    bronze = {block_of[str(row["fact_id"])]: row["reason"] for row in tiers if row["quality_tier"] == "bronze"}
    return [
        {**row, "quality_tier": "bronze", "reason": f"in a block with such a fact: {bronze[block]}"}
        if (block := block_of[str(row["fact_id"])]) in bronze and row["quality_tier"] != "bronze"
        else dict(row)
        for row in tiers
    ]


def attested_counts(
    facts: Sequence[Mapping[str, object]], masks: Mapping[str, int], languages: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Language -> number of facts whose subject, answer, and `whole` item (subject and four options) is attested."""
    counts = {code: {"subjects": 0, "answers": 0, "whole": 0} for code in languages}
    for fact in facts:
        subject, answer = masks[str(fact["subject_id"])], masks[str(fact["object_id"])]
        whole = subject & answer
        for entity in fact["distractor_ids"]:  # type: ignore[attr-defined]
            whole &= masks[entity]
        for position, language_counts in enumerate(counts.values()):
            language_counts["subjects"] += subject >> position & 1
            language_counts["answers"] += answer >> position & 1
            language_counts["whole"] += whole >> position & 1
    return counts


def _tally(kept: Sequence[Mapping[str, object]], withdrawn: Sequence[Mapping[str, object]]) -> Tally:
    tally = Tally()
    for row in kept:
        relation = str(row["fact_id"]).split("|")[1]
        tally.input[relation] += 1
        tally.kept[relation] += 1
    for row in withdrawn:
        relation = str(row["property_id"])
        tally.input[relation] += 1
        tally.rejected.setdefault(relation, Counter())[str(row["reason"])] += 1
    return tally


def run(context: Context) -> Report:
    """Writes `tiers`, in the order of the items, `rejects` (withdrawn facts) and `verification` (judged items)."""
    config = context.config
    items, labels = context.read("items"), context.read("question_labels")
    judged_items = judged(context.verification, items, labels, config)
    columns = ["fact_id", "subject_id", "property_id", "object_id", "distractor_ids"]
    facts = items.select(columns).to_pylist()
    masks = attested_languages(labels, config.languages)
    tiers, withdrawn = rows(facts, masks, overlaps(facts, labels, config.languages), judged_items, config)
    if config.distract.design == "blocks":
        tiers = with_whole_blocks(
            tiers, dict(zip(*(items.column(name).to_pylist() for name in ("fact_id", "stratum"))))
        )
    context.write("tiers", pa.Table.from_pylist(tiers, schema=TIERED.schema))
    context.write("rejects", pa.Table.from_pylist(withdrawn, schema=REJECTS.schema))
    context.write("judged_items", pa.Table.from_pylist(list(judged_items.rows), schema=JUDGED_ITEMS.schema))
    gone = {row["fact_id"] for row in withdrawn}
    relations = {row["property_id"] for row in facts}
    return Report(
        {
            "tiers": dict(sorted(Counter(str(row["quality_tier"]) for row in tiers).items())),
            "attested": attested_counts([f for f in facts if f["fact_id"] not in gone], masks, config.languages),
            "relations": {
                relation: {"judged": evidence.judged, "ambiguity": evidence.ambiguity, "source": evidence.source}
                for relation, evidence in judged_items.evidence.items()
                if relation in relations
            },
            "verification": judged_items.counts(
                config.languages, [name for name in judged_items.evidence if name in relations]
            )
            if context.verification is not None
            else None,
        },
        _tally(tiers, withdrawn),
    )
