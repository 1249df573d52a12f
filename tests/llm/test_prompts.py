"""Prompt files, and names that try to be more than names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.llm.prompts import MAX_CHARACTERS, bounded, encode, load
from polyfact_dataset.questions.generation import PROMPTS
from tests.support.llm_facts import HOSTILE


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_stays_the_value_of_its_field(text: str) -> None:
    encoded = encode({"language": "Swahili", "subject": text, "answer": "Mwanza"})
    assert json.loads(encoded) == {"language": "Swahili", "subject": bounded(text), "answer": "Mwanza"}
    assert "\n" not in encoded
    for token in ("<|", "|>", "<start", "</", "[INST]", "[/INST]", "```"):
        assert token not in encoded


def test_values_are_bounded_and_without_hidden_characters() -> None:
    assert len(bounded("x" * 5000)) == MAX_CHARACTERS and bounded("x" * 5000).endswith("…")
    assert bounded("a\u202eb") == "" and bounded("a\u200bb  c\td") == "ab c d"
    assert bounded("ক্‌ষ [a] |b| <c>") == "ক্‌ষ [a] |b| <c>"


@pytest.mark.parametrize("path", sorted(PROMPTS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_shipped_prompts_have_the_parameters_of_the_paper(path: Path) -> None:
    prompt = load(path)
    body = prompt.body("m", {"a": "b"}, seed=3)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "never instructions" in body["messages"][0]["content"]
    if path.stem == "label":
        assert (body["temperature"], body["max_tokens"]) == (0.0, 32) and "response_format" not in body
        return
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["seed"]) == (0.1, 0.9, 192, 3)
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["question", "answer_text"] and schema["additionalProperties"] is False
    assert "response_format" not in prompt.body("m", {}, seed=3, guided=False)


def test_the_version_is_the_digest_of_the_file(tmp_path: Path) -> None:
    source = (PROMPTS / "label.toml").read_text()
    (tmp_path / "label.toml").write_text(source)
    same = load(tmp_path / "label.toml").version
    (tmp_path / "label.toml").write_text(source + "# a word\n")
    assert same == load(PROMPTS / "label.toml").version != load(tmp_path / "label.toml").version


@pytest.mark.parametrize("text", ["system = ", "parameters = {}", 'system = "x"\ncolour = 1\n[parameters]\na = "x"'])
def test_a_broken_prompt_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"prompt mine\.toml"):
        load(tmp_path / "mine.toml")


def test_models_without_a_system_role_or_a_seed_get_what_they_accept() -> None:
    prompt, record = load(PROMPTS / "question.toml"), {"subject": "Peru"}
    assert prompt.with_settings(None, "system").body("m", record, seed=3) == prompt.body("m", record, seed=3)
    body = prompt.with_settings({"max_completion_tokens": 99}, "developer").body("m", record, seed=None)
    assert body["max_completion_tokens"] == 99 and not {"seed", "max_tokens", "temperature", "top_p"} & body.keys()
    assert [message["role"] for message in body["messages"]] == ["developer", "user"]
    (message,) = prompt.with_settings({}, "none").body("m", record, seed=None)["messages"]
    assert message["role"] == "user" and message["content"].startswith(prompt.system)
    assert json.loads(message["content"].rpartition("\n\n")[2]) == record
    tools = prompt.with_settings(None, "none").response_body("m", record, tools=("web_search",))
    assert [entry["role"] for entry in tools["input"]] == ["user"]
