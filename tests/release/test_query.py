"""Reading a release back from the command line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.release.query import fact, search
from polyfact_dataset.release.reader import config_files
from polyfact_dataset.release.stats import POPULARITY_EDGES, popularity_names, read_statistics, statistics
from tests.support.command import polyfact
from tests.support.released import Rows, copy_of, edited, parallel_rows_of


def test_statistics_count_the_rows(small: Path) -> None:
    rows, found = parallel_rows_of(small), statistics(small)
    assert found["facts"] == len(rows) and found["items"] == 2 * len(rows)
    assert found["subjects"] == len({row["subject_id"] for row in rows})
    assert found["splits"] == dict(Counter(row["split"] for row in rows))
    assert {tier: n for tier, n in found["tiers"].items() if n} == dict(Counter(row["quality_tier"] for row in rows))
    for relation, entry in found["relations"].items():
        own = [row for row in rows if row["property_id"] == relation]
        assert entry["splits"] == dict(Counter(row["split"] for row in own))
        assert entry["answers"] == len({row["object_id"] for row in own})
    for code, entry in found["languages"].items():
        items = [row["translations"][code] for row in rows]
        assert entry["answer_index"] == [sum(i["answer_index"] == place for i in items) for place in range(4)]
        answers = Counter(item["option_provenance"][item["answer_index"]] for item in items)
        assert entry["answer_provenance"] == dict(answers)
        assert sum(entry["option_provenance"].values()) == 4 * len(rows)
        assert entry["question_characters"] == sum(len(item["question"]) for item in items)


def test_popularity_is_binned_and_ranked(small: Path, tmp_path: Path) -> None:
    values = [0, 1, 2, 4, 5, 99, 100, 199, 200, 5000]

    def edit(rows):
        for row, value in zip(rows, values):
            row.update(popularity=value, quality_tier="silver")
        return rows[: len(values)]

    found = statistics_of_parallel(edited(small, tmp_path / "new", edit))
    assert POPULARITY_EDGES == (0, 1, 2, 5, 10, 20, 50, 100, 200)
    assert popularity_names() == ["0", "1", "2–4", "5–9", "10–19", "20–49", "50–99", "100–199", "200+"]
    assert found["bins"] == {"gold": [0] * 9, "silver": [1, 1, 2, 1, 0, 0, 1, 2, 2], "bronze": [0] * 9}
    assert found["percentiles"] == {"5": 0, "25": 2, "50": 5, "75": 199, "95": 5000}


def statistics_of_parallel(folder: Path) -> dict:
    from polyfact_dataset.release.stats import _popularity, opened

    with opened(folder, "parallel", ("popularity", "quality_tier")) as connection:
        return _popularity(connection)


def test_shipped_statistics_are_used_only_for_their_content(small: Path, tmp_path: Path) -> None:
    copy = copy_of(small, tmp_path / "copy")
    shipped = read_json(copy / "statistics.json")
    (copy / "statistics.json").write_text(json.dumps({**shipped, "facts": 7}))
    assert read_statistics(str(copy))["facts"] == 7
    (copy / "statistics.json").write_text(json.dumps({**shipped, "facts": 7, "content": "0"}))
    assert read_statistics(str(copy))["facts"] == shipped["facts"]


def test_stats_show_relations_configs_and_labels(small: Path) -> None:
    printed = polyfact("stats", small).stdout
    for message in ("200 facts, 400 items", "place of birth (P19)", "clean_sw", "Where the answers' labels are from"):
        assert message in printed, message
    assert json.loads(polyfact("stats", small, "--json").stdout) == read_json(small / "statistics.json")


def test_show_one_fact(small: Path) -> None:
    row = parallel_rows_of(small)[0]
    item = row["translations"]["sw"]
    printed = polyfact("show", row["fact_id"], "--release", small, "--language", "sw").stdout
    assert f"split: {row['split']}" in printed and item["question"] in printed
    marked = [line for line in printed.splitlines() if line.startswith("  * ")]
    assert len(marked) == 1 and item["answer_text"] in marked[0] and row["object_id"] in marked[0]
    assert row["translations"]["en"]["question"] not in printed
    whole = json.loads(polyfact("show", row["fact_id"], "--release", small, "--json").stdout)
    assert whole == row


def test_a_fact_or_language_that_is_not_there(small: Path) -> None:
    with pytest.raises(DataError, match="contains no fact 'Q1'"):
        fact(small, "Q1", [])
    with pytest.raises(ConfigError, match="no language xx; it has en, sw"):
        fact(small, "Q1|P1|Q1", ["xx"])


def test_search_finds_every_item_whatever_its_case(small: Path) -> None:
    rows = parallel_rows_of(small)
    text = rows[0]["translations"]["sw"]["answer_text"].upper()
    wanted = {
        (row["fact_id"], code)
        for row in rows
        for code, item in row["translations"].items()
        if any(
            text.lower() in item[name].lower() for name in ("question", "option_a", "option_b", "option_c", "option_d")
        )
    }
    found, total = search(small, text, [], 1000)
    assert {(hit["fact_id"], hit["language"]) for hit in found} == wanted and total == len(wanted) > 1
    first, same = search(small, text, [], 1)
    assert first == found[:1] and same == total
    only, _ = search(small, text, ["sw"], 1000)
    assert {hit["language"] for hit in only} == {"sw"}


def test_search_from_the_command_line(small: Path) -> None:
    row = parallel_rows_of(small)[0]
    printed = polyfact("search", row["translations"]["en"]["question"], "--release", small).stdout
    assert row["fact_id"] in printed and "1 items" in printed
    result = polyfact("search", "'; DROP TABLE facts; --", "--release", small, check=False)
    assert result.returncode == 1 and "0 items" in result.stdout
    with pytest.raises(ConfigError, match="must not be empty"):
        search(small, "  ", [], 5)


def test_search_knows_ids_and_relations(small: Path) -> None:
    rows = parallel_rows_of(small)
    row = rows[0]
    by_fact, total = search(small, row["fact_id"], [], 1000)
    assert {(hit["fact_id"], hit["language"]) for hit in by_fact} == {(row["fact_id"], "en"), (row["fact_id"], "sw")}
    assert total == 2
    entity = row["object_id"]
    wanted = {r["fact_id"] for r in rows if entity in (r["subject_id"], *r["translations"]["sw"]["option_ids"])}
    assert {hit["fact_id"] for hit in search(small, entity.lower(), ["sw"], 1000)[0]} == wanted
    births = [r["fact_id"] for r in rows if r["property_id"] == "P19"]
    for text in ("P19", "place of birth"):
        assert sorted(hit["fact_id"] for hit in search(small, text, ["en"], 1000)[0]) == sorted(births)


def test_search_takes_letters_with_and_without_accents_for_the_same(small: Path, tmp_path: Path) -> None:
    def accent(rows: Rows) -> None:
        rows[0]["translations"]["en"]["question"] = "Where is São Tomé?"

    folder = edited(small, tmp_path / "accented", accent)
    fact_id = parallel_rows_of(small)[0]["fact_id"]
    for text in ("sao tome", "SÃO TOMÉ", "São Tome"):
        assert [hit["fact_id"] for hit in search(folder, text, ["en"], 5)[0]] == [fact_id]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("build", "config", "languages"), ["en", 'sw".question) FROM facts --']),
        (("configs",), {}),
        (("configs", "parallel"), {"train": []}),
        (("configs", "parallel"), {"train'": ["data/parallel/train-00000-of-00001.parquet"]}),
        (("sizes",), {"parallel": {"train": "many"}}),
        (("files",), ["a"]),
    ],
)
def test_a_manifest_of_another_shape_is_refused(
    place: tuple[str, ...], value: Any, small: Path, tmp_path: Path
) -> None:
    release = copy_of(small, tmp_path / "release")
    manifest = read_json(release / "manifest.json")
    holder = manifest
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = value
    (release / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="manifest.json"):
        search(release, "capital", [], 5)


def test_a_damaged_data_file_is_an_error_of_ours(small: Path, tmp_path: Path) -> None:
    release = copy_of(small, tmp_path / "release")
    for path in (release / "data").rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-4] + b"XXXX")
    for use in (lambda: statistics(release), lambda: search(release, "a", [], 5), lambda: fact(release, "Q1", [])):
        with pytest.raises(DataError, match="cannot be read"):
            use()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["fact_id"]), "has no column fact_id"),
        (lambda table: table.drop_columns(["translations"]), "translations"),
        (lambda table: table.set_column(0, "fact_id", pa.array([1] * len(table))), "contains no fact"),
        (lambda table: table.set_column(table.num_columns - 1, "translations", pa.nulls(len(table))), "translations"),
        (
            lambda table: table.set_column(
                table.num_columns - 1, "translations", pa.array([{"en": {"question": "?"}}] * len(table))
            ),
            "translations.en.option_a",
        ),
    ],
)
def test_a_table_of_other_columns_is_refused(
    change: Callable[[pa.Table], pa.Table], message: str, small: Path, tmp_path: Path
) -> None:
    copy = copy_of(small, tmp_path / "copy")
    fact_id = parallel_rows_of(small)[0]["fact_id"]
    for paths in config_files(copy, "parallel").values():
        for path in paths:
            table = pq.read_table(path)
            assert (table.column_names[0], table.column_names[-1]) == ("fact_id", "translations")
            pq.write_table(change(table), path)
    with pytest.raises(DataError, match=message):
        fact(copy, fact_id, ["en"])
