"""Stage `tier`: gold, silver or bronze for every fact, as a side table (design: Tiers).

gold: a relation of PolyFact-Clean, and every label of the item attested in Wikidata in all languages.
silver: the same relation, with labels that Wikidata does not attest. bronze: a relation above the ambiguity limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.config import Config
from polyfact_dataset.pipeline import Context, Report
from polyfact_dataset.records import TIERED
from polyfact_dataset.relations import all_relations


def settings(config: Config) -> dict[str, object]:
    """What the result depends on besides the tables read."""
    return {"languages": config.languages, "tiers": config.tiers.model_dump()}


def tier_of(ambiguity: float | None, max_ambiguity: float, all_attested: bool) -> tuple[str, str]:
    """The tier and what decided it. `ambiguity` is the relation's judged share, None where none was judged."""
    if ambiguity is not None and ambiguity > max_ambiguity:
        return "bronze", f"relation ambiguity {ambiguity:.2f} above {max_ambiguity:.2f}"
    if all_attested:
        return "gold", "clean relation, all labels attested"
    return "silver", "clean relation, a label not attested"


def attested_languages(localised: pa.Table, languages: Sequence[str]) -> dict[str, int]:
    """Entity -> bit mask of the languages in which its label is attested, in the order of `languages`."""
    masks = dict.fromkeys(localised.column("entity_id").to_pylist(), 0)
    for position, code in enumerate(languages):
        for qid, attested in zip(masks, pc.struct_field(localised.column(code), "attested").to_pylist()):
            masks[qid] |= bool(attested) << position
    return masks


def rows(facts: Sequence[Mapping[str, object]], masks: Mapping[str, int], config: Config) -> list[dict[str, object]]:
    """Rows of `records.TIERED` for facts with subject, relation, object and distractors."""
    everywhere = (1 << len(config.languages)) - 1
    relations = all_relations()
    result = []
    for fact in facts:
        shown = [masks[qid] for qid in (fact["subject_id"], fact["object_id"], *fact["distractor_ids"])]  # type: ignore
        tier, reason = tier_of(
            relations[str(fact["property_id"])].ambiguity,
            config.tiers.max_ambiguity,
            all(mask == everywhere for mask in shown),
        )
        result.append(
            {
                "fact_id": fact["fact_id"],
                "quality_tier": tier,
                "reason": reason,
                "n_langs_attested": shown[1].bit_count(),
                "n_langs_subject_attested": shown[0].bit_count(),
            }
        )
    return result


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
        for position, own in enumerate(counts.values()):
            own["subjects"] += subject >> position & 1
            own["answers"] += answer >> position & 1
            own["whole"] += whole >> position & 1
    return counts


def run(context: Context) -> Report:
    """Writes `tiers`, in the order of the items."""
    config = context.config
    columns = ["fact_id", "subject_id", "property_id", "object_id", "distractor_ids"]
    facts = context.read("items", "items", columns).to_pylist()
    masks = attested_languages(context.read("questions", "localised"), config.languages)
    found = rows(facts, masks, config)
    context.write("tiers", pa.Table.from_pylist(found, schema=TIERED.schema))
    return Report(
        {
            "tiers": dict(sorted(Counter(str(row["quality_tier"]) for row in found).items())),
            "attested": attested_counts(facts, masks, config.languages),
        }
    )
