"""The release folder: nothing twice, every column defined, the card true."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import yaml

from polyfact_dataset.languages import PAPER_LANGUAGES
from polyfact_dataset.records import FLAT_ROWS, parallel_rows
from polyfact_dataset.release.export import configs
from polyfact_dataset.storage import digest, read_json


def test_configs_are_lists_of_files_and_parallel_comes_first() -> None:
    files = {
        "parallel": {"train": {"gold": ["a"], "bronze": ["b"]}, "test": {"bronze": ["c"]}},
        "en": {"train": {"gold": ["d"], "silver": ["e"]}, "test": {"bronze": ["f"]}},
    }
    assert configs(files) == {
        "parallel": {"train": ["a", "b"], "test": ["c"]},
        "clean": {"train": ["a"]},
        "en": {"train": ["d", "e"], "test": ["f"]},
        "clean_en": {"train": ["d", "e"]},
    }


def test_every_file_is_used_and_has_the_declared_schema(sample_build: Path) -> None:
    release = sample_build / "release"
    manifest = read_json(release / "manifest.json")
    listed = {path for splits in manifest["configs"].values() for paths in splits.values() for path in paths}
    found = {path.relative_to(release).as_posix() for path in release.rglob("*.parquet")}
    assert listed == found == set(manifest["files"])
    for name in found:
        table = name.split("/")[1]
        schema = parallel_rows(PAPER_LANGUAGES).schema if table == "parallel" else FLAT_ROWS.schema
        assert pq.read_schema(release / name).equals(schema, check_metadata=False)
        assert digest(release / name) == manifest["files"][name]


def test_flat_rows_say_what_the_parallel_rows_say(sample_build: Path) -> None:
    data = sample_build / "release" / "data"
    for path in sorted((data / "parallel").glob("*.parquet")):
        wide = pq.read_table(path).to_pylist()
        for code in ("en", "bn"):
            for whole, flat in zip(wide, pq.read_table(data / code / path.name).to_pylist(), strict=True):
                translations = whole["translations"][code]
                assert {**whole, **translations, "language": code} == {**flat, "translations": whole["translations"]}


def test_the_card_lists_configs_and_sizes(sample_build: Path) -> None:
    text = (sample_build / "release" / "README.md").read_text(encoding="utf-8")
    _, block, body = text.split("---\n", 2)
    data = yaml.safe_load(block)
    assert [entry["config_name"] for entry in data["configs"] if entry.get("default")] == ["parallel"]
    manifest = read_json(sample_build / "release" / "manifest.json")
    assert {entry["config_name"] for entry in data["dataset_info"]} == set(manifest["configs"])
    for entry in data["dataset_info"]:
        sizes = {split["name"]: split["num_examples"] for split in entry["splits"]}
        assert sizes == manifest["sizes"][entry["config_name"]]
    for column in parallel_rows(PAPER_LANGUAGES).columns:
        assert f"| `{column.name}` |" in body
    total = sum(manifest["sizes"]["parallel"].values())
    assert f"{total:,} facts, 22 relations, 12 languages" in body


def test_nothing_of_the_machine_is_in_a_release(sample_build: Path) -> None:
    for path in (sample_build / "release").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert str(sample_build).encode() not in data and b"/home/" not in data, path
