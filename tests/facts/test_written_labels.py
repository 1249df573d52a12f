"""Written labels: the table, and what a build makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.facts.labels import Texts, resolve
from polyfact_dataset.facts.written_labels import read_written_labels


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_first_table_wins_and_rows_are_sorted(tmp_path: Path) -> None:
    own = table(tmp_path / "own.tsv", "qid\tsw\tko", "Q64\t\t베를린", "# a comment", "Q183\tUjerumani\t독일")
    bundled = table(tmp_path / "bundled.tsv", "qid\tsw", "Q64\tBerlin", "Q183\tDeutschland")
    rows = read_written_labels([own, bundled])
    assert rows is not None
    assert rows.to_pylist() == [
        {"entity_id": "Q183", "labels": [{"code": "ko", "text": "독일"}, {"code": "sw", "text": "Ujerumani"}]},
        {"entity_id": "Q64", "labels": [{"code": "ko", "text": "베를린"}, {"code": "sw", "text": "Berlin"}]},
    ]
    assert read_written_labels([]) is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["id\tsw", "Q1\tx"], "the header must be qid"),
        (["qid", "Q1"], "the header must be qid"),
        (["qid\tsw", "64\tBerlin"], ":2: must have an item id"),
        (["qid\tsw", "Q64\tBerlin\tBerlin"], ":2: must have an item id and at most 1 labels"),
        (["qid\tsw", "Q64\tBer\u202elin"], "contains hidden or no readable characters"),
        (["qid\tsw", "Q64\tBerlin", "Q64\tBerlini"], "Q64 has two labels in sw"),
    ],
)
def test_a_malformed_table_is_refused_by_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_written_labels([table(tmp_path / "labels.tsv", *lines)])


def test_a_missing_table_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing.tsv"):
        read_written_labels([tmp_path / "nothing.tsv"])


def test_a_written_label_is_the_last_resort_and_not_attested() -> None:
    swahili, written = language("sw"), Texts({"sw": "Ujerumani"})
    assert resolve(swahili, Texts(), written=written) == {
        "text": "Ujerumani",
        "provenance": "written",
        "attested": False,
    }
    known = resolve(swahili, Texts({"sw": "Udachi"}), written=written)
    assert known is not None and (known["text"], known["provenance"], known["attested"]) == ("Udachi", "label", True)
    # A label of Wikidata in the wrong script is no label.
    unusable = resolve(swahili, Texts({"sw": "德国"}), written=written)
    assert unusable is not None and unusable["provenance"] == "written"


def test_a_written_label_is_never_attested() -> None:
    found = resolve(language("sw"), Texts(aliases={"sw": ["Ujerumani"]}), written=Texts({"sw": "Ujerumani"}))
    assert found == {"text": "Ujerumani", "provenance": "written", "attested": False}
