"""Answers sampled from the model that a run starts from: what RFT and CM-Align learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from baselines.data import Fact, Rows
from baselines.evaluate.shards import Shards, cut
from baselines.models import Model, processes
from baselines.prompts import Prompt, item_prompt
from baselines.training.evaluation import run_device
from baselines.training.randomness import same_randomness
from baselines.training.run import Run
from polyfact_dataset.config.base import Section


class SamplingConfig(Section):
    """How answers are sampled. The prompt shows the options (`choose`), or asks without them (`paper`)."""

    samples: int = Field(default=8, ge=1)
    temperature: float = Field(default=0.7, gt=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_new_tokens: int = Field(default=48, ge=1)
    prompt: Literal["choose", "paper"] = "choose"
    batch_tokens: int | None = Field(default=None, ge=1)


def prompts_of(facts: Rows[Fact], settings: SamplingConfig) -> list[tuple[str, str, Prompt]]:
    """(fact, language, prompt), facts outermost."""
    return [
        (fact.fact_id, code, item_prompt(settings.prompt, code, item))
        for fact in facts
        for code, item in fact.items.items()
    ]


def sample_answers(run: Run, facts: Rows[Fact], settings: SamplingConfig) -> pa.Table:
    """Samples in `<folder>/samples.parquet`, made once: `fact_id`, `language`, `number`, `text` (the first line).

    The same whatever the number of processes, and after a kill: each part is drawn by a seed of its own.
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
    from transformers import GenerationConfig

    from baselines.evaluate.generate import Generator

    asked = prompts_of(facts, settings)
    network = run.network.to(processes().device)
    network.eval()
    kept = network.generation_config
    generator = Generator(
        Model(network, run.tokenizer, run_device(network), {}), settings.max_new_tokens, settings.batch_tokens
    )
    greedy = network.generation_config
    network.generation_config = GenerationConfig(
        do_sample=True,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=0,
        max_new_tokens=settings.max_new_tokens,
        eos_token_id=greedy.eos_token_id,
        pad_token_id=greedy.pad_token_id,
    )
    names = [f"fact {fact} in {code}" for fact, code, _ in asked]
    ids = generator.encode([prompt.text for _, _, prompt in asked], names)
    order = sorted(range(len(asked)), key=lambda number: (-len(ids[number]), number))
    parts = [order[part] for part in cut(len(order))]

    def compute(part: int) -> pa.Table:
        seed = hashlib.sha256(f"{run.config.seed}|samples|{part}".encode()).digest()
        torch.manual_seed(int.from_bytes(seed[:7], "big"))
        repeated = [number for number in parts[part] for _ in range(settings.samples)]
        found = list(generator.run(repeated, ids, names))
        return _rows(asked, found, settings.samples)

    work = Shards(run.folder / "samples", identity)
    with same_randomness():
        work.run(len(parts), compute, "sampling", quiet=False)
    network.generation_config = kept
    if not work.main:
        return None
    table, _ = work.collect(len(parts))
    work.remove()
    return table


def _rows(asked: Sequence[tuple[str, str, Prompt]], found: Sequence[tuple[int, str]], samples: int) -> pa.Table:
    """The samples of a part, those of a question together (the generator keeps equal numbers side by side)."""
    return pa.table(
        {
            "fact_id": pa.array([asked[number][0] for number, _ in found], pa.string()),
            "language": pa.array([asked[number][1] for number, _ in found], pa.string()),
            "number": pa.array([place % samples for place in range(len(found))], pa.int32()),
            "text": pa.array([text for _, text in found], pa.string()),
        }
    )
