"""Conditional log-likelihoods of continuations of prompts, every shared beginning computed once.

The sequences (prompt and continuation) are sorted, and neighbours are packed into one row as a trie: a token that
several sequences begin with, in the prompt of one item's four options or in the instruction and the template of
many items, is in the row once. A token attends to its ancestors in the trie alone and has its depth as
position, so each log-probability is that of the plain sequence. Rows of similar length make a batch of at most so many
tokens, a number that is halved when memory runs out. Models that ignore such a mask (recurrent layers, sliding
windows) are detected by a comparison with plain sequences and scored without packing.

Splitting prompt from continuation follows lm-evaluation-harness 0.4.13 (`boundary="lm_eval"`): the continuation is
what follows the first `len(tokens(prompt))` tokens of both together. Where a continuation merges with the
prompt's last token this loses its start; `boundary="exact"` scores from the first token that differs instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from baselines.evaluate.batching import Batcher, out_of_memory
from baselines.evaluate.engines import Request
from baselines.models import Model
from polyfact_dataset.common.errors import ConfigError, DataError

Boundary = Literal["lm_eval", "exact"]
Sharing = Literal["auto", "packed", "separate"]
Ints = NDArray[np.int32]
# A row is closed at the first new prompt beyond this length: attention costs the square of it.
ROW_TOKENS = 256
# Prompts that share less than this are not worth a common row.
MIN_SHARED = 4
_TEXTS = 20_000
_LOGITS = 1 << 26


@dataclass(frozen=True, slots=True)
class Path:
    """Continuation `number` of request `index` behind its prompt: tokens of both, scored from `start` on."""

    index: int
    number: int
    tokens: Ints
    start: int

    @property
    def scored(self) -> int:
        """Tokens that are scored."""
        return len(self.tokens) - self.start


@dataclass(frozen=True, slots=True)
class Row:
    """Paths packed into a trie in depth-first order; arrays are (T,).

    `ends[j]` is where the subtree of token j ends: token i attends to j when j <= i < ends[j]. `nodes` are, for each
    path, the tokens that predict its scored ones.
    """

    paths: Sequence[Path]
    ids: Ints
    depths: Ints
    ends: Ints
    nodes: Sequence[Sequence[int]]

    @property
    def length(self) -> int:
        """Tokens that the network sees."""
        return len(self.ids)


@dataclass(slots=True)
class Encoding:
    """All paths, and how many continuations merged with their prompt or had it cut to fit."""

    paths: list[Path]
    merged: int = 0
    truncated: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    """The summed log-probability (natural log) of one continuation."""

    path: Path
    logprob: float


# ---------------------------------------------------------------- from texts to rows


def start_tokens(tokenizer: Any) -> list[int]:
    """The special tokens that the tokenizer puts before a text; those that it may put behind one are not wanted."""
    plain: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole: list[int] = tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[:start]
    raise ConfigError("the tokenizer changes a text when it adds its special tokens: prompts cannot be continued")


def encode_texts(tokenizer: Any, texts: Sequence[str], start: Sequence[int] | None = None) -> Iterator[list[int]]:
    """The tokens of each text behind `start`, by default those of `start_tokens`; nothing follows the text."""
    first = start_tokens(tokenizer) if start is None else list(start)
    for begin in range(0, len(texts), _TEXTS):
        some = list(texts[begin : begin + _TEXTS])
        encoded = tokenizer(some, return_attention_mask=False, add_special_tokens=False)["input_ids"]
        yield from (first + ids for ids in encoded)


def _shared(first: Sequence[int] | Ints, second: Sequence[int] | Ints) -> int:
    """How many tokens two sequences begin with in common."""
    size = min(len(first), len(second))
    different = np.flatnonzero(np.asarray(first[:size]) != np.asarray(second[:size]))
    return int(different[0]) if len(different) else size


def encode(
    tokenizer: Any,
    requests: Sequence[Request],
    max_tokens: int,
    boundary: Boundary = "lm_eval",
    start: Sequence[int] | None = None,
) -> Encoding:
    """Tokenises all requests, each behind `start` (by default `start_tokens`).

    A prompt too long for the model loses its beginning, as in lm-evaluation-harness. An empty prompt is allowed with
    `exact`: its continuations are scored as whole texts, from the first token that has another before it.

    Raises `DataError` for an empty prompt, an empty continuation, or one longer than the model takes.
    """
    bare = [request.prompt.rstrip(" ") for request in requests]
    if "" in bare and boundary != "exact":
        raise DataError(f"{requests[bare.index('')].name}: the prompt is empty")
    prompts = encode_texts(tokenizer, bare, start)
    wholes = encode_texts(tokenizer, [r.prompt + text for r in requests for text in r.continuations], start)
    encoding = Encoding([])
    for index, request in enumerate(requests):
        prompt = next(prompts)
        together = [next(wholes) for _ in request.continuations]
        if not bare[index]:
            # Whole texts: where no special token precedes them, the first token cannot be scored.
            prompt = together[0][: max(1, len(prompt))]
            if any(whole[: len(prompt)] != prompt for whole in together):
                encoding.paths += [Path(index, n, np.array(whole, np.int32), 1) for n, whole in enumerate(together)]
                continue
        encoding.merged += sum(whole[: len(prompt)] != prompt for whole in together)
        if boundary == "exact":
            prompt = prompt[: max(1, min(_shared(prompt, whole) for whole in together))]
        for number, (text, whole) in enumerate(zip(request.continuations, together)):
            answer = whole[len(prompt) :]
            room = max_tokens + 1 - len(answer)
            if not answer:
                raise DataError(f"{request.name}: {text!r} merges wholly with its prompt; use --boundary exact")
            if room < 1:
                raise DataError(f"{request.name}: an answer has more tokens than the model takes ({max_tokens})")
            encoding.truncated += len(prompt) > room
            kept = prompt[-room:]
            encoding.paths.append(Path(index, number, np.array([*kept, *answer], np.int32), len(kept)))
    return encoding


def trie(paths: Sequence[Path], shared: Sequence[int]) -> Row:
    """Packs sorted paths; `shared[k]` is how many tokens path k has in common with the one before it."""
    ids: list[int] = []
    depths: list[int] = []
    ends: list[int] = []
    nodes: list[list[int]] = []
    branch: list[int] = []  # the tokens from the root to where the last path ended
    for path, common in zip(paths, shared, strict=True):
        tokens = path.tokens[:-1]  # the last one is only predicted
        for node in branch[common:]:
            ends[node] = len(ids)
        branch[common:] = range(len(ids), len(ids) + len(tokens) - common)
        ids += tokens[common:].tolist()
        depths += range(common, len(tokens))
        ends += [0] * (len(tokens) - common)
        nodes.append(branch[path.start - 1 :])
    for node in branch:
        ends[node] = len(ids)
    return Row(paths, np.array(ids, np.int32), np.array(depths, np.int32), np.array(ends, np.int32), nodes)


def pack(paths: Iterable[Path]) -> list[Row]:
    """Rows of about `ROW_TOKENS` tokens, longest first. The prompts of a row share at least `MIN_SHARED` tokens."""
    # The bytes of big-endian tokens sort as the tokens do.
    ordered = sorted(paths, key=lambda path: (path.tokens[:-1].astype(">i4").tobytes(), path.index, path.number))
    rows: list[Row] = []
    shared: list[int] = []
    start = length = 0
    for position, path in enumerate(ordered):
        before = ordered[position - 1] if position > start else None
        common = _shared(path.tokens[:-1], before.tokens[:-1]) if before else 0
        length += len(path.tokens) - 1 - common
        full = length > ROW_TOKENS or common < MIN_SHARED
        if before and full and (path.index != before.index or length > 2 * ROW_TOKENS):
            rows.append(trie(ordered[start:position], shared))
            start, shared, common, length = position, [], 0, len(path.tokens) - 1
        shared.append(common)
    if ordered:
        rows.append(trie(ordered[start:], shared))
    return sorted(rows, key=lambda row: -row.length)


def alone(paths: Iterable[Path]) -> list[Row]:
    """Each path in a separate row, longest first."""
    return sorted((trie([path], [0]) for path in paths), key=lambda row: (-row.length, row.paths[0].index))


# ---------------------------------------------------------------- from rows to log-probabilities


class Scorer:
    """Scores rows in batches of at most `batch_tokens` tokens, padding counted; None picks a size for the device."""

    def __init__(self, model: Model, sharing: Sharing = "auto", batch_tokens: int | None = None) -> None:
        self.model = model
        self.sharing = sharing
        self.batcher = Batcher(model.device, batch_tokens)
        self._pad = model.tokenizer.pad_token_id or 0

    def rows(self, paths: Sequence[Path]) -> list[Row]:
        """The rows to score, longest first. Decides `auto`: packed, unless plain sequences give other results.

        The longest row and that of the longest path are compared; the reason for not packing is printed on stderr.
        """
        if self.sharing == "separate" or not paths:
            return alone(paths)
        rows = pack(paths)
        if self.sharing == "auto":
            deepest = max(rows, key=lambda row: int(row.depths.max()))
            reason = self._difference([rows[0]] if deepest is rows[0] else [rows[0], deepest])
            self.sharing = "separate" if reason else "packed"
            if reason:
                print(f"note: this model takes no trie ({reason}); beginnings are not shared", file=sys.stderr)
        return rows if self.sharing == "packed" else alone(paths)

    def _difference(self, sample: Sequence[Row]) -> str | None:
        """Why packing is not exact for this model, or None."""
        exact = next(self.model.network.parameters()).dtype == torch.float32 and not self.model.autocast
        try:
            for row in sample:
                plain = np.array([self._plain([trie([path], [0])])[0][0] for path in row.paths])
                if not np.isfinite(plain).all():
                    return None  # the plain sequences fail too: scoring names the item
                lengths = np.array([path.scored for path in row.paths])
                allowed = 1e-3 * np.maximum(1, np.abs(plain)) if exact else 0.1 + 0.1 * lengths
                gap = np.abs(np.array(self._packed([row])[0]) - plain)
                if not (gap <= allowed).all():
                    return f"log-probabilities differ by {gap.max():.2g}"
        except (RuntimeError, TypeError, ValueError, ConfigError) as error:
            if out_of_memory(error):
                raise
            return f"it raised {type(error).__name__}: {error}"
        return None

    def score(self, rows: Iterable[Row], names: Sequence[str]) -> Iterator[Scored]:
        """The log-probabilities of all paths of `rows`, longest rows first; `names[path.index]` names one in an error.

        Raises `DataError` for log-probabilities that are not finite, and when one row alone does not fit.
        """
        ordered = sorted(rows, key=lambda row: -row.length)
        step = self._packed if self.sharing == "packed" else self._plain
        for row, logprobs in self.batcher.run(
            ordered, lambda row: row.length, step, lambda row: names[row.paths[0].index]
        ):
            for path, logprob in zip(row.paths, logprobs, strict=True):
                if not np.isfinite(logprob):
                    raise DataError(
                        f"{names[path.index]}: the model's log-probabilities are not finite ({logprob}); "
                        "try another --dtype, and check the model's weights"
                    )
                yield Scored(path, logprob)

    def _inputs(self, rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens, depths and ends of rows padded on the right, (B, T) each. Padding attends to itself alone."""
        width = max(row.length for row in rows)
        ids = np.full((len(rows), width), self._pad, np.int64)
        depths = np.zeros_like(ids)
        ends = np.broadcast_to(np.arange(1, width + 1), ids.shape).copy()
        for number, row in enumerate(rows):
            ids[number, : row.length] = row.ids
            depths[number, : row.length] = row.depths
            ends[number, : row.length] = row.ends
        device = self.model.device
        return torch.from_numpy(ids).to(device), torch.from_numpy(depths).to(device), torch.from_numpy(ends).to(device)

    def _packed(self, rows: Sequence[Row]) -> list[list[float]]:
        """Log-probabilities of the paths of each row, under a (B, 1, T, T) mask of the tries."""
        ids, depths, ends = self._inputs(rows)
        targets = _Targets(rows, ids.shape[1])
        with torch.no_grad(), _only(self.model.network, targets.places):
            mask = ancestors(ends, self.model.network.dtype)
            network = self.model.network
            logits = network(input_ids=ids, position_ids=depths, attention_mask=mask, use_cache=False).logits
        return targets.logprobs(logits[0])

    def _plain(self, rows: Sequence[Row]) -> list[list[float]]:
        """The same for rows of one path: plain sequences, as any causal model takes them."""
        ids, _, _ = self._inputs(rows)
        lengths = torch.tensor([row.length for row in rows], device=ids.device)
        mask = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
        targets = _Targets(rows, ids.shape[1])
        with torch.no_grad():
            logits = self.model.network(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return targets.logprobs(logits.flatten(0, 1)[targets.places])


def ancestors(ends: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(B, T) ends of subtrees -> (B, 1, T, T) additive mask: token i sees token j when j <= i < ends[j]."""
    places = torch.arange(ends.shape[1], device=ends.device)
    seen = (places[None, :] <= places[:, None]) & (places[:, None] < ends[:, None, :])
    mask = torch.zeros(seen.shape, dtype=dtype, device=ends.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


@contextmanager
def _only(network: Any, places: torch.Tensor) -> Iterator[None]:
    """Restricts the output layer to the hidden states at `places` of (B * T): logits become (1, len(places), V).

    Most positions predict nothing that is asked for, and over a large vocabulary they would cost the most.
    """
    head = network.get_output_embeddings()
    if head is None:
        raise ConfigError("the model names no output layer (get_output_embeddings); use --sharing separate")

    def pick(_: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (inputs[0].flatten(0, 1)[places.to(inputs[0].device)][None],)

    handle = head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        handle.remove()


class _Targets:
    """Which of (B * T) positions predicts which scored token of which path."""

    def __init__(self, rows: Sequence[Row], width: int) -> None:
        flat = [number * width + node for number, row in enumerate(rows) for nodes in row.nodes for node in nodes]
        unique, back = np.unique(np.array(flat, np.int64), return_inverse=True)
        # Each position once: the end of a prompt predicts the first token of all its continuations.
        self.places = torch.from_numpy(unique)
        self._back = torch.from_numpy(back)
        self._tokens = torch.from_numpy(np.concatenate([p.tokens[p.start :] for r in rows for p in r.paths])).long()
        self._starts = np.cumsum([0, *(path.scored for row in rows for path in row.paths)])[:-1]
        self._sizes = [len(row.paths) for row in rows]

    def logprobs(self, logits: torch.Tensor) -> list[list[float]]:
        """Logits at `places`, (len(places), V) -> the summed log-probabilities of the paths of each row."""
        back, tokens = self._back.to(logits.device), self._tokens.to(logits.device)
        step = max(1, _LOGITS // logits.shape[-1])
        norms = torch.cat([part.float().logsumexp(-1) for part in logits.split(step)])
        picked = (logits[back, tokens].float() - norms[back]).double().cpu().numpy()
        sums = iter(np.add.reduceat(picked, self._starts).tolist())
        return [[next(sums) for _ in range(size)] for size in self._sizes]


def check_choices(**chosen: tuple[str, Any]) -> None:
    """Raises `ConfigError` for a setting that is not one of its type's literals."""
    for name, (value, literal) in chosen.items():
        if value not in literal.__args__:
            raise ConfigError(f"--{name} {value!r} is unknown; known are {', '.join(literal.__args__)}")
