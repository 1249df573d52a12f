"""Every gate has a planted defect that breaks it and nothing else, so that no audit can be made to always pass."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from polyfact_dataset.audit.release import OpenItems
from polyfact_dataset.audit.run import AUDITS
from polyfact_dataset.catalog.language import language
from polyfact_dataset.config.audit import GATES
from polyfact_dataset.schema import STATEMENTS
from tests.support.audited import (
    OPTIONS,
    Rows,
    audited,
    broken,
    clean_rows,
    distractor,
    gold,
    mark,
    offer,
    rename,
    reword,
)

Plant = Callable[[Rows], Rows]
CHECKS = {module.__name__.rpartition(".")[2]: module for module in AUDITS}
PLANTS: dict[str, tuple[str, Plant]] = {}


def plant(gate: str, check: str) -> Callable[[Plant], Plant]:
    def note(function: Plant) -> Plant:
        PLANTS[gate] = (check, function)
        return function

    return note


@plant("complete", "integrity")
def _no_swahili(rows: Rows) -> Rows:
    rows[0]["translations"]["sw"] = None
    return rows


@plant("marked", "integrity")
def _other_answer(rows: Rows) -> Rows:
    rows[0]["translations"]["fr"]["answer_text"] = "Paris"
    return rows


@plant("distinct", "integrity")
def _same_but_for_case(rows: Rows) -> Rows:
    item = rows[0]["translations"]["de"]
    slot = (item["answer_index"] + 1) % 4
    item[OPTIONS[slot]] = item["answer_text"].upper() + " "
    return rows


@plant("splits_present", "integrity")
def _no_validation(rows: Rows) -> Rows:
    return [row for row in rows if row["split"] != "validation"]


@plant("leak_inflected", "leakage")
def _genitive(rows: Rows) -> Rows:
    rename(rows, gold(rows, 0), "de", "Deutschland")
    rename(rows, rows[0]["subject_id"], "de", "Geschichte Deutschlands")
    return rows


@plant("leak_surname", "leakage")
def _hemingway(rows: Rows) -> Rows:
    number = next(n for n, row in enumerate(rows) if row["property_id"] == "P50")
    rename(rows, gold(rows, number), "en", "Ernest Hemingway")
    rename(rows, rows[number]["subject_id"], "en", "The Hemingway Reader")
    return rows


@plant("leak_gold", "leakage")
def _nokia(rows: Rows) -> Rows:
    rename(rows, gold(rows, 0), "en", "Nokia")
    rename(rows, rows[0]["subject_id"], "en", "Nokia 5000")
    return rows


@plant("leak_alias", "leakage")
def _alias(rows: Rows) -> Rows:
    rename(rows, rows[0]["subject_id"], "en", "Big Blue Selectric")
    return rows


@plant("leak_distractor", "leakage")
def _distractor_named(rows: Rows) -> Rows:
    rename(rows, distractor(rows, 0), "zh", "日本")
    rename(rows, rows[0]["subject_id"], "zh", "日本放送")
    return rows


@plant("leak_subject", "leakage")
def _itself(rows: Rows) -> Rows:
    offer(rows, 0, distractor(rows, 0), rows[0]["subject_id"], "Somename")
    return rows


@plant("one_gold", "answerability")
def _self_portrait(rows: Rows) -> Rows:
    first = next(n for n, row in enumerate(rows) if row["property_id"] == "P170")
    second = next(
        n for n, row in enumerate(rows) if row["property_id"] == "P170" and gold(rows, n) != gold(rows, first)
    )
    for number in (first, second):
        rename(rows, rows[number]["subject_id"], "es", "Autorretrato")
    return rows


@plant("duplicates", "answerability")
def _twice(rows: Rows) -> Rows:
    return [*rows, {**rows[0], "split": "test"}]


@plant("second_answer", "answerability")
def _true_distractor(rows: Rows) -> Rows:
    other = {**rows[0], "object_id": distractor(rows, 0), "fact_id": f"{rows[0]['fact_id']}0"}
    for code in other["translations"]:
        other["translations"] = {**other["translations"], code: {**other["translations"][code]}}
        other["translations"][code]["question"] += "!"
    return [*rows, other]


@plant("one_relation", "answerability")
def _place_of_birth(rows: Rows) -> Rows:
    number = next(n for n, row in enumerate(rows) if row["property_id"] == "P50")
    subject = rows[number]["translations"]["sw"]["subject_label"]
    reword(rows, number, "sw", language("sw").question("P170", None, subject))
    return rows


@plant("same_entities", "parallelism")
def _other_entity(rows: Rows) -> Rows:
    item = rows[0]["translations"]["bn"]
    slot = (item["answer_index"] + 1) % 4
    item["option_ids"][slot] = "Q1234567890"
    return rows


@plant("own_wording", "parallelism")
def _untranslated(rows: Rows) -> Rows:
    reword(rows, 0, "id", rows[0]["translations"]["en"]["question"])
    return rows


@plant("length_band", "parallelism")
def _extra_detail(rows: Rows) -> Rows:
    for number in range(12):
        reword(rows, number, "fr", lambda text: text + " " + "Cela concerne un détail qui n'est pas dans le fait." * 4)
    return rows


@plant("script", "scripts")
def _hangul_in_chinese(rows: Rows) -> Rows:
    reword(rows, 0, "zh", lambda text: "서울" + text)
    return rows


@plant("language", "language_id")
def _italian_in_swahili(rows: Rows) -> Rows:
    # Each in a different wording, and Italian is not a language of the release.
    for number in range(4):
        reword(rows, number, "sw", f"In quale città italiana {number} è nato lo scrittore {{}}?")
    return rows


@plant("split_subjects", "balance")
def _two_splits(rows: Rows) -> Rows:
    test = next(row for row in rows if row["split"] == "test")
    test["subject_id"] = rows[0]["subject_id"]
    return rows


@plant("relation_splits", "balance")
def _no_train(rows: Rows) -> Rows:
    return [row for row in rows if (row["property_id"], row["split"]) != (rows[0]["property_id"], "train")]


@plant("gold_position", "balance")
def _always_first(rows: Rows) -> Rows:
    for row in rows:
        mark(row, "en", 0)
    return rows


@plant("gold_tier", "labels")
def _translated(rows: Rows) -> Rows:
    row = next(row for row in rows if row["quality_tier"] == "gold")
    row["translations"]["sw"]["option_provenance"][0] = "model:some-model"
    return rows


@plant("one_text", "names")
def _exchanged(rows: Rows) -> Rows:
    item = rows[0]["translations"]["pt"]
    item[OPTIONS[(item["answer_index"] + 1) % 4]] = "Outra coisa"
    return rows


@plant("alias_option", "names")
def _another_name(rows: Rows) -> Rows:
    rename(rows, distractor(rows, 0), "en", "BIG BLUE")
    return rows


@plant("shared_columns", "columns")
def _other_relation(rows: Rows) -> Rows:
    rows[0]["relation"] = "employer"
    return rows


@plant("odd_option", "writing")
def _only_the_gold_is_explained(rows: Rows) -> Rows:
    for row in rows:
        item = row["translations"]["en"]
        item["answer_text"] = item[OPTIONS[item["answer_index"]]] = f"{item['answer_text']} (the one)"
    return rows


@plant("cue_gold", "cues")
def _only_the_gold_has_a_capital(rows: Rows) -> Rows:
    for row in rows:
        item = row["translations"]["id"]
        for slot, name in enumerate(OPTIONS):
            item[name] = item[name].capitalize() if slot == item["answer_index"] else item[name].lower()
    return rows


# Defects of a name: the answer of the first fact is given this one in a language.
NAMES = [
    ("mixed_word", "scripts", "bn", "গ্দাńsk"),
    ("confusable", "scripts", "ru", "Гoмель"),
    ("characters", "scripts", "ar", "مدينة \u202eلندن"),
    ("mixed_name", "scripts", "ru", "Лос-Angeles"),
    ("traditional", "scripts", "zh", "臺灣大學"),
    ("markup", "scripts", "fr", "<b>Lyon</b>"),
    ("joiners", "scripts", "bn", "ঢা\u200cকা"),
    ("normal_form", "scripts", "es", "Malag\u0301a"),
    ("catch_all", "writing", "en", "All of the above"),
]


def renamed(code: str, name: str) -> Plant:
    def defect(rows: Rows) -> Rows:
        rename(rows, gold(rows, 0), code, name)
        return rows

    return defect


PLANTS |= {gate: (check, renamed(code, name)) for gate, check, code, name in NAMES}

# Defects of a question: the first fact is asked so in a language, {} being its subject.
QUESTIONS = [
    ("subject_named", "answerability", "ar", "ما هو البلد؟"),
    ("language_wording", "language_id", "pt", "Welche Währung wird in dem Land {} heute benutzt?"),
    ("negation", "writing", "ru", "Какая валюта не используется в стране {}?"),
    ("article", "writing", "en", "The maker of {} was an?"),
]


def reworded(code: str, question: str) -> Plant:
    def defect(rows: Rows) -> Rows:
        reword(rows, 0, code, question)
        return rows

    return defect


PLANTS |= {gate: (check, reworded(code, question)) for gate, check, code, question in QUESTIONS}


# Planted on disk, or needing more facts than these: in test_load, test_configs, test_shortcuts, test_attackers and
# test_balance.
ELSEWHERE = {
    "files",
    "same_in_configs",
    "open_items",
    "shortcut_pooled",
    "shortcut_cells",
    "overlap_pooled",
    "overlap_relation",
    "answer_share",
    "multiplicity",
    "multiplicity_clean",
    "attacker_wording",
    "attacker_popularity",
    "attacker_likeness",
    "attacker_likeness_relation",
    "attacker_all_text",
    "attacker_all_text_relation",
}
ALIASES = pa.table(
    {"entity": pa.array([], pa.string()), "code": pa.array([], pa.string()), "text": pa.array([], pa.string())}
)


def known(gate: str, rows: Rows) -> dict[str, object]:
    """What a build would know besides the release: here one alias of the first fact's gold, and its accepted names."""
    alias = {"entity": [gold(rows, 0)], "code": ["en"], "text": ["Big Blue"]}
    return {
        "aliases": pa.table(alias) if gate == "leak_alias" else ALIASES,
        "statements": STATEMENTS.schema.empty_table(),
        "opened": OpenItems((), {"en": {gold(rows, 0): frozenset({"big blue"})}}),
    }


def test_every_gate_has_a_plant() -> None:
    assert set(PLANTS) | ELSEWHERE == set(GATES) and not set(PLANTS) & ELSEWHERE


# The defects of `shortcuts` are planted elsewhere.
@pytest.mark.parametrize("check", sorted({"shortcuts", *(check for check, _ in PLANTS.values())}))
def test_a_clean_release_passes(check: str) -> None:
    rows = clean_rows()
    section = audited(CHECKS[check], rows, **known("", rows))
    others = [verdict for verdict in section.verdicts if verdict.gate != "multiplicity_clean"]
    assert {verdict.status for verdict in others} == {"held"}


@pytest.mark.parametrize("gate", PLANTS)
def test_a_planted_defect_breaks_its_gate_alone(gate: str) -> None:
    check, function = PLANTS[gate]
    rows = function(clean_rows())
    section = audited(CHECKS[check], rows, **known(gate, rows))
    assert broken(section) == {gate}
    (verdict,) = [verdict for verdict in section.verdicts if verdict.gate == gate]
    assert gate in verdict.sentence() and verdict.reason == GATES[gate].reason
    if gate not in ("gold_position", "odd_option", "cue_gold", "splits_present"):
        checks = {"length_band": 12, "language": 4, "language_wording": 1}
        assert len(section.examples(gate)) >= min(checks.get(gate, 1), 20)
        assert all(example["fact_id"] in {row["fact_id"] for row in rows} for example in section.examples(gate))
