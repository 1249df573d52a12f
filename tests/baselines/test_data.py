"""Reading releases: languages, splits, samples, digests, and what is wrong with a dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest

from baselines.data import accepted_names, languages_of, load, load_answers, load_attributes, load_labels, load_open
from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import ConfigError, DataError, RetryableError
from polyfact_dataset.common.files import read_json
from tests.support import baseline_releases as releases
from tests.support.hub import Hub, Repo


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
        ({"config": "dirty"}, "no config 'dirty'; it has clean, parallel, open"),
        ({"split": "dev"}, "no split 'dev'; it has train, test"),
        ({"languages": ("en", "xx")}, "no language xx; it has en, de, ja"),
    ],
)
def test_what_is_not_there_is_named(small: Path, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(small, **arguments)


def test_the_languages_of_a_release_are_its_own(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of harnesses are written for them; a release on the Hub, which is not fetched, has the paper's."""
    assert languages_of(release) == PAPER_LANGUAGES == languages_of("owner/name")
    manifest = {"build": {"config": {"languages": ["en", "it", "ko"]}}}
    monkeypatch.setattr("baselines.data.read_manifest", lambda folder: manifest)
    assert languages_of(tmp_path) == ("en", "it", "ko")


def test_a_missing_dataset(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a folder nor owner/name"):
        load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="the name of the dataset is empty"):
        load("")
    with pytest.raises(ConfigError, match=r"contains no manifest\.json"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["runs[1]", "what?", "all*", "a b"])
def test_folders_with_pattern_characters_in_their_names(small: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(small, tmp_path / name)
    facts = load(tmp_path / name)
    assert len(facts) == 2 and facts.digests == load(small).digests


def test_a_release_on_the_hub_has_its_commit_and_is_read_offline(
    small: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        path.relative_to(small).as_posix(): (path.read_bytes(), False) for path in small.rglob("*") if path.is_file()
    }
    hub.repos["someone/facts"] = repo = Repo()
    commit = repo.commit("main", files)
    first = load("someone/facts")
    assert first.origin.revision == commit and first.digests == load(small).digests
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    again = load("someone/facts")
    assert again.origin == first.origin and again.digests == first.digests
    assert load("someone/facts", revision=commit).origin.revision == commit
    with pytest.raises(RetryableError, match="someone/other: the Hub cannot be reached"):
        load("someone/other")


def test_attributes_are_none_where_a_release_lacks_them(small: Path, release: Path) -> None:
    found = load_attributes(small, "test", ("en", "ja"))
    first = found["Q100|P36|Q1"]
    assert (first.domain, first.popularity, first.subject_articles) == (None, None, None)
    assert first.subject_labels == {"en": "en question 0", "ja": "ja question 0"}
    built = load_attributes(release, "test", PAPER_LANGUAGES)
    assert {row.domain for row in built.values()} >= {"geography", "works"}
    assert all(row.popularity is not None and set(row.subject_labels) == set(PAPER_LANGUAGES) for row in built.values())


def test_an_empty_split(tmp_path: Path) -> None:
    folder = releases.write(tmp_path, {"clean": {"train": releases.parallel_rows(2), "test": []}})
    with pytest.raises(DataError, match="split 'test' of config 'clean' of .* is empty"):
        load(folder)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = releases.write(tmp_path, {"clean": {"test": releases.parallel_rows(2)}})
    next((folder / "data").rglob("test-*.parquet")).write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"test-clean\.parquet cannot be read"):
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
