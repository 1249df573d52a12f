"""What an engine does for the evaluators: score continuations of prompts, and generate answers.

`hf` runs a Transformers model, `vllm` a vLLM one, `openai` asks a server with OpenAI's interface. All three fill the
same result files. Work is cut into units so that a run can be resumed: a job scores or answers some of its units at a
time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from baselines.prompts import Prompt

EngineName = Literal["hf", "vllm", "openai"]


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and its continuations; `name` identifies it in errors. `instruction` is the start of the prompt."""

    name: str
    prompt: str
    continuations: tuple[str, ...]
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """The summed log-probability (natural log) of continuation `number` of request `index`; None tokens: unknown."""

    index: int
    number: int
    logprob: float
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One generated answer: its first line, the summed log-probability and the count of its tokens, where known.

    `thinking_tokens` counts reasoning that was removed; None where the engine does not remove any.
    """

    text: str
    logprob: float | None = None
    tokens: int | None = None
    thinking_tokens: int | None = None


@dataclass(frozen=True)
class Decoding:
    """How answers are generated. `temperature` 0 is greedy. `thinking`: `keep`, or `strip` reasoning from answers."""

    new_tokens: int
    samples: int = 1
    temperature: float = 0.0
    thinking: Literal["keep", "strip"] = "keep"
    thinking_tokens: int = 2048
    seed: int = 42

    @property
    def budget(self) -> int:
        """Tokens that a generation may have, reasoning included."""
        return self.new_tokens + (self.thinking_tokens if self.thinking == "strip" else 0)


class ScoreJob(Protocol):
    """The scoring of requests, in `units` pieces. `settings` and `counts` go into the result.

    `seconds` were spent on preparation, such as tokenising.
    """

    units: int
    settings: dict[str, Any]
    counts: dict[str, int]
    prompt_tokens: Sequence[int | None]
    seconds: float

    def run(self, units: range) -> Iterator[Score]:
        """The scores of all continuations in some of the units."""
        ...

    def alone(self, index: int) -> None:
        """Scores one request by itself, to measure its latency."""
        ...


class AnswerJob(Protocol):
    """The answering of prompts, in `units` pieces."""

    units: int
    settings: dict[str, Any]
    prompt_tokens: Sequence[int | None]

    def run(self, units: range) -> Iterator[tuple[int, int, Answer]]:
        """(prompt, sample, answer) for some of the units."""
        ...

    def alone(self, index: int) -> None:
        """Answers one prompt by itself, to measure its latency."""
        ...


class Engine(Protocol):
    """One model, ready to be evaluated. `identity` identifies it in a result, `device` is a word such as `cuda`."""

    @property
    def name(self) -> EngineName: ...

    @property
    def identity(self) -> dict[str, Any]: ...

    @property
    def device(self) -> str: ...

    @property
    def chat(self) -> bool: ...

    def render(self, prompt: Prompt) -> Prompt:
        """The prompt as the model gets it: unchanged, or in its chat template."""
        ...

    def score_job(self, requests: Sequence[Request], boundary: str, sharing: str) -> ScoreJob: ...

    def answer_job(self, prompts: Sequence[Request], decoding: Decoding) -> AnswerJob: ...
