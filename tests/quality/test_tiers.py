"""Tiers follow the relation's ambiguity and the attestation of every label shown."""

from __future__ import annotations

from polyfact_dataset.config import Config
from polyfact_dataset.quality.tiers import rows, tier_of
from polyfact_dataset.relations import all_relations


def test_tier_of() -> None:
    assert tier_of(0.25, 0.20, True)[0] == "bronze"
    assert tier_of(0.20, 0.20, True)[0] == "gold"
    assert tier_of(None, 0.20, True)[0] == "gold"
    assert tier_of(0.05, 0.20, False)[0] == "silver"


def test_clean_leaves_out_the_papers_three_relations() -> None:
    limit = Config().tiers.max_ambiguity
    out = {r.label for r in all_relations().values() if tier_of(r.ambiguity, limit, True)[0] == "bronze"}
    assert out == {"country of origin", "place of birth", "genre"}


def test_a_distractor_without_attestation_makes_silver() -> None:
    everywhere = (1 << 12) - 1
    masks = {"S": everywhere, "A": everywhere, "B": everywhere, "C": everywhere, "D": everywhere & ~(1 << 5)}
    facts = [
        {"fact_id": "1", "subject_id": "S", "property_id": "P36", "object_id": "A", "distractor_ids": ["B", "C", "D"]},
        {"fact_id": "2", "subject_id": "S", "property_id": "P36", "object_id": "A", "distractor_ids": ["B", "C", "A"]},
        {"fact_id": "3", "subject_id": "D", "property_id": "P36", "object_id": "A", "distractor_ids": ["B", "C", "A"]},
    ]
    found = rows(facts, masks, Config())
    assert [row["quality_tier"] for row in found] == ["silver", "gold", "silver"]
    assert [row["n_langs_attested"] for row in found] == [12, 12, 12]
    assert [row["n_langs_subject_attested"] for row in found] == [12, 12, 11]
