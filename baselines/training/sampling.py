"""Answers sampled from the model that a run starts from: what RFT and CM-Align learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from baselines.answer_lines import LineEnd, answer_line
from baselines.data import Fact, Rows
from baselines.evaluate.shards import Shards, cut
from baselines.models import processes
from baselines.prompts import Prompt, item_prompt
from baselines.training.padding import pad_left
from baselines.training.randomness import same_randomness
from baselines.training.run import Run
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.config.base import Section


class SamplingConfig(Section):
    """How answers are sampled. The prompt shows the options (`choose`), or asks without them (`paper`)."""

    samples: int = Field(default=8, ge=1)
    temperature: float = Field(default=0.7, gt=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_new_tokens: int = Field(default=48, ge=1)
    prompt: Literal["choose", "paper"] = "choose"
    batch_tokens: int | None = Field(default=None, ge=1)


def prompts_of(
    facts: Rows[Fact], settings: SamplingConfig, wrap: Callable[[Prompt], Prompt] = lambda prompt: prompt
) -> list[tuple[str, str, Prompt]]:
    """(fact, language, prompt), facts outermost. `wrap` puts a prompt into a chat template."""
    return [
        (fact.fact_id, code, wrap(item_prompt(settings.prompt, code, item)))
        for fact in facts
        for code, item in fact.items.items()
    ]


class Sampler:
    """Samples answers from a model, cut to their line. `encode`, then `run`."""

    def __init__(self, network: Any, tokenizer: Any, settings: SamplingConfig) -> None:
        from transformers import GenerationConfig

        from baselines.evaluate.batching import Batcher

        self._network = network
        self._tokenizer = tokenizer
        self._new_tokens = settings.max_new_tokens
        self._device = next(network.parameters()).device
        self._batcher = Batcher(self._device, settings.batch_tokens)
        self._line_end = LineEnd.of(network, tokenizer).to(self._device)
        ends = network.generation_config.eos_token_id
        ends = tokenizer.eos_token_id if ends is None else ends
        self._ends = ends if isinstance(ends, list) else [ends]
        # A fresh configuration: the model's own may set penalties or top-k.
        self._config = GenerationConfig(
            do_sample=True,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=0,
            max_new_tokens=settings.max_new_tokens,
            eos_token_id=self._ends,
            pad_token_id=tokenizer.pad_token_id,
        )

    def encode(self, prompts: Sequence[str], names: Sequence[str]) -> list[list[int]]:
        """Tokens of the prompts. Raises `DataError` for a prompt that leaves no room for the answer."""
        most = self._network.config.get_text_config().max_position_embeddings - self._new_tokens
        ids: list[list[int]] = self._tokenizer(list(prompts), return_attention_mask=False)["input_ids"]
        for name, tokens in zip(names, ids):
            if len(tokens) > most:
                raise DataError(f"{name}: the prompt has {len(tokens)} tokens; the model takes {most} before an answer")
        return ids

    def run(self, numbers: Sequence[int], ids: Sequence[list[int]], names: Sequence[str]) -> Iterator[tuple[int, str]]:
        """(number, answer) for the prompts `numbers`, longest first; equal numbers stay together."""
        return self._batcher.answers(numbers, ids, self._new_tokens, self._batch, names)

    def _batch(self, prompts: Sequence[list[int]]) -> list[str]:
        import torch

        ids, mask = pad_left(prompts, self._tokenizer.pad_token_id, self._device)
        width = ids.shape[1]
        with torch.no_grad():
            sequences = self._network.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=self._config,
                stopping_criteria=self._line_end.criteria(width),
                synced_gpus=False,
            )
        rows = [self._line_end.cut(row, self._ends) for row in sequences[:, width:].tolist()]
        return [answer_line(text) for text in self._tokenizer.batch_decode(rows, skip_special_tokens=True)]


def sample_answers(run: Run, facts: Rows[Fact], settings: SamplingConfig) -> pa.Table:
    """Samples in `<folder>/samples.parquet`, made once: `fact_id`, `language`, `number`, `text` (the answer's line).

    They do not depend on the number of processes or on interruptions: each part has a separate seed.
    """
    identity = {
        "settings": settings.model_dump(),
        "model": {name: value for name, value in run.identity.items() if name != "name"},
        "facts": facts.digests,
        "seed": run.config.seed,
    }
    return run.made_once("samples.parquet", identity, lambda: _sample(run, facts, settings, identity))


def _sample(run: Run, facts: Rows[Fact], settings: SamplingConfig, identity: dict[str, Any]) -> pa.Table | None:
    import torch

    asked = prompts_of(facts, settings, run.prompt)
    sampler = Sampler(run.network.to(processes().device).eval(), run.tokenizer, settings)
    names = [f"fact {fact} in {code}" for fact, code, _ in asked]
    ids = sampler.encode([prompt.text for _, _, prompt in asked], names)
    order = sorted(range(len(asked)), key=lambda number: (-len(ids[number]), number))
    parts = [order[part] for part in cut(len(order))]

    def compute(part: int) -> pa.Table:
        seed = hashlib.sha256(f"{run.config.seed}|samples|{part}".encode()).digest()
        torch.manual_seed(int.from_bytes(seed[:7], "big"))
        repeated = [number for number in parts[part] for _ in range(settings.samples)]
        return _rows(asked, list(sampler.run(repeated, ids, names)), settings.samples)

    work = Shards(run.folder / "samples", identity)
    with same_randomness():
        work.run(len(parts), compute, "sampling", quiet=False)
    if not work.main:
        return None
    table, _ = work.collect(len(parts))
    work.remove()
    return table


def _rows(asked: Sequence[tuple[str, str, Prompt]], generated: Sequence[tuple[int, str]], samples: int) -> pa.Table:
    """The samples of a part, those of a question together."""
    return pa.table(
        {
            "fact_id": pa.array([asked[number][0] for number, _ in generated], pa.string()),
            "language": pa.array([asked[number][1] for number, _ in generated], pa.string()),
            "number": pa.array([position % samples for position in range(len(generated))], pa.int32()),
            "text": pa.array([text for _, text in generated], pa.string()),
        }
    )
