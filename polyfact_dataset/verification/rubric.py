"""The rubric, and the prompts that contain it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import digest_json
from polyfact_dataset.config.models import VerificationConfig
from polyfact_dataset.llm.prompts import Prompt, load
from polyfact_dataset.schema import LABELS

PATH = Path(__file__).parent / "rubric.toml"
PROMPTS = Path(__file__).parent / "prompts"
PROBLEMS = ("subject", "relation", "language", "negation", "extra")


class Rubric(BaseModel):
    """The meaning of each label, and which one to choose when in doubt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    labels: dict[str, str]
    between: tuple[str, ...]

    @field_validator("labels")
    @classmethod
    def _all(cls, labels: dict[str, str]) -> dict[str, str]:
        if tuple(labels) != LABELS:
            raise ValueError(f"labels must be {', '.join(LABELS)}, in this order")
        return labels

    def text(self) -> str:
        """The rubric as a prompt states it."""
        lines = [f"- {label}: {meaning}" for label, meaning in self.labels.items()]
        return "\n".join([self.task.strip(), "", *lines, *self.between])


@cache
def rubric() -> Rubric:
    """The rubric of the package. Raises `ConfigError` naming the file."""
    try:
        return Rubric.model_validate(tomllib.loads(PATH.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigError(f"{PATH.name}: {error}") from error


def _configured(prompt: Prompt, config: VerificationConfig, **changes: Any) -> Prompt:
    """The prompt with its rubric or schema and the configured parameters; its version is the digest of all of it."""
    changed = prompt.model_copy(update=changes).with_settings(config.parameters, config.system_role)
    # At its default the role is left out, so that judgements made before it was a setting stay valid.
    unchanged = {"system_role"} if config.system_role == "system" else set()
    return changed.model_copy(update={"version": digest_json(changed.model_dump(exclude={"version", *unchanged}))[:12]})


def judge_prompt(config: VerificationConfig) -> Prompt:
    """The prompt for one item."""
    prompt = load(PROMPTS / "judge.toml")
    if "{rubric}" not in prompt.system:
        raise ConfigError("prompt judge.toml: the instructions must contain {rubric}")
    return _configured(prompt, config, system=prompt.system.replace("{rubric}", rubric().text()))


def parallel_prompt(config: VerificationConfig, languages: Sequence[str]) -> Prompt:
    """The prompt for one fact in all `languages`."""
    entry = {
        "type": "object",
        "required": ["note", "problems"],
        "additionalProperties": False,
        "properties": {
            "note": {"type": "string"},
            "problems": {"type": "array", "items": {"type": "string", "enum": list(PROBLEMS)}},
        },
    }
    schema = {
        "type": "object",
        "required": list(languages),
        "additionalProperties": False,
        "properties": dict.fromkeys(languages, entry),
    }
    return _configured(load(PROMPTS / "parallel.toml"), config, result=schema)
