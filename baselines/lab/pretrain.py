"""Pretraining of the laboratory's tiny model: a plain loop over documents, all of whose tokens count."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from baselines import tiny
from baselines.lab.facts_taught import World
from baselines.prompts import LETTERS
from polyfact_dataset.common.files import read_json, write_json

_BATCH = 32
# Batches among which documents are sorted by length.
_POOL = 16
REPORT = "pretraining.json"


@dataclass(frozen=True)
class Size:
    """A tiny model, and how long it reads. `epochs` decides how well it remembers what it has read."""

    hidden: int = 64
    layers: int = 2
    vocabulary: int = 3000
    epochs: int = 18
    learning_rate: float = 4e-3


def pretrain(world: World, family: tiny.Family, size: Size, output: Path) -> dict[str, Any]:
    """Makes and trains the model, unless it exists; returns its report, which is stored with it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup

    from baselines.models import processes

    if (output / REPORT).is_file():
        earlier: dict[str, Any] = read_json(output / REPORT)
        return earlier
    facts = (*world.taught, *world.fresh)
    # Few facts may have no word that begins with one of the letters, which SFT needs as tokens.
    lines = chain(tiny.texts(facts), (f" {letter}" for _ in facts for letter in LETTERS))
    tiny.make(family, output, lines, size.vocabulary, size.hidden, size.layers, seed=world.seed, spread=0.05)
    tokenizer = AutoTokenizer.from_pretrained(output)
    device = processes().device
    model = AutoModelForCausalLM.from_pretrained(output).to(device)
    ids = [tokenizer(prompt + answer)["input_ids"] + [tokenizer.eos_token_id] for prompt, answer in world.documents()]
    batches = batches_of([len(one) for one in ids], size.epochs, world.seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=size.learning_rate, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimiser, len(batches) // 10, len(batches))
    start, losses, tokens = time.perf_counter(), [], 0
    for batch in batches:
        width = max(len(ids[number]) for number in batch)
        rows = torch.full((len(batch), width), tokenizer.pad_token_id)
        mask = torch.zeros_like(rows)
        for row, number in enumerate(batch):
            rows[row, : len(ids[number])] = torch.tensor(ids[number])
            mask[row, : len(ids[number])] = 1
        tokens += int(mask.sum())
        rows, mask = rows.to(device), mask.to(device)
        loss = model(input_ids=rows, attention_mask=mask, labels=rows.masked_fill(mask == 0, -100)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    model.save_pretrained(output)
    quarter = max(1, len(losses) // 4)
    report = {
        **asdict(size),
        "documents": len(ids),
        "tokens": tokens,
        "steps": len(losses),
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss_first": float(np.mean(losses[:quarter])),
        "loss_last": float(np.mean(losses[-quarter:])),
        "seconds": time.perf_counter() - start,
    }
    write_json(output / REPORT, report)
    return report


def batches_of(lengths: Sequence[int], epochs: int, seed: int) -> list[list[int]]:
    """Batches of documents of like length in random order; every document once in each epoch."""
    rng = np.random.default_rng([seed, len(lengths)])
    shuffled: list[list[int]] = []
    for _ in range(epochs):
        order = rng.permutation(len(lengths))
        pools = np.split(order, range(_BATCH * _POOL, len(order), _BATCH * _POOL))
        ranked = np.concatenate([pool[np.argsort(np.asarray(lengths)[pool], kind="stable")] for pool in pools])
        batches = [ranked[start : start + _BATCH].tolist() for start in range(0, len(ranked), _BATCH)]
        shuffled += [batches[number] for number in rng.permutation(len(batches))]
    return shuffled
