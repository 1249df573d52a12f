"""The comparison of the environments finds what differs; the environments themselves are run by `.ci/run`."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from tests.environments.run import VERSIONS, compare, expected


@pytest.fixture(scope="module")
def wanted(small: Path) -> dict:
    return expected(small)


def loaded(wanted: dict) -> dict:
    sizes = {split: values["rows"] for split, values in wanted["clean_items"].items()}
    return {"version": "5.2.0", "default": sizes, "configs": copy.deepcopy(wanted)}


def test_all_major_versions_that_users_have_are_tried() -> None:
    assert [version.split(".")[0] for version in VERSIONS] == ["2", "3", "4", "5"]


def test_what_is_expected_is_what_the_files_hold(wanted: dict) -> None:
    assert list(wanted) == [
        *("clean_items", "clean", "clean_en", "clean_sw"),
        *("parallel", "en", "sw", "open", "clean_open"),
    ]
    assert [wanted["en"][split]["rows"] for split in ("train", "validation", "test")] == [136, 32, 32]
    assert "translations: struct<en: struct<" in wanted["parallel"]["test"]["schema"]
    assert "option_ids: list<item: string>" in wanted["en"]["test"]["schema"]


@pytest.mark.parametrize("key", ["rows", "schema", "first", "last", "streamed_schema", "streamed_first"])
def test_differences_are_named(key: str, wanted: dict) -> None:
    found = loaded(wanted)
    assert compare(found, wanted, "5.2.0") == "same"
    found["configs"]["clean_sw"]["test"][key] = "other"
    assert compare(found, wanted, "5.2.0") == f"clean_sw/test: {key} differs"


def test_other_configs_versions_defaults_and_errors_are_named(wanted: dict) -> None:
    found = loaded(wanted)
    assert compare(found, wanted, "4.8.5") == "datasets is 5.2.0 there"
    assert compare("ValueError: no", wanted, "5.2.0") == "ValueError: no"
    assert compare({**found, "default": {"train": 1}}, wanted, "5.2.0") == "without a config: {'train': 1}"
    del found["configs"]["en"]
    assert compare(found, wanted, "5.2.0").startswith(
        "configs ['clean_items', 'clean', 'clean_en', 'clean_sw', 'parallel', 'sw'"
    )
