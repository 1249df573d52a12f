"""The base of configurations: reading, overriding, checking, and the message about unknown settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.validation import setting_names, validated
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.config.base import Section, override, read_file
from polyfact_dataset.config.build import Config, load_config


class Inner(Section):
    rate: float = Field(default=1.0, gt=0)
    folder: str = ""


class Outer(Section):
    inner: Inner = Inner()
    maybe: Inner | None = None
    shares: dict[str, float] = {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"iner": {}}, "a file: iner: unknown setting; did you mean inner?"),
        ({"inner": {"foldr": "x"}}, "a file: inner.foldr: unknown setting; did you mean folder?"),
        ({"maybe": {"rates": 2}}, "a file: maybe.rates: unknown setting; did you mean rate?"),
        ({"inner": {"zzz": 1}}, "a file: inner.zzz: unknown setting; known are folder, rate"),
        ({"inner": {"rate": 0}}, "a file: inner.rate: Input should be greater than 0"),
        ({"inner": {"rate": float("nan")}}, "a file: inner.rate: Input should be a finite number"),
        ({"inner": 3}, "a file: inner: Input should be a valid dictionary or instance of Inner"),
    ],
)
def test_a_wrong_setting_is_named(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(Outer, data, "a file")
    assert str(caught.value) == message


def test_settings_by_section() -> None:
    assert setting_names(Outer) == ["inner", "maybe", "shares"]
    assert setting_names(Outer, ["maybe"]) == ["folder", "rate"]
    assert setting_names(Outer, ["shares"]) == setting_names(Outer, ["shares", 0]) == []


def test_overrides_make_their_sections() -> None:
    data: dict[str, Any] = {"inner": None}
    override(data, ["inner", "rate"], 2)
    override(data, ["shares", "a"], 0.5)
    assert data == {"inner": {"rate": 2}, "shares": {"a": 0.5}}
    with pytest.raises(ConfigError, match="--set: rate must be a section, not a value"):
        override(data, ["inner", "rate", "deeper"], 1, "--set")


@pytest.mark.parametrize("content", [b"a = [", b"\xff", b"", None])
def test_files(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    if content == b"":
        assert read_file(path) == {}
        return
    with pytest.raises(ConfigError, match=r"c\.toml"):
        read_file(path)


def test_another_format_has_its_own_parser(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"inner": {"rate": 3}}')
    assert validated(Outer, read_file(path, json.loads)).inner.rate == 3
    path.write_text("[1]")
    with pytest.raises(ConfigError, match="must be a table of settings and sections"):
        read_file(path, json.loads)


def test_flags_win_over_the_file_and_nothing_unknown_passes(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("facts = 10\n[extract]\nworkers = 2\n")
    config = load_config(path, facts=20, seed=None, extract__workers=3)
    assert (config.facts, config.seed, config.extract.workers) == (20, 42, 3)
    path.write_text("[extract]\nworker = 2\n")
    with pytest.raises(ConfigError, match=r"c\.toml: extract\.worker: unknown setting; did you mean workers\?"):
        load_config(path)
    with pytest.raises(ConfigError, match=r"facts must be a section, not a value"):
        load_config(None, facts=1, facts__more=2)


def test_every_section_is_frozen_and_refuses_unknown_settings() -> None:
    for kind in (Config, AuditConfig, *(field.annotation for field in Config.model_fields.values())):
        if isinstance(kind, type) and issubclass(kind, Section):
            assert kind.model_config["frozen"] and kind.model_config["extra"] == "forbid"
