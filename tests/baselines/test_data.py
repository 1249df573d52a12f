"""Reading releases: languages, splits, samples, digests, and what is wrong with a dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from baselines.data import accepted_names, load, load_answers, load_labels, load_open
from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import read_json
from tests.support import baseline_releases as releases


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = {"train": releases.parallel_rows(4), "test": releases.parallel_rows(2)}
    opened = {"train": releases.open_rows(4), "test": releases.open_rows(2)}
    return releases.write(tmp_path_factory.mktemp("small"), {"clean": splits, "open": opened})


def test_facts_of_a_build(release: Path) -> None:
    facts = load(release, "clean", "test")
    assert facts.languages == PAPER_LANGUAGES and facts.origin.revision is None
    assert facts.origin.content == read_json(release / "manifest.json")["content"]
    assert len(facts) == read_json(release / "manifest.json")["sizes"]["clean"]["test"]
    fact = facts[0]
    assert fact.fact_id == f"{fact.subject_id}|{fact.property_id}|{fact.object_id}"
    for item in fact.items.values():
        assert item.option_ids[item.answer] == fact.object_id and len(set(item.options)) == 4
    assert [f.fact_id for f in facts] == [facts[i].fact_id for i in range(len(facts))]
    assert facts[-1] == facts[len(facts) - 1] and [f.fact_id for f in facts[1:3]] == [
        facts[1].fact_id,
        facts[2].fact_id,
    ]
    with pytest.raises(IndexError):
        facts[len(facts)]


def test_a_language_subset_keeps_its_order(small: Path) -> None:
    facts = load(small, languages=("ja", "en"))
    assert facts.languages == ("ja", "en") and list(facts[0].items) == ["ja", "en"]
    item = facts[0].items["ja"]
    assert item.options == ("ウィーン", "カイロ", "パリ", "ローマ") and item.answer == 2
    assert facts.digests["en"] == load(small).digests["en"]


def test_samples_depend_on_seed_and_facts_alone(small: Path) -> None:
    facts = load(small, split="train")
    ids = [fact.fact_id for fact in facts.sample(2, seed=1)]
    assert ids == [fact.fact_id for fact in load(small, split="train", languages=("de",)).sample(2, seed=1)]
    drawn = {tuple(fact.fact_id for fact in facts.sample(2, seed=seed)) for seed in range(8)}
    assert len(drawn) > 1 and all(len(sample) == 2 for sample in drawn)
    assert facts.sample(None) is facts and facts.sample(99) is facts


def test_digests_change_with_any_text(small: Path, tmp_path: Path) -> None:
    rows = releases.parallel_rows(2)
    rows[1]["translations"]["de"]["option_c"] += "!"
    other = load(releases.write(tmp_path, {"clean": {"test": rows}}))
    before = load(small)
    assert other.digests["de"] != before.digests["de"] and other.digests["ja"] == before.digests["ja"]
    assert before.sample(1).digests["ja"] != before.digests["ja"]


def test_open_questions_and_names(small: Path) -> None:
    facts = load_open(small, languages=("en",))
    assert facts[0].items["en"].accepted == ("Paris", "City of Light")
    assert accepted_names(facts) == {"en": {"Q1": ("Paris", "City of Light"), "Q2": ("Rome",)}}
    answers = load_answers(small, ("en", "ja"))
    assert sorted(set(answers["en"])) == ["Cairo", "City of Light", "Paris", "Rome", "Vienna"]
    assert "カイロ" in answers["ja"]


def test_labels_of_a_training_split(small: Path) -> None:
    labels = load_labels(small, "clean", "train", ("de", "ko"))
    assert list(labels) == ["de"] and labels["de"][1] == ("P36", "de question 1", "Rom")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": "dirty"}, "no config 'dirty'; it has clean, open"),
        ({"split": "dev"}, "no split 'dev'; it has train, test"),
        ({"languages": ("en", "xx")}, "no language xx; it has en, de, ja"),
    ],
)
def test_what_is_not_there_is_named(small: Path, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(small, **arguments)


def test_a_missing_dataset(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a folder nor"):
        load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="the name of the dataset is empty"):
        load("")


def test_files_without_configs_have_one_named_default(small: Path, tmp_path: Path) -> None:
    (tmp_path / "test.parquet").write_bytes((small / "data" / "clean" / "test.parquet").read_bytes())
    assert load(tmp_path, "default").digests == load(small).digests
    with pytest.raises(ConfigError, match="has no config 'clean'; it has default"):
        load(tmp_path)


def test_an_empty_split(tmp_path: Path) -> None:
    folder = releases.write(tmp_path, {"clean": {"train": releases.parallel_rows(2), "test": []}})
    with pytest.raises(DataError, match="split 'test' of config 'clean' of .* is empty"):
        load(folder)


def test_a_damaged_file_is_named(small: Path, tmp_path: Path) -> None:
    folder = releases.write(tmp_path, {"clean": {"test": releases.parallel_rows(2)}})
    (folder / "data" / "clean" / "test.parquet").write_bytes(b"PAR1 no PAR1")
    with pytest.raises(DataError, match="test.parquet cannot be read"):
        load(folder)


def test_a_dataset_without_option_ids(tmp_path: Path) -> None:
    rows = releases.parallel_rows(2)
    for row in rows:
        for item in row["translations"].values():
            del item["option_ids"]
    with pytest.raises(DataError, match=r"translations\.\w+ lacks option_ids"):
        load(releases.write(tmp_path, {"clean": {"test": rows}}))


def test_a_config_of_one_language_is_refused(release: Path) -> None:
    with pytest.raises(ConfigError, match="no parallel rows; use config clean"):
        load(release, "clean_sw")
