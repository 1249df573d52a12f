"""The card's YAML block: its patterns match exactly the files of each config, and it stays small."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from polyfact_dataset.common.files import read_json
from polyfact_dataset.release.metadata import patterns

TIERS = ("gold", "silver", "bronze")


def shards(tier: str, number: int = 1, folder: str = "en") -> list[str]:
    return [f"data/{folder}/test-{tier}-{shard:05}-of-{number:05}.parquet" for shard in range(number)]


def test_patterns_name_tiers_and_not_shards() -> None:
    files = [path for folder in ("en", "sw") for tier in TIERS for path in shards(tier, 3, folder)]
    clean = [*shards("gold", 3), *shards("silver", 3)]
    assert patterns(clean, files) == ["data/en/test-[gs]*.parquet"]
    assert patterns([*clean, *shards("bronze", 3)], files) == [
        "data/en/test-[gs]*.parquet",
        "data/en/test-bronze-*.parquet",
    ]
    both = [*clean, *shards("gold", 3, "sw"), *shards("silver", 3, "sw")]
    assert patterns(both, files) == ["data/en/test-[gs]*.parquet", "data/sw/test-[gs]*.parquet"]
    # Without gold, there is one tier to name; judged items have none.
    assert patterns(shards("silver"), [*shards("silver"), *shards("bronze")]) == ["data/en/test-silver-*.parquet"]
    judged = ["data/verification/test-00000-of-00001.parquet"]
    assert patterns(judged, judged) == ["data/verification/test-*.parquet"]


def test_files_that_no_pattern_matches_are_listed() -> None:
    assert patterns(shards("gold"), [*shards("gold"), "data/en/test-gold-more.parquet"]) == shards("gold")
    other_order = [*shards("silver"), *shards("gold")]
    assert patterns(other_order, other_order) == other_order
    assert patterns(["data/en/test.parquet"], ["data/en/test.parquet"]) == ["data/en/test.parquet"]


def test_the_block_names_the_files_of_every_config_and_is_small(sample_build: Path) -> None:
    release = sample_build / "release"
    block = (release / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1]
    manifest = read_json(release / "manifest.json")
    files = sorted(path.relative_to(release).as_posix() for path in (release / "data").rglob("*.parquet"))
    for entry in yaml.safe_load(block)["configs"]:
        named = {}
        for split in entry["data_files"]:
            listed = [split["path"]] if isinstance(split["path"], str) else split["path"]
            named[split["split"]] = [path for pattern in listed for path in files if fnmatchcase(path, pattern)]
        assert named == manifest["configs"][entry["config_name"]]
    # 31 configs in 12 languages. Listing files and features takes several times as much.
    assert len(block.encode("utf-8")) < 17_000
