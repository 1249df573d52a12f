"""The engine `hf`: a Transformers model, with shared beginnings of prompts computed once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from baselines.evaluate.chat import ChatTemplate
from baselines.evaluate.engines import Answer, Decoding, EngineName, Request, Score
from baselines.evaluate.generate import Generator
from baselines.evaluate.scoring import Boundary, Path, Scorer, Sharing, check_choices, encode
from baselines.models import Model
from baselines.prompts import Prompt


class HfEngine:
    """A loaded model. With `chat` every prompt is rendered in its chat template."""

    name: EngineName = "hf"

    def __init__(self, model: Model, batch_tokens: int | None = None, chat: bool = False) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self.chat = chat
        self._template = ChatTemplate(model.tokenizer) if chat else None

    @property
    def identity(self) -> dict[str, Any]:
        """Name, revision and digests of the model."""
        return self.model.identity

    @property
    def device(self) -> str:
        """Where it runs."""
        return str(self.model.device.type)

    @property
    def start(self) -> list[int] | None:
        """Tokens before a prompt: none in a chat template, which holds them itself; None for those of the tokenizer."""
        return [] if self._template else None

    def render(self, prompt: Prompt) -> Prompt:
        """The prompt as the model gets it."""
        return self._template.render(prompt) if self._template else prompt

    def score_job(self, requests: Sequence[Request], boundary: str = "lm_eval", sharing: str = "auto") -> HfScoreJob:
        """Tokenises and packs the requests."""
        check_choices(boundary=(boundary, Boundary), sharing=(sharing, Sharing))
        return HfScoreJob(self, requests, boundary, sharing)

    def answer_job(self, prompts: Sequence[Request], decoding: Decoding) -> HfAnswerJob:
        """Tokenises the prompts."""
        return HfAnswerJob(self, prompts, decoding)


class HfScoreJob:
    """Its units are rows of packed sequences, longest first."""

    def __init__(self, engine: HfEngine, requests: Sequence[Request], boundary: str, sharing: str) -> None:
        begin = time.perf_counter()
        model = engine.model
        self._names = [request.name for request in requests]
        encoding = encode(model.tokenizer, requests, model.max_tokens, boundary, engine.start)  # type: ignore[arg-type]
        self._scorer = Scorer(model, sharing, engine.batch_tokens)  # type: ignore[arg-type]
        self._rows = self._scorer.rows(encoding.paths)
        self._paths: list[list[Path]] = [list(group) for _, group in groupby(encoding.paths, lambda path: path.index)]
        self.units = len(self._rows)
        self.settings: dict[str, Any] = {"sharing": self._scorer.sharing, "batch_tokens": self._scorer.batcher.budget}
        self.counts = {"merged": encoding.merged, "truncated": encoding.truncated}
        self.prompt_tokens: Sequence[int | None] = [min(path.start for path in paths) for paths in self._paths]
        self.seconds = time.perf_counter() - begin

    def run(self, units: range) -> Iterator[Score]:
        """The scores of the rows `units`."""
        for scored in self._scorer.score([self._rows[unit] for unit in units], self._names):
            path = scored.path
            yield Score(path.index, path.number, scored.logprob, path.scored)

    def alone(self, index: int) -> None:
        """Scores one request."""
        list(self._scorer.score(self._scorer.rows(self._paths[index]), self._names))


class HfAnswerJob:
    """Its units are prompts, longest first; the samples of a prompt are generated together."""

    def __init__(self, engine: HfEngine, prompts: Sequence[Request], decoding: Decoding) -> None:
        self._decoding = decoding
        self._generator = Generator(engine.model, decoding.new_tokens, engine.batch_tokens, decoding)
        self._names = [prompt.name for prompt in prompts]
        self._ids = self._generator.encode([prompt.prompt for prompt in prompts], self._names, engine.start)
        self._order = sorted(range(len(prompts)), key=lambda number: (-len(self._ids[number]), number))
        self.units = len(prompts)
        self.settings: dict[str, Any] = {"batch_tokens": self._generator.batcher.budget}
        self.prompt_tokens: Sequence[int | None] = [len(ids) for ids in self._ids]
        self.seconds = 0.0

    def run(self, units: range) -> Iterator[tuple[int, int, Answer]]:
        """The answers to the prompts of `units`. Sampling is seeded by the units, so that a resumed run is the same."""
        import torch

        if self._decoding.temperature:
            seed = hashlib.sha256(f"{self._decoding.seed}|answers|{units.start}".encode()).digest()
            torch.manual_seed(int.from_bytes(seed[:7], "big"))
        repeated = [self._order[unit] for unit in units for _ in range(self._decoding.samples)]
        seen: dict[int, int] = {}
        for number, answer in self._generator.answers(repeated, self._ids, self._names):
            yield number, seen.get(number, 0), answer
            seen[number] = seen.get(number, 0) + 1

    def alone(self, index: int) -> None:
        """Answers one prompt."""
        list(self._generator.answers([self._order[index]], self._ids, self._names))
