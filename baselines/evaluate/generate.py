"""Greedy generation of short answers: batched, padded on the left, first line only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from baselines.evaluate.batching import Batcher
from baselines.models import Model
from polyfact_dataset.common.errors import DataError


class _LineEnd(StoppingCriteria):  # type: ignore[misc]
    """Ends a sequence at the first token that holds a line break."""

    def __init__(self, breaks: torch.Tensor) -> None:
        self._breaks = breaks

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        return self._breaks[input_ids[:, -1]]


class Generator:
    """Continues prompts greedily by at most `new_tokens` tokens, whatever the model's own configuration asks for."""

    def __init__(self, model: Model, new_tokens: int, batch_tokens: int | None = None) -> None:
        self.model = model
        self.new_tokens = new_tokens
        self.batcher = Batcher(model.device, batch_tokens)
        tokenizer = model.tokenizer
        size = max(len(tokenizer), model.network.get_output_embeddings().weight.shape[0])
        texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
        breaks = torch.zeros(size, dtype=torch.bool)
        breaks[[number for number, text in enumerate(texts) if "\n" in text]] = True
        self._stop = StoppingCriteriaList([_LineEnd(breaks.to(model.device))])
        end = model.network.generation_config.eos_token_id
        end = tokenizer.eos_token_id if end is None else end
        first = end[0] if isinstance(end, list) else end
        self._pad = next((i for i in (tokenizer.pad_token_id, first) if i is not None), 0)
        # A fresh configuration: the model's own may ask for a repetition penalty, which is no greedy decoding.
        model.network.generation_config = GenerationConfig(
            do_sample=False, num_beams=1, max_new_tokens=new_tokens, eos_token_id=end, pad_token_id=self._pad
        )

    def encode(self, prompts: Sequence[str], names: Sequence[str]) -> list[list[int]]:
        """Tokens of the prompts. A prompt that does not fit before the answer raises `DataError`."""
        ids: list[list[int]] = self.model.tokenizer(list(prompts), return_attention_mask=False)["input_ids"]
        for name, tokens in zip(names, ids):
            if not 0 < len(tokens) <= self.model.max_tokens - self.new_tokens:
                raise DataError(
                    f"{name}: the prompt has {len(tokens)} tokens; the model takes 1 to "
                    f"{self.model.max_tokens - self.new_tokens} before the answer"
                )
        return ids

    def run(self, numbers: Iterable[int], ids: Sequence[list[int]], names: Sequence[str]) -> Iterator[tuple[int, str]]:
        """The first line after each of the prompts `numbers`, longest prompts first."""
        ordered = sorted(numbers, key=lambda number: (-len(ids[number]), number))
        yield from self.batcher.run(
            ordered,
            lambda number: len(ids[number]) + self.new_tokens,
            lambda batch: self._batch([ids[number] for number in batch]),
            lambda number: names[number],
        )

    def _batch(self, prompts: Sequence[list[int]]) -> list[str]:
        width = max(map(len, prompts))
        ids = torch.tensor([[self._pad] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        device = self.model.device
        found = self.model.network.generate(
            input_ids=ids.to(device), attention_mask=mask.to(device), stopping_criteria=self._stop
        )
        texts = self.model.tokenizer.batch_decode(found[:, width:], skip_special_tokens=True)
        return [text.partition("\n")[0].strip() for text in texts]
