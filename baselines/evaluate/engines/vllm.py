"""The engine `vllm`: scores by the log-probabilities of prompt tokens, answers by vLLM's own batching."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from baselines.answer_lines import answer_line
from baselines.evaluate.chat import ChatTemplate, split_thinking
from baselines.evaluate.engines import Answer, Decoding, EngineName, Request, Score
from baselines.models import identify, loading
from baselines.prompts import Prompt
from polyfact_dataset.common.errors import ConfigError, DataError

# Source: paper, appendix A.
GPU_MEMORY = 0.85


class VllmEngine:
    """A vLLM model in this process. With `chat` every prompt is rendered in its chat template."""

    name: EngineName = "vllm"

    def __init__(self, model: Any, tokenizer: Any, identity: dict[str, Any], max_tokens: int, chat: bool) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.identity = identity
        self.max_tokens = max_tokens
        self.chat = chat
        self._template = ChatTemplate(tokenizer) if chat else None

    @staticmethod
    def load(name: str, revision: str | None, dtype: str, chat: bool, arguments: str | None) -> VllmEngine:
        """Loads a model; `arguments` are more of vLLM's, as `key=value,...`."""
        from baselines.cli import need

        need("vllm", "vllm")
        from transformers import AutoConfig, AutoTokenizer
        from vllm import LLM

        with loading(name):
            config = AutoConfig.from_pretrained(name, revision=revision)
            tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
        identity = identify(name, revision, config, tokenizer, dtype)
        settings = {"gpu_memory_utilization": GPU_MEMORY, **parse_arguments(arguments)}
        model = LLM(model=name, revision=revision, dtype=dtype, **settings)
        return VllmEngine(model, tokenizer, identity, int(model.llm_engine.model_config.max_model_len), chat)

    @property
    def device(self) -> str:
        """Where it runs."""
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def start(self) -> list[int] | None:
        """Tokens before a prompt: none in a chat template, which holds them itself."""
        return [] if self._template else None

    def render(self, prompt: Prompt) -> Prompt:
        """The prompt as the model gets it."""
        return self._template.render(prompt) if self._template else prompt

    def score_job(self, requests: Sequence[Request], boundary: str, sharing: str) -> VllmScoreJob:
        """Tokenises the requests. vLLM shares nothing between them: `sharing` must be auto or separate."""
        if sharing == "packed":
            raise ConfigError("--sharing packed is for --engine hf")
        return VllmScoreJob(self, requests, boundary)

    def answer_job(self, prompts: Sequence[Request], decoding: Decoding) -> VllmAnswerJob:
        """Tokenises the prompts."""
        return VllmAnswerJob(self, prompts, decoding)


def parse_arguments(text: str | None) -> dict[str, Any]:
    """`a=1,b=true,c=x` as a map with numbers and booleans. Raises `ConfigError` for another form."""
    import json

    arguments: dict[str, Any] = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"--engine-args: {part!r} is not key=value")
        try:
            arguments[name.strip()] = json.loads(value)
        except ValueError:
            arguments[name.strip()] = value
    return arguments


class VllmScoreJob:
    """Its units are requests; all continuations of a unit's requests are in one batch."""

    def __init__(self, engine: VllmEngine, requests: Sequence[Request], boundary: str) -> None:
        from baselines.evaluate.scoring import Boundary, check_choices, encode

        begin = time.perf_counter()
        check_choices(boundary=(boundary, Boundary))
        # One token is generated after each sequence, and none is scored that the model does not see.
        encoding = encode(engine.tokenizer, requests, engine.max_tokens - 2, boundary, engine.start)  # type: ignore[arg-type]
        self._engine = engine
        self._names = [request.name for request in requests]
        self._paths = [list(group) for _, group in groupby(encoding.paths, lambda path: path.index)]
        self.units = len(requests)
        self.settings: dict[str, Any] = {"sharing": "separate"}
        self.counts = {"merged": encoding.merged, "truncated": encoding.truncated}
        self.prompt_tokens: Sequence[int | None] = [min(path.start for path in paths) for paths in self._paths]
        self.seconds = time.perf_counter() - begin

    def run(self, units: range) -> Iterator[Score]:
        """The scores of the requests `units`."""
        from vllm import SamplingParams

        paths = [path for unit in units for path in self._paths[unit]]
        sampling = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0, detokenize=False)
        prompts = [{"prompt_token_ids": path.tokens.tolist()} for path in paths]
        for path, output in zip(paths, self._engine.model.generate(prompts, sampling, use_tqdm=False), strict=True):
            logprobs = output.prompt_logprobs
            scored = range(path.start, len(path.tokens))
            total = sum(float(logprobs[position][int(path.tokens[position])].logprob) for position in scored)
            if total != total or total in (float("inf"), float("-inf")):
                raise DataError(f"{self._names[path.index]}: the model's log-probabilities are not finite ({total})")
            yield Score(path.index, path.number, total, path.scored)

    def alone(self, index: int) -> None:
        """Scores one request."""
        list(self.run(range(index, index + 1)))


class VllmAnswerJob:
    """Its units are prompts."""

    def __init__(self, engine: VllmEngine, prompts: Sequence[Request], decoding: Decoding) -> None:
        from baselines.evaluate.scoring import encode_texts

        self._engine = engine
        self._decoding = decoding
        self._ids = list(encode_texts(engine.tokenizer, [prompt.prompt for prompt in prompts], engine.start))
        for prompt, ids in zip(prompts, self._ids):
            room = engine.max_tokens - decoding.budget
            if not 0 < len(ids) <= room:
                raise DataError(f"{prompt.name}: the prompt has {len(ids)} tokens; the model takes 1 to {room}")
        self.units = len(prompts)
        self.settings: dict[str, Any] = {}
        self.prompt_tokens: Sequence[int | None] = [len(ids) for ids in self._ids]

    def run(self, units: range) -> Iterator[tuple[int, int, Answer]]:
        """The answers to the prompts `units`, sampling seeded by them."""
        from vllm import SamplingParams

        how = self._decoding
        seed = int.from_bytes(hashlib.sha256(f"{how.seed}|answers|{units.start}".encode()).digest()[:4], "big")
        sampling = SamplingParams(
            n=how.samples,
            temperature=how.temperature,
            max_tokens=how.budget,
            stop=None if how.thinking == "strip" else ["\n"],
            include_stop_str_in_output=how.thinking != "strip",
            skip_special_tokens=how.thinking != "strip",
            logprobs=0,
            seed=seed,
        )
        prompts = [{"prompt_token_ids": self._ids[unit]} for unit in units]
        for unit, output in zip(units, self._engine.model.generate(prompts, sampling, use_tqdm=False), strict=True):
            for sample, generated in enumerate(output.outputs):
                yield unit, sample, self._answer(generated)

    def _answer(self, generated: Any) -> Answer:
        tokens = list(generated.token_ids)
        logprobs = [float(step[token].logprob) for step, token in zip(generated.logprobs, tokens)]
        if self._decoding.thinking != "strip":
            return Answer(answer_line(generated.text.partition("\n")[0]), sum(logprobs), len(tokens))
        thinking, _ = split_thinking(generated.text)
        tokenizer = self._engine.tokenizer
        used = len(tokenizer(thinking, add_special_tokens=False)["input_ids"]) if thinking else 0
        used = min(used, len(tokens))
        text = answer_line(tokenizer.decode(tokens[used:], skip_special_tokens=True))
        return Answer(text, sum(logprobs[used:]), len(tokens) - used, used)

    def alone(self, index: int) -> None:
        """Answers one prompt."""
        list(self.run(range(index, index + 1)))
