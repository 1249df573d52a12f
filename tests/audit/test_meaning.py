"""Answerability, parallelism, language identification, labels and popularity."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from polyfact_dataset.audit.checks import answerability, integrity, labels, language_id, parallelism, popularity
from polyfact_dataset.audit.wording import wording
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.common.text.language_id import Identifier
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.schema import STATEMENTS
from tests.support.audited import audited, broken, clean_rows, distractor, gold, rename, reword, unchecked


def statement(rows: list, entity: str, rank: str = "normal", truthy: bool = True, ended: bool = False) -> pa.Table:
    first = rows[0]
    values = [first["subject_id"], first["property_id"], entity, rank, truthy, ended]
    return pa.table(
        [pa.array([value], field.type) for value, field in zip(values, STATEMENTS.schema)], schema=STATEMENTS.schema
    )


@pytest.mark.parametrize(
    ("rank", "truthy", "ended", "check"),
    [
        ("preferred", True, False, "second_answer"),
        ("normal", True, False, "second_answer"),
        ("normal", False, False, "second_answer_past"),
        ("normal", True, True, "second_answer_past"),
        ("deprecated", False, False, "second_answer_deprecated"),
    ],
)
def test_second_answers_are_told_apart(rank: str, truthy: bool, ended: bool, check: str) -> None:
    rows = clean_rows()
    section = audited(answerability, rows, statements=statement(rows, distractor(rows, 0), rank, truthy, ended))
    assert section.counts == {check: 1}
    assert broken(section) == ({"second_answer"} if check == "second_answer" else set())
    (found,) = section.examples(check)
    assert found["fact_id"] == rows[0]["fact_id"] and distractor(rows, 0) in found["detail"]


def test_the_gold_itself_and_true_objects_that_are_not_offered_are_no_second_answers() -> None:
    rows = clean_rows()
    for entity in (gold(rows, 0), "Q999999999999"):
        assert broken(audited(answerability, rows, statements=statement(rows, entity))) == set()


def test_a_self_portrait_with_many_painters_is_found_with_every_fact() -> None:
    rows = clean_rows()
    paintings = [number for number, row in enumerate(rows) if row["property_id"] == "P170"][:5]
    for number in paintings:
        rename(rows, rows[number]["subject_id"], "en", "self-portrait")
    section = audited(answerability, rows)
    assert broken(section) == {"one_gold"}
    assert {entry["fact_id"] for entry in section.examples("one_gold")} == {rows[n]["fact_id"] for n in paintings}


def test_the_same_words_with_the_same_gold_are_no_ambiguity() -> None:
    rows = clean_rows()
    by_gold: dict[str, list[int]] = {}
    for number in range(len(rows)):
        by_gold.setdefault(gold(rows, number), []).append(number)
    first, second = next(numbers for numbers in by_gold.values() if len(numbers) > 1)[:2]
    for number in (first, second):
        rename(rows, rows[number]["subject_id"], "en", "self-portrait")
    assert broken(audited(answerability, rows)) == set()


def test_a_name_in_other_case_or_width_is_named() -> None:
    rows = clean_rows()
    reword(rows, 0, "en", lambda text: text.upper())
    assert broken(audited(answerability, rows)) == set()


def test_without_subject_labels_naming_is_not_checked() -> None:
    assert "subject_named" in unchecked(audited(answerability, clean_rows(), without="subject_label"))


def test_without_ids_the_same_entities_cannot_be_shown() -> None:
    assert "same_entities" in broken(audited(parallelism, clean_rows(), without="option_ids"))


def test_usual_takes_the_finest_group_that_is_large_enough() -> None:
    ratios = np.array([1.0] * 5 + [2.0] * 6 + [9.0] * 2)
    fine = ["a"] * 5 + ["b"] * 4 + ["c"] * 2 + ["d"] * 2
    coarse = ["x"] * 5 + ["y"] * 8
    found = parallelism.usual(ratios, fine, coarse)
    assert found.tolist() == [1.0] * 5 + [2.0] * 8
    # A relation with a few facts has no usual length; with another relation's, every question would be a finding.
    alone = parallelism.usual(np.array([1.0] * 5 + [9.0] * 4), ["x"] * 5 + ["y"] * 4)
    assert alone[:5].tolist() == [1.0] * 5 and np.isnan(alone[5:]).all()


def test_one_long_question_is_listed_and_borne() -> None:
    rows = clean_rows()
    reword(rows, 0, "de", lambda text: text + " Und dazu noch etwas, das im Fakt nicht steht, damit sie lang wird." * 3)
    section = audited(parallelism, rows)
    assert broken(section) == set() and section.counts == {"length_band": 1}


def test_a_question_in_english_that_is_the_same_name_elsewhere_is_not_copied() -> None:
    rows = clean_rows()
    for code in ("en", "de"):
        rename(rows, rows[0]["subject_id"], code, "Nosferatu")
    assert broken(audited(parallelism, rows)) == set()


@pytest.mark.parametrize(
    ("code", "question", "found"),
    [
        ("sw", "which currency is used in {}", True),
        ("sw", "Which  currency is used, in {} ?!", True),
        ("sw", "Which currency was used in {}?", True),
        ("de", "WHICH CURRENCY IS USED HERE IN {}?", True),
        ("pt", "¿Qué moneda se utiliza en {}?", True),
        ("sw", "Ni sarafu gani hutumika katika {}?", False),
        ("pt", "Que moeda se utiliza em {}?", False),
        ("sw", "Sarafu ya {} in use?", False),
    ],
)
def test_a_copy_with_trivial_changes_is_no_wording_of_its_own(code: str, question: str, found: bool) -> None:
    rows = clean_rows()
    for own, text in (
        ("en", "Which currency is used in {}?"),
        ("es", "¿Qué moneda se utiliza en {}?"),
        (code, question),
    ):
        reword(rows, 0, own, text)
    section = audited(parallelism, rows)
    assert broken(section) - {"length_band"} == ({"own_wording"} if found else set())
    assert [entry["fact_id"] for entry in section.examples("own_wording")] == [rows[0]["fact_id"]] * found


def test_words_of_a_name_are_no_shared_wording() -> None:
    rows = clean_rows()
    for code in ("en", "sw"):
        rename(rows, rows[0]["subject_id"], code, "The Unbearable Lightness of Being Again")
        reword(rows, 0, code, lambda text: text.upper())
    assert broken(audited(parallelism, rows)) == set()


def test_a_wording_belongs_to_the_relation_of_most_of_its_facts() -> None:
    rows = clean_rows()
    wrong = [number for number, row in enumerate(rows) if row["property_id"] == "P50"][:3]
    for number in wrong:
        label = rows[number]["translations"]["bn"]["subject_label"]
        reword(rows, number, "bn", language("bn").question("P170", None, label).upper() + "!")
    section = audited(answerability, rows)
    assert broken(section) == {"one_relation"}
    assert {entry["fact_id"] for entry in section.examples("one_relation")} == {rows[n]["fact_id"] for n in wrong}
    assert all("P170 40 times, P50 3 times" in entry["detail"] for entry in section.examples("one_relation"))


def test_a_wording_that_two_relations_share_evenly_accuses_both() -> None:
    rows = clean_rows()
    pair = [next(n for n, row in enumerate(rows) if row["property_id"] == relation) for relation in ("P50", "P170")]
    for number in pair:
        reword(rows, number, "fr", "De qui est {} ?")
    section = audited(answerability, rows)
    assert {entry["fact_id"] for entry in section.examples("one_relation")} == {rows[n]["fact_id"] for n in pair}


def test_english_in_one_swahili_question_is_beyond_doubt() -> None:
    rows = clean_rows()
    reword(rows, 0, "sw", "Which country holds {}?")
    section = audited(language_id, rows)
    assert "language_wording" in broken(section)
    (found,) = section.examples("language_wording")
    assert found["fact_id"] == rows[0]["fact_id"] and "taken for en" in found["detail"]


@pytest.mark.parametrize(
    ("question", "subject", "left"),
    [
        ("Who wrote “Voices”?", "Voices", "Who wrote ?"),
        ("文学作品『声』の作者は誰ですか。", "声", "文学作品 の作者は誰ですか。"),
        ("Who wrote it?", "Voices", "Who wrote it?"),
        ("Who wrote it?", None, "Who wrote it?"),
        ("Wer schrieb „Stimmen“?", "Stimmen", "Wer schrieb ?"),
    ],
)
def test_wording(question: str, subject: str | None, left: str) -> None:
    assert wording(question, subject) == left


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return Identifier((*known(), *AuditConfig().identify_also))


def test_every_template_is_identified_as_its_language(identifier: Identifier) -> None:
    for code in known():
        bare = [wording(text, "{subject}") for text in language(code).texts.values()]
        found = dict(zip(bare, identifier.identify(bare)))
        surely = {
            text: other
            for text, other in found.items()
            if other not in (code, None) and identifier.confidence(text, other) >= AuditConfig().identify_confidence
        }
        assert surely == {}
        assert sum(other == code for other in found.values()) >= 0.9 * len(found), code


def test_whole_sentences_in_another_language_are_identified(identifier: Identifier) -> None:
    texts = {
        "en": "Which country does this river flow through?",
        "sw": "Mto huu unapita katika nchi gani ya Afrika?",
        "id": "Sungai ini mengalir melalui negara mana saja?",
        "pt": "Por qual país corre este rio?",
        "bn": "এই নদীটি কোন দেশের মধ্য দিয়ে প্রবাহিত হয়?",
        "it": "Attraverso quale paese scorre questo fiume?",
    }
    assert identifier.identify(list(texts.values())) == list(texts)


def test_a_foreign_name_in_a_question_is_no_foreign_question() -> None:
    rows = clean_rows()
    for number in range(8):
        rename(
            rows, rows[number]["subject_id"], "sw", f"Die unerträgliche Leichtigkeit des Seins und der Zeit {number}"
        )
    section = audited(language_id, rows)
    assert broken(section) == set() and section.counts == {}


def test_provenance_and_attestation_add_up() -> None:
    rows = clean_rows()
    for slot in range(4):
        rows[0]["translations"]["sw"]["option_provenance"][slot] = "mul"
        rows[0]["translations"]["zh"]["option_provenance"][slot] = "variant+opencc"
    rows[1]["quality_tier"] = "silver"
    rows[1]["n_langs_attested"] = 9
    section = audited(labels, rows)
    shares = next(grid for grid in section.grids if grid.title.startswith("Provenance"))
    assert shares.columns == ("language", "label", "variant", "mul")
    assert {row[0]: row[2] for row in shares.rows}["zh"] == pytest.approx(1 / len(rows))
    assert {row[0]: row[3] for row in shares.rows}["sw"] == pytest.approx(1 / len(rows))
    assert broken(section) == set()
    rows[1]["quality_tier"] = "gold"
    assert broken(audited(labels, rows)) == {"gold_tier"}


def test_popularity_bins_hold_every_fact() -> None:
    rows = clean_rows()
    for number, row in enumerate(rows):
        row["popularity"] = (0, 1, 4, 19, 300)[number % 5]
    section = audited(popularity, rows)
    (chart,) = section.charts
    sizes = Counter(row["split"] for row in rows)
    counts = np.sum([np.multiply(s.values, sizes[s.name] / 100) for s in chart.series], axis=0)
    filled = dict(zip(chart.rows, counts.round().tolist()))
    assert filled == {
        "0": 32,
        "1": 32,
        "2–4": 32,
        "5–9": 0,
        "10–19": 32,
        "20–49": 0,
        "50–99": 0,
        "100–199": 0,
        "200+": 32,
    }
    assert section.verdicts == []


def test_a_gold_that_is_not_the_fact_s_object_is_found_by_id() -> None:
    rows = clean_rows()
    rows[0]["object_id"] = "Q77"
    found = audited(integrity, rows)
    assert broken(found) == {"marked"} and found.count("marked") == 13
