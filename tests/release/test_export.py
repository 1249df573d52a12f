"""The release folder: nothing twice, every column defined, the card true."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from polyfact_dataset.catalog.language import PAPER_LANGUAGES, language
from polyfact_dataset.common.files import digest, read_json
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.config.build import load_config
from polyfact_dataset.facts.labels import usable
from polyfact_dataset.pipeline.stages import table_path
from polyfact_dataset.release.card_tables import percent
from polyfact_dataset.release.export import configs, write_partition
from polyfact_dataset.release.rows import accepted_answers
from polyfact_dataset.release.schema import FLAT_ROWS, OPEN_ITEM, open_rows, parallel_rows
from tests.environments.run import readers


def parallel(out: Path) -> list[dict]:
    files = sorted((out / "release" / "data" / "parallel").glob("*.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def test_configs_are_lists_of_files_and_the_default_comes_first() -> None:
    files = {
        "parallel": {"train": {"gold": ["a"], "bronze": ["b"]}, "test": {"bronze": ["c"]}},
        "open": {"test": {"silver": ["g"]}},
        "en": {"train": {"gold": ["d"], "silver": ["e"]}, "test": {"bronze": ["f"]}},
    }
    listed = configs(files)
    assert listed == {
        "clean_items": {"train": ["d", "e"]},
        "clean": {"train": ["a"]},
        "clean_en": {"train": ["d", "e"]},
        "parallel": {"train": ["a", "b"], "test": ["c"]},
        "en": {"train": ["d", "e"], "test": ["f"]},
        "open": {"test": ["g"]},
        "clean_open": {"test": ["g"]},
    }
    assert list(listed) == ["clean_items", "clean", "clean_en", "parallel", "en", "open", "clean_open"]


def test_every_file_is_used_and_has_the_declared_schema(sample_build: Path) -> None:
    release = sample_build / "release"
    manifest = read_json(release / "manifest.json")
    listed = {path for splits in manifest["configs"].values() for paths in splits.values() for path in paths}
    found = {path.relative_to(release).as_posix() for path in (release / "data").rglob("*.parquet")}
    assert listed == found == set(manifest["files"])
    for name in found:
        table = name.split("/")[1]
        special = {"parallel": parallel_rows(PAPER_LANGUAGES).schema, "open": open_rows(PAPER_LANGUAGES).schema}
        schema = special.get(table, FLAT_ROWS.schema)
        assert pq.read_schema(release / name).equals(schema, check_metadata=False)
        assert digest(release / name) == manifest["files"][name]


def test_open_rows_accept_the_gold_by_all_its_names(sample_build: Path) -> None:
    data = sample_build / "release" / "data"
    aliases = 0
    for path in sorted((data / "open").glob("*.parquet")):
        wide = pq.read_table(data / "parallel" / path.name).to_pylist()
        for row, whole in zip(pq.read_table(path).to_pylist(), wide, strict=True):
            assert {**row, "translations": None} == {**whole, "translations": None}
            for code, item in row["translations"].items():
                closed, entry = whole["translations"][code], language(code)
                assert (item["question"], item["answer"]) == (closed["question"], closed["answer_text"])
                accepted = item["accepted_answers"]
                assert accepted[0] == item["answer"]
                assert len({normalise(text) for text in accepted}) == len(accepted)
                assert all(usable(text, entry) == text for text in accepted)
                aliases += len(accepted) > 1
    assert aliases > 100
    # The United States, with an alias of the sample's tables.
    names = {
        name
        for path in (data / "open").glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
        if row["object_id"] == "Q30"
        for name in row["translations"]["en"]["accepted_answers"]
    }
    assert {"United States", "USA"} <= names


def test_accepted_answers_begin_with_the_answer_and_repeat_nothing() -> None:
    assert accepted_answers(["Paris", "City of Light"], "Paris") == ["Paris", "City of Light"]
    assert accepted_answers(["PARIS", "Lutetia"], "Paris") == ["Paris", "Lutetia"]
    # A translated label is none of Wikidata's names.
    assert accepted_answers(["Lutetia"], "Pari") == ["Pari", "Lutetia"]
    assert accepted_answers([], "Paris") == ["Paris"]


def test_articles_name_the_wikipedias(sample_build: Path) -> None:
    facts = {row["fact_id"]: row for row in parallel(sample_build)}
    labels = pq.read_table(table_path(sample_build, "labels")).to_pylist()
    articles = {row["entity_id"]: row["articles"] for row in labels}
    assert any(articles.values())
    for row in facts.values():
        assert row["subject_articles"] == articles[row["subject_id"]]
        assert row["object_articles"] == articles[row["object_id"]]


def test_flat_rows_say_what_the_parallel_rows_say(sample_build: Path) -> None:
    data = sample_build / "release" / "data"
    for path in sorted((data / "parallel").glob("*.parquet")):
        wide = pq.read_table(path).to_pylist()
        for code in ("en", "bn"):
            for whole, flat in zip(wide, pq.read_table(data / code / path.name).to_pylist(), strict=True):
                translations = whole["translations"][code]
                own = {"language": code, "language_script": language(code).scripts[0], "split": path.name.split("-")[0]}
                assert {**whole, **translations, **own} == {**flat, "translations": whole["translations"]}
                assert list(flat)[:3] == ["language", "language_script", "question"] and "option_ids" in list(flat)[-8:]


def test_the_card_lists_configs_and_sizes(sample_build: Path) -> None:
    text = (sample_build / "release" / "README.md").read_text(encoding="utf-8")
    _, block, body = text.split("---\n", 2)
    data = yaml.safe_load(block)
    assert [entry["config_name"] for entry in data["configs"] if entry.get("default")] == ["clean_items"]
    manifest = read_json(sample_build / "release" / "manifest.json")
    assert {entry["config_name"] for entry in data["dataset_info"]} == set(manifest["configs"])
    for entry in data["dataset_info"]:
        sizes = {split["name"]: split["num_examples"] for split in entry["splits"]}
        assert sizes == manifest["sizes"][entry["config_name"]]
    for column in (*parallel_rows(PAPER_LANGUAGES).columns, *OPEN_ITEM):
        assert f"| `{column.name}` |" in body
    attested = manifest["stages"]["tier"]["counts"]["attested"]["sw"]
    total = sum(manifest["sizes"]["parallel"].values())
    shares = (percent(attested[key] / total) for key in ("subjects", "answers", "whole"))
    assert f"| Swahili (`sw`) | {' | '.join(shares)} |" in body
    assert f"{total:,} facts, 22 relations, 12 languages" in body


def test_parquet_is_written_for_the_hub(sample_build: Path) -> None:
    for path in sorted((sample_build / "release" / "data").rglob("train-*.parquet")):
        metadata = pq.read_metadata(path)
        assert metadata.format_version == "2.6"
        # Arrow's own schema and nothing else: what `datasets` embeds, older versions cannot read.
        assert set(pq.read_schema(path).metadata or {}) == set()
        sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        assert sizes == [1000] * (metadata.num_rows // 1000) + [metadata.num_rows % 1000]
        for number in range(metadata.num_row_groups):
            for place in range(metadata.num_columns):
                column = metadata.row_group(number).column(place)
                assert column.compression == "ZSTD" and column.is_stats_set
                assert column.has_column_index and column.has_offset_index


def test_shards_stay_below_their_bound_and_hold_the_rows_in_order(tmp_path: Path) -> None:
    rows = pa.table({"text": [f"row {number:06}" * 10 for number in range(5000)]})
    bound = rows.nbytes // 7 * 2
    config = load_config(export={"shard_bytes": bound, "row_group_rows": 500})
    written = write_partition(tmp_path, "parallel/train-gold", rows, config)
    assert list(written) == [f"data/parallel/train-gold-{number:05}-of-00004.parquet" for number in range(4)]
    assert list(written.values()) == [1250] * 4
    parts = [pq.read_table(tmp_path / name) for name in written]
    assert pa.concat_tables(parts).equals(rows)
    assert all(part.nbytes <= bound and (tmp_path / name).stat().st_size <= bound for name, part in zip(written, parts))


def test_a_row_larger_than_the_bound_has_a_shard_of_its_own(tmp_path: Path) -> None:
    rows = pa.table({"text": ["x" * 100] * 5})
    written = write_partition(tmp_path, "en/test-gold", rows, load_config(export={"shard_bytes": 10}))
    assert list(written.values()) == [1] * 5 and len({name[-16:] for name in written}) == 1


def test_the_usual_bound_is_below_what_the_hub_recommends() -> None:
    assert load_config().export.shard_bytes < 500_000_000


def test_pandas_polars_and_duckdb_read_the_same_rows(small: Path) -> None:
    assert set(readers(small).values()) == {"same"} and len(readers(small)) == 3


def test_nothing_of_the_machine_is_in_a_release(sample_build: Path) -> None:
    for path in (sample_build / "release").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert str(sample_build).encode() not in data and b"/home/" not in data, path
