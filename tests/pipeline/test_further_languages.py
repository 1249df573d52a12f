"""Builds of the bundled sample beyond the twelve languages, without an option: Korean and Hindi as well."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from baselines.data import languages_of, load
from polyfact_dataset.catalog.language import PAPER_LANGUAGES, chosen, known, language, mention_rule
from polyfact_dataset.common.text.mentions import mention
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.config.build import load_config
from polyfact_dataset.pipeline.inputs import SAMPLE_LABELS, sample_labels, written_labels
from polyfact_dataset.release.reader import read_audit
from polyfact_dataset.sample.tables import further_languages
from tests.support.command import polyfact
from tests.support.sharing import made_once

FURTHER = ("ko", "hi")
LANGUAGES = (*PAPER_LANGUAGES, *FURTHER)
CONFIG = f"""
languages = {json.dumps(LANGUAGES)}
relations = ["P38"]
facts = 60
[candidates]
min_pool = 80
[release]
contact = "maintainer@example.org"
"""


@pytest.fixture(scope="session")
def fourteen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release folder of a small build in 14 languages; some facts may break gates made for more of them."""
    config = tmp_path_factory.mktemp("config") / "fourteen.toml"
    config.write_text(CONFIG)

    def make(out: Path) -> object:
        return polyfact("build", "--out", out, "--config", config, "--quiet", check=False)

    return made_once(tmp_path_factory, "fourteen", make) / "release"


def test_builds_in_the_papers_languages_do_not_read_the_tables_of_further_ones() -> None:
    assert sample_labels(PAPER_LANGUAGES) == [SAMPLE_LABELS]
    assert [path.stem for path in sample_labels(LANGUAGES)] == ["written_labels", "ko", "hi"]
    assert set(FURTHER) <= set(further_languages()) <= set(known())
    table = written_labels(load_config(languages=LANGUAGES), "sample")
    assert table is not None
    codes = {label["code"] for row in table.to_pylist() for label in row["labels"]}
    assert codes == set(LANGUAGES)
    assert written_labels(load_config(languages=LANGUAGES), "dump") is None


def test_the_labels_are_written_and_never_attested(fourteen: Path) -> None:
    rows = [
        row for path in (fourteen / "data" / "parallel").rglob("*.parquet") for row in pq.read_table(path).to_pylist()
    ]
    assert len(rows) >= 40
    for row in rows:
        assert row["quality_tier"] != "gold" and row["n_langs_attested"] <= len(PAPER_LANGUAGES)
        assert set(row["translations"]) == set(LANGUAGES)
        for code in FURTHER:
            item = row["translations"][code]
            assert set(item["option_provenance"]) == {"written"} == {item["subject_provenance"]}
            asked, gold = normalise(item["question"]), normalise(item["answer_text"])
            assert item["question"].endswith(language(code).question_end)
            assert mention(asked, gold, mention_rule(code)) is None


def test_everything_that_is_made_from_the_release_knows_them(fourteen: Path) -> None:
    manifest = json.loads((fourteen / "manifest.json").read_text())
    for code in FURTHER:
        assert {code, f"clean_{code}"} <= set(manifest["configs"])
    assert languages_of(fourteen) == LANGUAGES == load(fourteen, "parallel", "train").languages
    card = (fourteen / "README.md").read_text(encoding="utf-8")
    head, body = card.split("\n---\n", 1)
    assert "- ko\n" in head and "- hi\n" in head and "14 languages" in body
    assert all(language(code).name in body for code in FURTHER)
    assert '"clean_ko",' in (fourteen / "loading_script" / "PolyFact.py").read_text(encoding="utf-8")
    croissant = json.loads((fourteen / "croissant.json").read_text(encoding="utf-8"))
    assert {"ko", "hi"} <= set(croissant["inLanguage"])
    explorer = (fourteen / "explorer.html").read_text(encoding="utf-8")
    assert '"Korean"' in explorer and '"Hindi"' in explorer
    report = (fourteen / "audit" / "report.html").read_text(encoding="utf-8")
    assert "lingua does not know" not in report and read_audit(fourteen).gates


def test_tasks_of_lm_eval_are_written_in_the_languages_of_the_release(fourteen: Path, tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    from baselines.evaluate import harness

    harness.main(output=tmp_path, dataset=str(fourteen))
    assert (tmp_path / "polyfact_clean_ko.yaml").is_file() and (tmp_path / "polyfact_hi.yaml").is_file()
    assert language("ko").prompt.instruction in (tmp_path / "polyfact_ko.yaml").read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 1 + 2 * 15


def test_all_languages_are_asked_for_and_those_without_names_are_stated(tmp_path: Path) -> None:
    """`languages = "all"` is every language that has a file; of the scripts of some, the sample has no name."""
    config = tmp_path / "all.toml"
    config.write_text('languages = "all"\nrelations = ["P38", "P37"]\nfacts = 60\n')
    assert load_config(config).languages == chosen("all") == known()
    result = polyfact("validate", "--out", tmp_path / "build", "--config", config, "--quiet", check=False)
    assert result.returncode == 1 and "no entity has a name in fa, he; remove them" in result.stderr
