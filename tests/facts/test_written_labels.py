"""Written labels: the table, and its use in a build."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.facts.labels import Texts, resolve
from polyfact_dataset.facts.written_labels import read_written_labels
from polyfact_dataset.pipeline.stages import table_path
from polyfact_dataset.sample.template import template
from tests.support.command import polyfact


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


def test_a_table_given_on_the_command_line_names_the_sample_in_a_language(tmp_path: Path) -> None:
    """Before the sample's own written labels, after those of the dump; also a table of the template, partly filled."""
    lines = [line for line in template("sw") if line.startswith(("qid", "Q135465\t", "Q183\t"))]
    filled = [line + {"Q135465": "Rashomoni", "Q183": "Udachi"}.get(line.split("\t")[0], "") for line in lines]
    labels, config = table(tmp_path / "sw.tsv", *filled), tmp_path / "two.toml"
    config.write_text('languages = ["en", "sw"]')
    with labels.open("a", encoding="utf-8") as handle:
        handle.write("Q64\tBerlin\t柏林\nQ999999999\t\tHakuna\n")
    options = ("--labels", labels, "--config", config, "--facts", 300, "--out", tmp_path / "build")
    result = polyfact("localise", *options)
    assert "sw.tsv: 3 en labels, 3 usable, 4 sw labels, 3 usable, 1 id not in the dump" in " ".join(
        result.stderr.split()
    )
    rows = pq.read_table(table_path(tmp_path / "build", "labels")).to_pylist()
    names = {row["entity_id"]: row["sw"] for row in rows}
    assert names["Q135465"] == {"text": "Rashomoni", "provenance": "written", "attested": False}
    assert names["Q183"]["text"] == "Ujerumani" and names["Q183"]["attested"]
    again = polyfact("localise", "--labels", tmp_path / "none.tsv", "--out", tmp_path / "other", check=False)
    assert again.returncode == 2 and "none.tsv" in again.stderr
