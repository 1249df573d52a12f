"""Prompts as data: a TOML file with the instructions, the parameters and the JSON schema of the answer.

The subject of the prompt is one JSON record in the user's message: names from Wikidata can contain quotation marks,
closing tags, JSON or instructions, and remain the value of a field. The file's digest is the prompt's version.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.text.normalise import clean
from polyfact_dataset.config.models import SystemRole

# Longest value of a record, however long the text in Wikidata is.
MAX_CHARACTERS = 300
# Servers may read these as control tokens even inside a string: <|im_start|>, <start_of_turn>, [INST], fences.
_CONTROL = re.compile(r"[<>|`]|\[(?=/?[A-Z_]+\])")


class Prompt(BaseModel):
    """One kind of prompt. `result` is the JSON schema of the answer, absent where it is plain text.

    A longer value of a record is cut to `max_characters`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    system: str
    parameters: dict[str, float | int]
    result: dict[str, Any] | None = None
    max_characters: int = MAX_CHARACTERS
    system_role: SystemRole = "system"

    def with_settings(self, parameters: Mapping[str, float | int] | None, system_role: SystemRole) -> Prompt:
        """The prompt with other parameters (None: its defaults) and another role of the instructions."""
        changes = {"parameters": dict(self.parameters if parameters is None else parameters)}
        return self.model_copy(update={**changes, "system_role": system_role})

    def body(self, model: str, record: Mapping[str, str], *, seed: int | None, guided: bool = True) -> dict[str, Any]:
        """The body of a chat completion about `record`. `guided` asks the server to enforce the schema."""
        body: dict[str, Any] = {"model": model, "messages": self._messages(record), **self.parameters}
        if seed is not None:
            body["seed"] = seed
        if self.result is not None and guided:
            schema = {"name": self.name, "strict": True, "schema": self.result}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def response_body(self, model: str, record: Mapping[str, str], *, tools: Sequence[str] = ()) -> dict[str, Any]:
        """The body of a call to the Responses API about `record`, with the provider's `tools`."""
        names = {"max_tokens": "max_output_tokens"}
        parameters = {names.get(name, name): value for name, value in self.parameters.items()}
        body: dict[str, Any] = {"model": model, "input": self._messages(record), **parameters}
        if self.result is not None:
            schema = {"type": "json_schema", "name": self.name, "strict": True, "schema": self.result}
            body["text"] = {"format": schema}
        return {**body, "tools": [{"type": tool} for tool in tools]} if tools else body

    def _messages(self, record: Mapping[str, str]) -> list[dict[str, str]]:
        text = encode(record, self.max_characters)
        if self.system_role == "none":
            return [{"role": "user", "content": f"{self.system}\n\n{text}"}]
        return [{"role": self.system_role, "content": self.system}, {"role": "user", "content": text}]


def load(path: Path) -> Prompt:
    """The prompt of a file. Raises `ConfigError` naming the file and the error."""
    try:
        data = path.read_bytes()
        version = hashlib.sha256(data).hexdigest()[:12]
        return Prompt(name=path.stem, version=version, **tomllib.loads(data.decode("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError, TypeError) as error:
        raise ConfigError(f"prompt {path.name}: {error}") from error


@lru_cache(maxsize=1 << 16)
def bounded(text: str, longest: int = MAX_CHARACTERS) -> str:
    """The text without hidden characters, cut to `longest` characters."""
    cleaned = clean(text) or ""
    return cleaned if len(cleaned) <= longest else cleaned[: longest - 1] + "…"


def encode(record: Mapping[str, str], longest: int = MAX_CHARACTERS) -> str:
    """The record as one line of JSON; characters that begin or end control tokens are escaped."""
    text = json.dumps({key: bounded(value, longest) for key, value in record.items()}, ensure_ascii=False)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
