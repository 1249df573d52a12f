"""The smallest real inputs on which a build once went wrong, with the right outcome."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import load_config
from polyfact_dataset.items.containment import Containment
from polyfact_dataset.pipeline.context import Inputs
from polyfact_dataset.pipeline.runner import run
from polyfact_dataset.pipeline.stages import CANDIDATES, QUESTIONS, SAMPLE, VALIDATE, Stage, stage_folder, table_path
from polyfact_dataset.wikidata.dump import identify
from tests.support.planted import reasons
from tests.support.shared_data import shared


def built(folder: Path, case: str, languages: tuple[str, ...] = ("en",), until: Stage = VALIDATE) -> Path:
    dump = shared(f"cases/{case}.json")
    config = load_config(None, languages=languages, facts=1000, extract__workers=1)
    run(Inputs(config, dump, identify(dump)), folder / "build", Log(quiet=True), until=until)
    return folder / "build"


def rejected(out: Path, stage: Stage) -> dict[str, list[str]]:
    return reasons(pq.read_table(stage_folder(out, stage) / "rejects.parquet").to_pylist())


def test_an_alias_before_a_digit_is_a_leak(tmp_path: Path) -> None:
    out = built(tmp_path, "01_leak_alias_digit")
    assert rejected(out, VALIDATE)["Q272629|P178|Q128896"] == ["alias_in_question:en"]


def test_no_genre_is_offered_for_another_kind_of_subject(tmp_path: Path) -> None:
    out = built(tmp_path, "02_genre_kind", until=SAMPLE)
    kinds = {row["entity_id"]: row["kind"] for row in pq.read_table(table_path(out, "features")).to_pylist()}
    sampled = pq.read_table(table_path(out, "sampled")).to_pylist()
    asked = {(kinds[row["subject_id"]], row["object_id"]) for row in sampled}
    offered = {(kinds[row["subject_id"]], name) for row in sampled for name in row["distractor_ids"]}
    assert {kind for kind, _ in asked} >= {"film", "person"} and offered <= asked
    jazz, opera, sitcom, horror = "Q8341", "Q1344", "Q170238", "Q200092"
    assert {("person", jazz), ("person", opera), ("film", horror)} <= asked
    assert {kind for kind, genre in offered if genre in (jazz, opera)} == {"person"}
    assert all(kind == "series" for kind, genre in offered if genre == sitcom)


def test_a_relation_that_permutations_leave_without_train_facts_has_them_in_blocks(tmp_path: Path) -> None:
    out = built(tmp_path, "03_no_train", until=SAMPLE)
    assert "train" in {row["split"] for row in pq.read_table(table_path(out, "sampled")).to_pylist()}


def test_famous_subjects_outlive_obscure_namesakes(tmp_path: Path) -> None:
    out = built(tmp_path, "04_namesakes_famous")
    kept = {row["fact_id"] for row in pq.read_table(table_path(out, "valid_candidates")).to_pylist()}
    assert {"Q84|P17|Q145", "Q90|P17|Q142", "Q220|P17|Q38"} <= kept
    assert rejected(out, QUESTIONS)["Q92561|P17|Q16"] == ["namesake_not_described:en"]
    assert rejected(out, VALIDATE)["Q174|P17|Q155"] == ["same_question:en"]


def test_no_description_answers(tmp_path: Path) -> None:
    out = built(tmp_path, "05_description_answers")
    assert rejected(out, QUESTIONS)["Q3183|P17|Q408"] == ["namesake_not_described:en"]
    questions = pq.read_table(table_path(out, "questions")).column("en").to_pylist()
    assert not any("(" in question for question in questions)


def test_a_german_adjective_is_the_language(tmp_path: Path) -> None:
    out = built(tmp_path, "06_german_adjective", ("en", "de"))
    assert rejected(out, VALIDATE)["Q590208|P407|Q188"] == ["gold_inflected:de"]


def test_no_continent_is_offered_with_one_that_contains_it(tmp_path: Path) -> None:
    out = built(tmp_path, "07_continent_in_continent", until=SAMPLE)
    places = Containment(pq.read_table(table_path(out, "features")))
    rows = pq.read_table(table_path(out, "sampled")).to_pylist()
    assert rows
    for row in rows:
        options = [row["object_id"], *row["distractor_ids"]]
        assert not any(places.overlap(a, b) for a in options for b in options if a != b), row["fact_id"]


@pytest.mark.parametrize("fact", ["Q1234355|P176", "Q27754824|P17"])
def test_a_year_is_no_catalogue_number(fact: str, tmp_path: Path) -> None:
    found = rejected(built(tmp_path, "08_year_is_catalogue", until=CANDIDATES), CANDIDATES)
    assert not any(name.startswith(fact) for name in found)
