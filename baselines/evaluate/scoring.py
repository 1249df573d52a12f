"""Conditional log-likelihoods of several continuations of one prompt, with the prompt computed once.

A row of a batch holds a prompt and all its continuations. Each continuation attends to the prompt and to itself
alone and starts at the position after the prompt (a block mask), so its log-probability is that of the plain
sequence, while the prompt costs one pass instead of four. Rows are sorted by length and batched by a budget of
tokens, which is halved when memory runs out. Models that do not honour such a mask (recurrent layers, sliding
windows) are recognised by a comparison with plain sequences and scored those, one row per continuation.

Splitting prompt from continuation follows lm-evaluation-harness 0.4.13 (`boundary="lm_eval"`): the continuation is
what stands behind the first `len(tokens(prompt))` tokens of both together. Where a continuation merges with the
prompt's last token this loses its start; `boundary="exact"` scores from the first token that differs instead.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from baselines.evaluate.batching import Batcher, out_of_memory
from baselines.models import Model
from polyfact_dataset.errors import ConfigError, DataError

Boundary = Literal["lm_eval", "exact"]
Sharing = Literal["auto", "packed", "separate"]
# Tokens of continuations in one row: with many accepted names a prompt takes several rows.
ROW_TOKENS = 384
_TEXTS = 20_000
_LOGITS = 1 << 26


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and its continuations; `name` says in an error what it was."""

    name: str
    prompt: str
    continuations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """Tokens of a prompt and of its continuations `first`, `first + 1`, ... of request `index`."""

    index: int
    first: int
    prompt: list[int]
    continuations: list[list[int]]

    @property
    def length(self) -> int:
        """Tokens that the network sees: the last token of a continuation is only predicted."""
        return len(self.prompt) + sum(len(tokens) - 1 for tokens in self.continuations)

    @property
    def tail(self) -> int:
        """Tokens behind the prompt."""
        return self.length - len(self.prompt)


@dataclass(slots=True)
class Encoding:
    """The rows of all requests, and how many continuations merged with their prompt or had it cut to fit."""

    rows: list[Row]
    merged: int = 0
    truncated: int = 0


def _ids(tokenizer: Any, texts: Sequence[str]) -> Iterator[list[int]]:
    for start in range(0, len(texts), _TEXTS):
        yield from tokenizer(list(texts[start : start + _TEXTS]), return_attention_mask=False)["input_ids"]


def _split(
    request: Request, prompt: list[int], wholes: list[list[int]], boundary: Boundary
) -> tuple[list[int], list[list[int]]]:
    if boundary == "exact":
        shared = min(next((i for i, (a, b) in enumerate(zip(prompt, w)) if a != b), len(prompt)) for w in wholes)
        prompt = prompt[: max(shared, 1)]
    continuations = [whole[len(prompt) :] for whole in wholes]
    for text, tokens in zip(request.continuations, continuations):
        if not tokens:
            raise DataError(f"{request.name}: {text!r} merges wholly with its prompt; use --boundary exact")
    return prompt, continuations


def _row_groups(continuations: list[list[int]]) -> Iterator[slice]:
    """Slices of continuations whose tokens fit into one row together."""
    start = tokens = 0
    for position, continuation in enumerate(continuations):
        tokens += len(continuation)
        if tokens > ROW_TOKENS and position > start:
            yield slice(start, position)
            start, tokens = position, len(continuation)
    yield slice(start, len(continuations))


def encode(tokenizer: Any, requests: Sequence[Request], max_tokens: int, boundary: Boundary = "lm_eval") -> Encoding:
    """Tokenises all requests. A prompt too long for the model loses its start, as in lm-evaluation-harness.

    Raises `DataError` for an empty prompt, an empty continuation, or one longer than the model takes.
    """
    bare = [request.prompt.rstrip(" ") for request in requests]
    if "" in bare:
        raise DataError(f"{requests[bare.index('')].name}: the prompt is empty")
    prompts = _ids(tokenizer, bare)
    wholes = _ids(tokenizer, [r.prompt + text for r in requests for text in r.continuations])
    encoding = Encoding([])
    for index, request in enumerate(requests):
        alone = next(prompts)
        together = [next(wholes) for _ in request.continuations]
        encoding.merged += sum(whole[: len(alone)] != alone for whole in together)
        prompt, continuations = _split(request, alone, together, boundary)
        for part in _row_groups(continuations):
            own = continuations[part]
            room = max_tokens + 1 - max(map(len, own))
            if room < 1:
                raise DataError(f"{request.name}: an answer has more tokens than the model takes ({max_tokens})")
            encoding.truncated += len(own) if len(prompt) > room else 0
            encoding.rows.append(Row(index, part.start, prompt[-room:], own))
    return encoding


@dataclass(frozen=True, slots=True)
class Scored:
    """Summed log-probabilities (natural log) of the continuations of one row."""

    row: Row
    logprobs: list[float]


class Scorer:
    """Scores rows in batches of at most `batch_tokens` tokens, padding counted; None picks a size for the device."""

    def __init__(self, model: Model, sharing: Sharing = "auto", batch_tokens: int | None = None) -> None:
        self.model = model
        self.sharing = sharing
        self.batcher = Batcher(model.device, batch_tokens)
        self._keeps = "logits_to_keep" in inspect.signature(model.network.forward).parameters
        self._pad = model.tokenizer.pad_token_id or 0

    def check(self, rows: Sequence[Row]) -> None:
        """Settles `auto`: packed rows where they give what plain sequences give on some of `rows`, shortest to longest.

        The reason for the slower way is told on stderr.
        """
        if self.sharing != "auto" or not rows:
            return
        ordered = sorted(rows, key=lambda row: row.length)
        sample = [ordered[i] for i in sorted({0, len(ordered) // 2, len(ordered) - 1})]
        exact = next(self.model.network.parameters()).dtype == torch.float32
        reason = None
        try:
            for row in sample:
                packed, plain = self._packed([row])[0], self._separate([row])[0]
                lengths = np.array([len(tokens) for tokens in row.continuations])
                allowed = 1e-3 * np.maximum(1, np.abs(plain)) if exact else 0.1 + 0.1 * lengths
                if not (np.abs(np.subtract(packed, plain)) <= allowed).all():
                    reason = f"log-probabilities differ by {np.abs(np.subtract(packed, plain)).max():.2g}"
        except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            if out_of_memory(error):
                raise
            reason = f"it raised {type(error).__name__}: {error}"
        if reason:
            print(f"note: this model takes no block mask ({reason}); prompts are not shared", file=sys.stderr)
        self.sharing = "separate" if reason else "packed"

    def score(self, rows: Iterable[Row], names: Sequence[str]) -> Iterator[Scored]:
        """The log-probabilities of all rows, longest rows first. `names[row.index]` names a row in an error.

        Raises `DataError` for log-probabilities that are not finite, and when one row alone does not fit.
        """
        ordered = sorted(rows, key=lambda row: (-self._cost(row), row.index, row.first))
        step = self._packed if self.sharing == "packed" else self._separate
        for row, logprobs in self.batcher.run(ordered, self._cost, step, lambda row: names[row.index]):
            if not np.isfinite(logprobs).all():
                raise DataError(
                    f"{names[row.index]}: the model's log-probabilities are not finite ({logprobs[0]}); "
                    "try another --dtype, and check the model's weights"
                )
            yield Scored(row, logprobs)

    def _cost(self, row: Row) -> int:
        """Tokens that a row adds to a batch."""
        if self.sharing == "packed":
            return row.length
        return len(row.continuations) * (len(row.prompt) + max(map(len, row.continuations)) - 1)

    def _forward(self, kept: int, **inputs: Any) -> torch.Tensor:
        """Logits of the last `kept` positions, (B, kept, V)."""
        extra = {"logits_to_keep": kept} if self._keeps else {}
        with torch.inference_mode():
            logits: torch.Tensor = self.model.network(**inputs, use_cache=False, **extra).logits
        return logits[:, -kept:]

    def _packed(self, rows: Sequence[Row]) -> list[list[float]]:
        """One row per prompt, padded on the left: (B, T) tokens under a (B, 1, T, T) block mask."""
        width, kept = max(row.length for row in rows), max(row.tail for row in rows) + 1
        ids = np.full((len(rows), width), self._pad, np.int64)
        positions, blocks = np.zeros_like(ids), np.full_like(ids, -1)
        targets = _Targets()
        for number, row in enumerate(rows):
            column, length = width - row.length, len(row.prompt)
            ids[number, column : column + length] = row.prompt
            positions[number, column : column + length] = np.arange(length)
            blocks[number, column : column + length] = 0
            column += length
            last = column - 1
            for block, tokens in enumerate(row.continuations, start=1):
                end = column + len(tokens) - 1
                ids[number, column:end] = tokens[:-1]
                positions[number, column:end] = np.arange(length, length + len(tokens) - 1)
                blocks[number, column:end] = block
                targets.add(number, [last, *range(column, end)], tokens, width - kept)
                column = end
        device = self.model.device
        logits = self._forward(
            kept,
            input_ids=torch.from_numpy(ids).to(device),
            position_ids=torch.from_numpy(positions).to(device),
            attention_mask=_block_mask(torch.from_numpy(blocks).to(device), self.model.network.dtype),
        )
        return _regroup(targets.logprobs(logits), rows)

    def _separate(self, rows: Sequence[Row]) -> list[list[float]]:
        """One plain sequence per continuation, padded on the right: what any causal model can do."""
        pairs = [(row.prompt, tokens) for row in rows for tokens in row.continuations]
        width = max(len(prompt) + len(tokens) - 1 for prompt, tokens in pairs)
        kept = width - min(len(prompt) for prompt, _ in pairs) + 1
        ids = np.full((len(pairs), width), self._pad, np.int64)
        mask = np.zeros_like(ids)
        targets = _Targets()
        for number, (prompt, tokens) in enumerate(pairs):
            end = len(prompt) + len(tokens) - 1
            ids[number, :end] = [*prompt, *tokens[:-1]]
            mask[number, :end] = 1
            targets.add(number, range(len(prompt) - 1, end), tokens, width - kept)
        device = self.model.device
        logits = self._forward(
            kept, input_ids=torch.from_numpy(ids).to(device), attention_mask=torch.from_numpy(mask).to(device)
        )
        return _regroup(targets.logprobs(logits), rows)


class _Targets:
    """Which logit of which position belongs to which continuation."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._columns: list[int] = []
        self._tokens: list[int] = []
        self._lengths: list[int] = []

    def add(self, row: int, columns: Iterable[int], tokens: Sequence[int], dropped: int) -> None:
        """One continuation: `tokens` are predicted at `columns`, of which the first `dropped` have no logits."""
        self._rows += [row] * len(tokens)
        self._columns += [column - dropped for column in columns]
        self._tokens += tokens
        self._lengths.append(len(tokens))

    def logprobs(self, logits: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
        """(B, kept, V) logits -> summed log-probabilities of the continuations in the order they were added."""
        device, vocabulary = logits.device, logits.shape[-1]
        flat = torch.tensor(self._rows, device=device) * logits.shape[1] + torch.tensor(self._columns, device=device)
        # The prompt's last position predicts the first token of every continuation: normalise it once.
        places, back = torch.unique(flat, return_inverse=True)
        logits = logits.reshape(-1, vocabulary)
        step = max(1, _LOGITS // vocabulary)
        norms = torch.cat([logits[part].float().logsumexp(-1) for part in places.split(step)])
        picked = logits[flat, torch.tensor(self._tokens, device=device)].float() - norms[back]
        values = picked.double().cpu().numpy()
        return np.add.reduceat(values, np.cumsum([0, *self._lengths[:-1]]))


def _block_mask(blocks: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(B, T) block numbers, -1 padding and 0 prompt -> (B, 1, T, T) additive mask.

    A token sees the earlier ones of its own block and, unless it is padding, the prompt.
    """
    same = blocks[:, :, None] == blocks[:, None, :]
    prompt = (blocks[:, None, :] == 0) & (blocks[:, :, None] >= 0)
    width = blocks.shape[1]
    causal = torch.ones(width, width, dtype=torch.bool, device=blocks.device).tril()
    seen = (same | prompt) & causal
    mask = torch.zeros(seen.shape, dtype=dtype, device=blocks.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def _regroup(values: np.ndarray[Any, np.dtype[np.float64]], rows: Sequence[Row]) -> list[list[float]]:
    flat = iter(values.tolist())
    return [[next(flat) for _ in row.continuations] for row in rows]


def check_choices(**chosen: tuple[str, Any]) -> None:
    """Raises `ConfigError` for a setting that is not one of its type's literals."""
    for name, (value, literal) in chosen.items():
        if value not in literal.__args__:
            raise ConfigError(f"--{name} {value!r} is unknown; known are {', '.join(literal.__args__)}")
