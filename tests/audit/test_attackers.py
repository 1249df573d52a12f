"""Attackers that read the question: each finds the defect that it is made for, and none in a valid release."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from polyfact_dataset.audit import load
from polyfact_dataset.audit.attackers import ATTACKERS, texts_of
from polyfact_dataset.audit.build_tables import BuildTables
from polyfact_dataset.audit.checks import attackers
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.config.build import load_config
from polyfact_dataset.release.audit_report import EVERY
from tests.support.audited import Rows, as_release, audited, broken, clean_rows, unchecked

CONFIG = AuditConfig(attacker_languages=1)
Links = dict[str, int]


def _rows() -> Rows:
    return clean_rows(640)


def _links(rows: Rows) -> Links:
    """Numbers of sitelinks that tell nothing."""
    names = sorted({name for row in rows for name in (row["subject_id"], row["object_id"])})
    return {name: 1 + place * 7919 % 211 for place, name in enumerate(names)}


def _called(row: dict[str, object], name: str) -> None:
    item = row["translations"]["en"]  # type: ignore[index]
    item["question"] = item["question"].replace(item["subject_label"], name)
    item["subject_label"] = name


def _answers(rows: Rows) -> dict[str, int]:
    return {name: place for place, name in enumerate(sorted({row["object_id"] for row in rows}))}


def _wording_of_its_own(rows: Rows, links: Links) -> None:
    for row in rows:
        item = row["translations"]["en"]
        item["question"] = f"Variant {_answers(rows)[row['object_id']]} of {item['subject_label']}?"


def _as_popular_as_the_answer(rows: Rows, links: Links) -> None:
    links.update({name: 3 + 40 * place for name, place in _answers(rows).items()})
    links.update({row["subject_id"]: links[row["object_id"]] for row in rows})


def _named_after_the_answer(rows: Rows, links: Links) -> None:
    for number, row in enumerate(rows):
        _called(row, f"{row['translations']['en']['answer_text']} {number}")


def _named_after_the_answer_in_one_relation(rows: Rows, links: Links) -> None:
    relation = rows[0]["property_id"]
    _named_after_the_answer([row for row in rows if row["property_id"] == relation], links)


def _named_in_a_language_of_the_answer(rows: Rows, links: Links) -> None:
    places = _answers(rows)
    for number, row in enumerate(rows):
        tail = "".join("jqxzvwkyfg"[int(digit)] for digit in f"{places[row['object_id']]:03}")
        _called(row, f"{number:04}{tail}{tail}")


PLANTS: dict[str, tuple[Callable[[Rows, Links], None], set[str]]] = {
    "attacker_wording": (_wording_of_its_own, {"attacker_all_text", "attacker_all_text_relation"}),
    "attacker_popularity": (_as_popular_as_the_answer, {"attacker_all_text", "attacker_all_text_relation"}),
    "attacker_likeness": (
        _named_after_the_answer,
        {"attacker_likeness_relation", "attacker_all_text", "attacker_all_text_relation"},
    ),
    "attacker_likeness_relation": (
        _named_after_the_answer_in_one_relation,
        {"attacker_likeness", "attacker_all_text", "attacker_all_text_relation"},
    ),
    "attacker_all_text": (_named_in_a_language_of_the_answer, {"attacker_all_text_relation"}),
    "attacker_all_text_relation": (_named_in_a_language_of_the_answer, {"attacker_all_text"}),
}


def test_a_sound_release_is_at_chance_with_every_attacker() -> None:
    rows = _rows()
    section = audited(attackers, rows, CONFIG, sitelinks=_links(rows))
    assert broken(section) == set() and {verdict.status for verdict in section.verdicts} == {"held"}
    whole = {floor.rule: floor for floor in section.floors if (floor.relation, floor.language) == (EVERY, EVERY)}
    assert whole.keys() == ATTACKERS.keys()
    assert all(abs(floor.distance) < 4 for floor in whole.values())


@cache
def _found(plant: Callable[[Rows, Links], None]) -> frozenset[str]:
    """The gates that a plant breaks; two gates share one."""
    rows = _rows()
    links = _links(rows)
    plant(rows, links)
    return frozenset(broken(audited(attackers, rows, CONFIG, sitelinks=links)))


@pytest.mark.parametrize("gate", PLANTS)
def test_a_planted_defect_is_found(gate: str) -> None:
    plant, also = PLANTS[gate]
    found = _found(plant)
    assert gate in found and found <= {gate, *also}


def test_popularity_is_not_checked_without_sitelinks() -> None:
    section = audited(attackers, _rows(), CONFIG)
    assert unchecked(section) == {"attacker_popularity"}


def test_the_facts_of_a_subject_are_never_both_learnt_from_and_scored() -> None:
    rows = _rows()
    twice = [dict(row) for row in rows]
    for one, row in enumerate(twice):
        row["subject_id"] = rows[one // 2]["subject_id"]
    release = as_release(twice)
    items = release.items["en"]
    texts = attackers.texts_of(items, release)
    train = release.array("split")[items.rows] == "train"
    for learnt_from, scored in attackers._folds(train, texts.groups, CONFIG):
        assert not set(texts.groups[learnt_from]) & set(texts.groups[scored])


def test_facts_of_a_block_are_scored_together_with_or_without_the_tables_of_the_build(sample_build: Path) -> None:
    groups = [
        texts_of(release.items["en"], release).groups.tolist()
        for tables in (BuildTables(sample_build), BuildTables())
        for release in [load.read(sample_build / "release", load_config(), tables)]
    ]
    assert set(Counter(groups[0]).values()) == {4} and len(set(groups[1])) > len(set(groups[0])) // 2
    # Blocks with the same options may be put together, but none is divided.
    assert len(set(zip(*groups))) == len(set(groups[0]))
