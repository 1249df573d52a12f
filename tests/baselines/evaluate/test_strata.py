"""Strata of a result, its tokenisation, and golds that differ between languages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from baselines.evaluate import aligned, compare, results, strata
from baselines.evaluate.attributes import append, script_match
from baselines.evaluate.choices import Choices
from baselines.evaluate.summary import summarise_choices
from baselines.evaluate.tables import Uncertainty
from polyfact_dataset.common.errors import ConfigError, DataError
from tests.support.choice_results import save

LANGUAGES = ("en", "de", "ja")


def table(facts: int = 30, shift: int = 0) -> pa.Table:
    """Four options per item; every item is right but those in Japanese of subjects without a Japanese article.

    `shift` turns the gold letter of Japanese by so many places in the first `shift` facts.
    """
    columns: dict[str, list[object]] = {name: [] for name in results.CHOICES.schema.names}
    for fact in range(facts):
        articles = ["en", "ja"] if fact % 3 else ["en"]
        for code in LANGUAGES:
            gold = (fact + (code == "ja" and fact < shift)) % 4
            right = code != "ja" or "ja" in articles
            for option in range(4):
                best = option == (gold if right else (gold + 1) % 4)
                item = (
                    "works" if fact % 2 else "geography",
                    fact,
                    articles,
                    code != "ja",
                    40,
                    20 if code == "ja" else 10,
                )
                row = (
                    f"Q{fact:03}",
                    "P1",
                    code,
                    option,
                    "ABCD"[option],
                    "name",
                    option == gold,
                    -1.0 if best else -3.0,
                )
                append(columns, (*row, 2, 4, 4, *item))
    return results.table_of("mcq", columns)


def write(folder: Path, rows: pa.Table, label: str = "M") -> Path:
    path = folder / f"{label}.json"
    data = {"source": "r", "config": "clean", "split": "test", "revision": None, "content": None, "facts": 30}
    about = results.Data(**data, languages=LANGUAGES, digests=dict.fromkeys(LANGUAGES, "d"))
    save(path, rows, label, about, metrics=summarise_choices(rows, LANGUAGES))
    return path


def test_a_gold_belongs_to_its_language() -> None:
    """Planted: the gold of one language overwrites the others', as one gold per fact did."""
    rows = table(shift=7)
    choices = Choices.of(rows, LANGUAGES)
    assert choices.gold[:7, 2].tolist() != choices.gold[:7, 0].tolist()
    assert choices.disagreeing == [f"Q{fact:03}" for fact in range(7)]
    metrics = summarise_choices(rows, LANGUAGES)["byte"]
    assert metrics["accuracy"] == {"en": 1.0, "de": 1.0, "ja": pytest.approx(2 / 3)}


def test_golds_that_differ_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main(files=[str(write(tmp_path, table(shift=7)))], resamples=100)
    assert "the gold of 7 of 30 facts differs between languages" in capsys.readouterr().err
    compare.main(files=[str(write(tmp_path, table(), "N"))], resamples=100)
    assert "the gold of" not in capsys.readouterr().err


def test_an_item_without_a_gold_is_refused() -> None:
    rows = table(2).to_pylist()
    for row in rows[:4]:
        row["gold"] = False
    with pytest.raises(DataError, match="fact Q000 in en: no option is marked as correct"):
        Choices.of(pa.Table.from_pylist(rows, schema=results.CHOICES.schema), LANGUAGES)


def test_strata_split_the_items(tmp_path: Path) -> None:
    scores = aligned.read(write(tmp_path, table()), None, "byte", None)
    parts = strata.strata_of(scores, "article")
    with_article = parts["article in the question's language"]
    assert with_article.languages == ["en", "ja"] and with_article.accuracy(["ja"]) == 1.0
    thirds = strata.strata_of(scores, "popularity")
    assert [len(part.facts) for part in thirds.values()] == [10, 10, 10]
    domains = strata.strata_of(scores, "domain")
    assert {name: len(part.facts) for name, part in domains.items()} == {"geography": 15, "works": 15}
    assert set(domains["works"].facts) == {f"Q{fact:03}" for fact in range(1, 30, 2)}
    with pytest.raises(ConfigError, match="--by 'size' is unknown; known are script, popularity, article, domain"):
        strata.strata_of(scores, "size")


def test_the_tables_of_strata_and_tokenisation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main(files=[str(write(tmp_path, table()))], resamples=100, by="domain")
    out = capsys.readouterr().out
    assert "## domain: geography" in out and "## domain: works" in out
    assert "| M | popularity of the subject | middle third | 30 |" in out
    assert "| M | tokens / English | 1.00 | 1.00 | 2.00 |" in out and "| M | bytes | 40.0 | 40.0 | 40.0 |" in out
    matrix = next(line for line in out.splitlines() if line.startswith("| M | ja | "))
    assert matrix == "| M | ja | 66.67 | – | 100.00 |"


def test_strata_without_attributes(tmp_path: Path) -> None:
    rows = table()
    for name in ("domain", "popularity"):
        index = rows.schema.get_field_index(name)
        rows = rows.set_column(index, rows.schema.field(index), pa.nulls(len(rows), rows.schema.field(index).type))
    scores = aligned.read(write(tmp_path, rows), None, "byte", None)
    with pytest.raises(ConfigError, match="its items have no domain, by which --by domain splits them"):
        strata.strata_of(scores, "domain")
    text = strata.accuracy("mcq", {"M": scores}, Uncertainty(100))
    assert text is not None and "domain" not in text and "script of the subject" in text


@pytest.mark.parametrize(
    ("label", "code", "match"),
    [
        ("Kyoto", "en", True),
        ("京都", "ja", True),
        ("Linux", "ja", False),
        ("きょうと", "zh", False),
        ("1984", "ar", True),
    ],
)
def test_script_match(label: str, code: str, match: bool) -> None:
    assert script_match(label, code) == match


def test_restricting_keeps_what_is_kept() -> None:
    scores = aligned.of_choices(Choices.of(table(), LANGUAGES), "byte")
    kept = np.zeros((30, 3), bool)
    kept[3, 1] = kept[5] = True
    part = scores.restrict(kept)
    assert part.facts == ["Q003", "Q005"] and np.isnan(part.correct[0]).tolist() == [True, False, True]
    assert part.gold is not None and part.gold[0].tolist() == [-1, 3, -1] and part.parallel.tolist() == [False, True]


def test_a_result_is_valid_json(tmp_path: Path) -> None:
    """No NaN: measures that are not defined are null."""
    path = write(tmp_path, table())
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
