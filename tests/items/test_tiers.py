"""Tiers follow the relation's ambiguity and the attestation of every label shown."""

from __future__ import annotations

from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.config.build import Config
from polyfact_dataset.items.evidence import Evidence, relation_evidence
from polyfact_dataset.items.judged import Judged
from polyfact_dataset.items.tiers import rows, tier_of, with_whole_blocks


def known(ambiguity: float | None) -> Evidence:
    return Evidence(0, 0, ambiguity, "a test")


def test_tier_of() -> None:
    assert tier_of(known(0.25), 0.20, True, ()) == ("bronze", "relation ambiguity 0.25 above 0.20 (a test)")
    assert tier_of(known(0.20), 0.20, True, ())[0] == "gold"
    assert tier_of(known(None), 0.20, True, ())[0] == "gold"
    assert tier_of(known(0.05), 0.20, False, ())[0] == "silver"
    assert tier_of(known(0.05), 0.20, True, ("ar", "bn")) == ("bronze", "judged ambiguous: ar, bn")


def test_clean_leaves_out_the_papers_three_relations() -> None:
    config = Config()
    evidence = relation_evidence((), config.relations, config.tiers)
    out = {
        all_relations()[relation].label
        for relation, own in evidence.items()
        if tier_of(own, config.tiers.max_ambiguity, True, ())[0] == "bronze"
    }
    assert out == {"country of origin", "place of birth", "genre"}


def test_a_distractor_without_attestation_makes_silver() -> None:
    everywhere = (1 << 12) - 1
    masks = {"S": everywhere, "A": everywhere, "B": everywhere, "C": everywhere, "D": everywhere & ~(1 << 5)}
    facts = [
        {"fact_id": "1", "subject_id": "S", "property_id": "P36", "object_id": "A", "distractor_ids": ["B", "C", "D"]},
        {"fact_id": "2", "subject_id": "S", "property_id": "P36", "object_id": "A", "distractor_ids": ["B", "C", "A"]},
        {"fact_id": "3", "subject_id": "D", "property_id": "P36", "object_id": "A", "distractor_ids": ["B", "C", "A"]},
    ]
    config = Config()
    judgements = Judged((), 0, relation_evidence((), config.relations, config.tiers), {})
    found, withdrawn = rows(facts, masks, [()] * len(facts), judgements, config)
    assert [row["quality_tier"] for row in found] == ["silver", "gold", "silver"]
    assert [row["n_langs_attested"] for row in found] == [12, 12, 12]
    assert [row["n_langs_subject_attested"] for row in found] == [12, 12, 11]
    assert {row["verification"] for row in found} == {"unverified"} and withdrawn == []


def test_names_that_give_the_answer_away_make_bronze() -> None:
    masks = dict.fromkeys("SABCD", (1 << 12) - 1)
    fact = {
        "fact_id": "1",
        "subject_id": "S",
        "property_id": "P36",
        "object_id": "A",
        "distractor_ids": ["B", "C", "D"],
    }
    config = Config()
    evidence = Judged((), 0, relation_evidence((), config.relations, config.tiers), {})
    found, _ = rows([fact, fact], masks, [["en", "ja"], []], evidence, config)
    assert [(row["quality_tier"], row["name_overlap"]) for row in found] == [("bronze", ["en", "ja"]), ("gold", [])]
    assert found[0]["reason"] == "names give the answer away: en, ja"


def test_the_worst_item_decides_about_a_fact() -> None:
    labels = {
        "1": {"en": "correct", "ar": "ambiguous", "bn": "ambiguous"},
        "2": {"en": "ambiguous", "sw": "incorrect"},
        "3": {"en": "correct"},
    }
    config = Config()
    judgements = Judged((), 0, relation_evidence((), config.relations, config.tiers), labels)
    ends = {"subject_id": "S", "property_id": "P36", "object_id": "A", "distractor_ids": ["B", "C", "D"]}
    facts = [{"fact_id": number, **ends} for number in "1234"]
    masks = dict.fromkeys("SABCD", (1 << 12) - 1)
    kept, withdrawn = rows(facts, masks, [()] * len(facts), judgements, config)
    assert [(row["fact_id"], row["quality_tier"], row["verification"]) for row in kept] == [
        ("1", "bronze", "ambiguous"),
        ("3", "gold", "correct"),
        ("4", "gold", "unverified"),
    ]
    assert kept[0]["reason"] == "judged ambiguous: ar, bn"
    assert withdrawn == [{"fact_id": "2", "property_id": "P36", "reason": "judged_incorrect:sw"}]


def test_a_block_with_a_bronze_fact_is_bronze() -> None:
    tiers = [
        {"fact_id": "a", "quality_tier": "gold", "reason": "clean relation"},
        {"fact_id": "b", "quality_tier": "bronze", "reason": "names give the answer away: en"},
        {"fact_id": "c", "quality_tier": "silver", "reason": "a label not attested"},
    ]
    found = with_whole_blocks(tiers, {"a": "P36/test/1", "b": "P36/test/1", "c": "P36/test/2"})
    assert [row["quality_tier"] for row in found] == ["bronze", "bronze", "silver"]
    assert found[0]["reason"] == "in a block with such a fact: names give the answer away: en"
    assert found[1:] == tiers[1:]
