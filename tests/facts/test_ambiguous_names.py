"""Subjects that share a name: found in and outside the pool, distinguished by descriptions, or rejected."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyfact_dataset.catalog.language import PAPER_LANGUAGES, language
from polyfact_dataset.catalog.relation import kind_of
from polyfact_dataset.catalog.subject import Subject
from polyfact_dataset.common.files import read_json
from polyfact_dataset.config.build import Config, load_config
from polyfact_dataset.facts.ambiguous_names import describe, never_distractors
from polyfact_dataset.facts.answer_names import AnswerNames
from polyfact_dataset.pipeline.stages import QUESTIONS, VALIDATE, Stage, stage_folder, table_path
from tests.support.planted import LATIN, build, item, labels, reasons, state, world


def describing(entity: dict, text: str, **others: str) -> dict:
    """The item with a description in every language: `text` with the native word of the language before it."""
    words = {
        code: name.partition(" ")[0] for code, name in labels("x").items() if code in ("ar", "bn", "ru", "ja", "zh")
    }
    texts = {code: f"{words.get(code, 'realm')} {text}" for code in PAPER_LANGUAGES} | others
    return {**entity, "descriptions": {c: {"language": c, "value": t} for c, t in texts.items() if t}}


def realm(qid: str, name: str, capital: str, **others: str) -> dict:
    return state(item(qid, labels(name, **others), ("Q6256",)), "P36", capital)


def titled(qid: str, name: str, capital: str, title: str) -> dict:
    """A realm without a Swahili label, but with a Swahili article."""
    names = {code: text for code, text in labels(name).items() if code != "sw"}
    return state(item(qid, names, ("Q6256",), titles={"swwiki": title}), "P36", capital)


def partial(entity: dict, *codes: str) -> dict:
    """An item that only has labels in some codes: never a candidate."""
    return {**entity, "labels": {code: entity["labels"][code] for code in codes}}


def also(entity: dict, *pairs: str) -> dict:
    """The item with further labels: code, text, code, text, ..."""
    more = {code: {"language": code, "value": text} for code, text in zip(pairs[::2], pairs[1::2])}
    return {**entity, "labels": entity["labels"] | more}


def planted() -> list[dict]:
    return [
        # Both in the pool, described in all languages.
        describing(realm("Q201", "Guinea", "Q1001"), "in the west"),
        describing(realm("Q202", "Guinea", "Q1002"), "in the east"),
        # The namesake is no candidate: it has one label only.
        describing(realm("Q203", "Georgia", "Q1003"), "of the north"),
        partial(realm("Q204", "Georgia", "Q1004"), "en"),
        # No Swahili description.
        describing(realm("Q205", "Congo", "Q1005"), "by the river", sw=""),
        partial(realm("Q206", "Congo", "Q1006"), "fr"),
        # The namesake has the same description in German.
        describing(realm("Q207", "Samoa", "Q1007"), "of islands"),
        describing(partial(realm("Q208", "Samoa", "Q1008"), "de"), "of atolls", de="realm of islands"),
        # A namesake in one language only; in upper case; under `mul`; in Traditional Chinese; in a lower variant.
        describing(realm("Q209", "Macedonia", "Q1009"), "of old"),
        partial(realm("Q210", "MACEDONIA", "Q1010"), "pt"),
        describing(realm("Q211", "Timor", "Q1011"), "of sandalwood"),
        also(partial(realm("Q212", "x", "Q1012")), "mul", "Timor"),
        describing(realm("Q213", "Sudan", "Q1013", zh="臺灣 甲"), "of the desert"),
        also(partial(realm("Q214", "x", "Q1014")), "zh-tw", "臺灣 甲"),
        # Both in the pool, and known in Swahili by the titles of their articles alone.
        describing(titled("Q223", "Mali", "Q1022", "Mali (nchi)"), "of gold"),
        describing(titled("Q224", "Malia", "Q1023", "Mali (jiji)"), "of salt"),
        # Near misses: no statement of the relation; another name in the language itself; the own label under two codes.
        realm("Q215", "Yemen", "Q1015"),
        partial(item("Q216", labels("Yemen")), "en"),
        realm("Q217", "Korea", "Q1016"),
        also(partial(realm("Q218", "Corea", "Q1017"), *LATIN), "en-gb", "Korea", "mul", "Korea"),
        # Its only statement is deprecated.
        realm("Q219", "Oman", "Q1018"),
        partial(state(item("Q220", labels("Oman")), "P36", ("Q1019", "deprecated", "")), "en"),
        # The description gives the answer away.
        describing(realm("Q221", "Niger", "Q1020"), "around Town 20"),
        partial(realm("Q222", "Niger", "Q1021"), "en"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("namesakes"), world() + planted(), "validate")


def rows(out: Path, table: str) -> list[dict]:
    return pq.read_table(table_path(out, table)).to_pylist()


def rejected(out: Path, stage: Stage) -> dict[str, list[str]]:
    return reasons(pq.read_table(stage_folder(out, stage) / "rejects.parquet").to_pylist())


@pytest.fixture(scope="module")
def asked(built: Path) -> dict[str, dict]:
    return {row["subject_id"]: row for row in rows(built, "questions")}


def test_namesakes_are_named_with_their_descriptions_in_every_language(asked: dict[str, dict]) -> None:
    assert asked["Q201"]["en"] == "What is the capital of Guinea (realm in the west)?"
    assert asked["Q202"]["en"].endswith("Guinea (realm in the east)?")
    assert "（" in asked["Q201"]["zh"] and "（" in asked["Q201"]["ja"]
    assert all("in the west" in asked["Q201"][code] for code in PAPER_LANGUAGES)


@pytest.mark.parametrize("subject", ["Q203", "Q209", "Q211", "Q213", "Q223", "Q224"])
def test_a_namesake_outside_the_pool_counts(asked: dict[str, dict], subject: str) -> None:
    assert "(realm of " in asked[subject]["en"]
    assert "(realm of " in asked[subject]["sw"]


@pytest.mark.parametrize("subject", ["Q215", "Q217", "Q219", "Q1"])
def test_near_misses_keep_their_plain_name(asked: dict[str, dict], subject: str) -> None:
    name = {"Q215": "Yemen", "Q217": "Korea", "Q219": "Oman", "Q1": "Land 1"}[subject]
    for code, label in labels(name).items():
        expected = language(code).ask("P36", Subject(label, subject, kind=kind_of(["Q6256"])))
        assert asked[subject][code] == expected.text


def test_what_cannot_be_told_apart_is_rejected_with_the_language(built: Path) -> None:
    assert rejected(built, QUESTIONS) == {
        "Q205|P36|Q1005": ["namesake_no_description:sw"],
        "Q207|P36|Q1007": ["namesake_same_description:de"],
        "Q221|P36|Q1020": ["namesake_description_answers:en"],
    }
    assert rejected(built, VALIDATE) == {}


def test_the_table_says_in_which_language_the_name_is_shared(built: Path) -> None:
    found = {row["subject_id"]: row for row in rows(built, "disambiguations")}
    assert set(found) == {"Q201", "Q202", "Q203", "Q205", "Q207", "Q209", "Q211", "Q213", "Q221", "Q223", "Q224"}
    assert (found["Q207"]["code"], found["Q209"]["code"], found["Q213"]["code"]) == ("de", "pt", "zh")


def relaxed(share: float) -> Config:
    return load_config(facts=1000, extract__workers=1, namesakes__min_sitelinks_share=share)


def test_an_obscure_namesake_can_be_let_pass(tmp_path: Path) -> None:
    known = {f"{code}wiki": "Georgia" for code in ("en", "de", "fr", "es")}
    famous = {**realm("Q203", "Georgia", "Q1003"), "sitelinks": {w: {"site": w, "title": t} for w, t in known.items()}}
    obscure = partial(realm("Q204", "Georgia", "Q1004"), "en")
    obscure["sitelinks"] = {"enwiki": {"site": "enwiki", "title": "Georgia (other)"}}
    entities = [*world(), famous, obscure]
    strict = build(tmp_path, entities, "namesakes", relaxed(0.25), "strict")
    assert [row["subject_id"] for row in rows(strict, "disambiguations")] == ["Q203"]
    loose = build(tmp_path, entities, "namesakes", relaxed(0.3), "loose")
    (row,) = rows(loose, "disambiguations")
    # The name is understood as that of the famous one; what the other is asked about is still not a distractor.
    assert (row["subject_id"], row["code"], row["fault"], row["en"]) == ("Q203", None, None, None)
    assert row["excluded_answers"] == ["Q1004"]
    assert Config().namesakes.min_sitelinks_share == 0.25
    counts = read_json(loose / "manifest.json")["stages"]["namesakes"]["counts"]
    assert counts == {"less_known": 1, "same_answer": 0, "told_apart": 0, "lost": 0, "best_known_lost": []}


def test_describe() -> None:
    own = {"en": "river in Asia", "zh": "亞洲河流"}
    told = describe({"en": ["river in Europe"]}, own, ("en", "zh"))
    assert told == {"code": "en", "fault": None, "en": "river in Asia", "zh": "亚洲河流"}
    assert describe({"zh": ["亚洲河流"]}, own, ("en", "zh"))["fault"] == "namesake_same_description:zh"
    assert describe({"en": ["River in  Asia"]}, own, ("en", "zh"))["fault"] == "namesake_same_description:en"
    # What cannot be shown does not count as a description.
    assert describe({"en": []}, {"en": "<b>x</b>", "zh": "河"}, ("en", "zh"))["fault"] == "namesake_no_description:en"


def located(qid: str, name: str, country: str, wikis: int = 0) -> dict:
    """A town in a country (P17), with so many articles."""
    titles = {f"{code}wiki": name for code in PAPER_LANGUAGES[:wikis]}
    return state(item(qid, labels(name), titles=titles), "P17", country)


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    entities = [
        *world(),
        # The same answer: asked once, of the better known one.
        located("Q301", "Riga", "Q1", wikis=3),
        located("Q302", "Riga", "Q1", wikis=1),
        # Much less known; and as well known, with another answer.
        located("Q303", "Oslo", "Q2", wikis=9),
        located("Q304", "Oslo", "Q3", wikis=1),
        describing(located("Q305", "Perth", "Q4", wikis=6), "of the west"),
        describing(located("Q306", "Perth", "Q5", wikis=5), "of the north"),
    ]
    return build(tmp_path_factory.mktemp("towns"), entities, "validate")


def test_a_namesake_with_the_same_answer_makes_nothing_ambiguous(towns: Path) -> None:
    kept = {row["fact_id"] for row in rows(towns, "valid_candidates")}
    assert {"Q301|P17|Q1", "Q303|P17|Q2"} <= kept and "Q302|P17|Q1" not in kept
    assert rejected(towns, VALIDATE) == {"Q302|P17|Q1": ["same_question:ar"]}


def test_no_description_where_the_relation_asks_for_it(towns: Path) -> None:
    assert rejected(towns, QUESTIONS) == {
        "Q304|P17|Q3": ["namesake_not_described:en"],
        "Q305|P17|Q4": ["namesake_not_described:en"],
        "Q306|P17|Q5": ["namesake_not_described:en"],
    }


def test_the_report_counts_the_rules_and_lists_the_best_known_lost(towns: Path) -> None:
    counts = read_json(towns / "manifest.json")["stages"]["namesakes"]["counts"]
    listed = counts.pop("best_known_lost")
    assert counts == {"less_known": 1, "same_answer": 2, "told_apart": 0, "lost": 3}
    assert [entry["subject_id"] for entry in listed] == ["Q305", "Q306", "Q304"]
    assert listed[0] == {
        "subject_id": "Q305",
        "name": "Perth",
        "property_id": "P17",
        "sitelinks": 6,
        "reason": "namesake_not_described:en",
    }


def test_what_a_namesake_has_as_its_answer_is_no_distractor(towns: Path) -> None:
    table = never_distractors(pq.read_table(table_path(towns, "resolved_true_objects")), disambiguated(towns))
    objects = {(row["subject_id"], row["property_id"]): row["objects"] for row in table.to_pylist()}
    assert objects["Q303", "P17"] == ["Q2", "Q3"] and objects["Q301", "P17"] == ["Q1"]
    assert objects["Q1", "P36"] == ["Q1001"]


def disambiguated(out: Path) -> pa.Table:
    return pq.read_table(table_path(out, "disambiguations"))


@pytest.mark.parametrize(
    ("code", "text", "name"),
    [
        ("en", "novel by Ken Follett", "ken follett"),
        ("en", "film by Follett", "ken follett"),
        ("en", "French novel", "french"),
        ("en", "novel of 1975", None),
        ("de", "Ort in der französischen Schweiz", "französisch"),
        ("ar", "مدينة في للمغرب", "المغرب"),
        ("zh", "法国小说", "法国"),
        ("zh", "小说", None),
    ],
)
def test_answers_named_in_a_description(code: str, text: str, name: str | None) -> None:
    names = AnswerNames(
        {"en": ["Ken Follett", "French"], "de": ["Französisch"], "ar": ["المغرب"], "zh": ["法国"]}, people=True
    )
    assert names.mentioned(text, code) == name
