"""The configuration of a build: its languages, and what its identity depends on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from polyfact_dataset.catalog.language import PAPER_LANGUAGES, known
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.config.build import load_config


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_languages_are_the_papers_all_or_a_list(tmp_path: Path) -> None:
    assert load_config().languages == PAPER_LANGUAGES
    for text, languages in (
        ('languages = "paper"', PAPER_LANGUAGES),
        ('languages = "all"', known()),
        ('languages = ["sw", "en"]', ("sw", "en")),
    ):
        assert load_config(written(tmp_path / "c.toml", text)).languages == languages
    # What a release records are the codes, so that it can be rebuilt where more languages have files.
    assert load_config(languages="paper").identity() == load_config().identity()
    assert load_config().identity()["languages"] == list(PAPER_LANGUAGES)


def test_as_many_workers_as_cores_when_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert load_config().extract.workers == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('languages = "twelve"', "'twelve' must be 'paper', 'all' or a list of codes; known are en, de"),
        ('languages = ["en", "xx"]', r"unknown or repeated languages \['xx'\]"),
        ('languages = ["en", "en"]', "unknown or repeated"),
        ('languages = ["de"]', "English"),
        ("languages = 3", "languages"),
    ],
)
def test_other_languages_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(written(tmp_path / "c.toml", text))


def test_one_table_of_written_labels_needs_no_list(tmp_path: Path) -> None:
    for text in ('"a.tsv"', '["a.tsv"]'):
        config = load_config(written(tmp_path / "c.toml", f"[labels]\nwritten = {text}"))
        assert config.labels.written == (Path("a.tsv"),)
    with pytest.raises(ConfigError, match="labels.written"):
        load_config(written(tmp_path / "c.toml", "[labels]\nwritten = 3"))


def test_labels_are_required_in_all_languages_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    further = tuple(f"x{letter}" for letter in "abcdefg")
    monkeypatch.setattr("polyfact_dataset.config.build.known", lambda: (*PAPER_LANGUAGES, *further))
    many = load_config(languages=[*PAPER_LANGUAGES, *further])
    assert (many.min_languages, many.identity()["candidates"]["min_languages"]) == (19, 19)
    few = load_config(languages=["en", "sw"])
    # As builds of up to twelve languages always recorded it.
    assert (few.min_languages, few.identity()["candidates"]["min_languages"]) == (2, 12)
    assert load_config().identity()["candidates"]["min_languages"] == 12
    asked = load_config(languages=[*PAPER_LANGUAGES, *further], candidates__min_languages=12)
    assert asked.min_languages == 12
    filled = load_config(languages=[*PAPER_LANGUAGES, *further], backfill__enabled=True, backfill__contact="a@b.org")
    assert filled.min_languages == 8
