"""Configurations: checked when read, overridden by `--set`."""

from __future__ import annotations

from pathlib import Path

import pytest

from baselines.sft import SftConfig
from baselines.training.config import load_config
from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import ConfigError
from tests.support.training_runs import settings, write_config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_config(tmp_path / "a.yaml", settings(Path("m"), Path("d"), Path("out")))


def test_settings_win_over_the_file(file: Path) -> None:
    config = load_config(SftConfig, file, ["lora.r=16", "consistency=0", "dataset.held_out=[de, fr]", "seed=7"])
    assert config.lora is not None and config.lora.r == 16 and config.lora.alpha == 8
    assert config.consistency == 0 and config.dataset.held_out == ("de", "fr") and config.seed == 7
    assert load_config(SftConfig, file, ["lora=null"]).lora is None
    assert load_config(SftConfig, file, ["lora=null", "lora.r=2"]).lora.r == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "optimisation.learning_rat=1",
            "optimisation.learning_rat: unknown setting; did you mean learning_rate?",
        ),
        ("lora.rank=1", "lora.rank: unknown setting; known are alpha, dropout, r, target_modules"),
        ("consistenzy=1", "consistenzy: unknown setting; did you mean consistency?"),
        ("optimisation.learning_rate=.inf", "optimisation.learning_rate: Input should be a finite number"),
        ("consistency=.inf", "consistency: Input should be a finite number"),
        ("dataset.languages=[en, de, en]", "dataset.languages: en is there more than once"),
        ("seed=4294967296", "seed: Input should be less than 4294967296"),
        ("optimisation.learning_rate=-1", "optimisation.learning_rate: Input should be greater than 0"),
        ("evaluation.steps=6", "evaluation.steps 6 must be a multiple of output.checkpoint_steps 4"),
        ("dataset.held_out=[sw]", "dataset: sw cannot be in languages and in held_out"),
        ("evaluation.prompts=[loud]", "evaluation.prompts.0"),
        ("seed", "must be section.key=value"),
        ("seed.a=1", "seed must be a section, not a value"),
        ("seed=[", "the value is not YAML"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, message: str, file: Path) -> None:
    data = file.read_text(encoding="utf-8") + "seed: 1\n"
    file.write_text(data, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_config(SftConfig, file, [setting])
    assert message in str(error.value)


def test_languages_by_a_word_leave_out_those_held_out(file: Path) -> None:
    def languages(*settings: str) -> tuple[str, ...] | None:
        return load_config(SftConfig, file, list(settings)).dataset.languages

    assert languages("dataset.languages=paper", "dataset.held_out=[]") == PAPER_LANGUAGES
    assert languages("dataset.languages=paper", "dataset.held_out=[es, ko]") == tuple(
        code for code in PAPER_LANGUAGES if code != "es"
    )
    assert languages("dataset.languages=all") is None
    with pytest.raises(ConfigError, match="languages is 'twelve'; it must be paper, all or a list of codes"):
        languages("dataset.languages=twelve")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(SftConfig, tmp_path / "no.yaml")
    for text, message in (("a: [", "a.yaml"), ("just words", "must be a table of settings")):
        (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            load_config(SftConfig, tmp_path / "a.yaml")
