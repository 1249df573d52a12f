"""Generation of short answers with a Transformers model: batched, padded on the left, cut to the first line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from baselines.answer_lines import answer_line
from baselines.evaluate.batching import Batcher
from baselines.evaluate.chat import split_thinking
from baselines.evaluate.engines import Answer, Decoding
from baselines.evaluate.scoring import encode_texts
from baselines.models import Model
from polyfact_dataset.common.errors import DataError


class _LineEnd(StoppingCriteria):  # type: ignore[misc]
    """Ends a sequence at the first token that holds a line break."""

    def __init__(self, breaks: torch.Tensor) -> None:
        self._breaks = breaks

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        return self._breaks[input_ids[:, -1]]


class _Recorder(LogitsProcessor):  # type: ignore[misc]
    """Records the log-probability of every generated token, of the model's distribution before `temperature`.

    A step sees the logits before a token is chosen, so the token of the previous step is looked up in each.
    """

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature or 1.0
        self._previous: torch.Tensor | None = None
        self._columns: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._record(input_ids[:, -1])
        self._previous = (scores.float() * self._temperature).log_softmax(dim=-1)
        return scores

    def _record(self, chosen: torch.Tensor) -> None:
        if self._previous is not None:
            self._columns.append(self._previous.gather(1, chosen[:, None].to(self._previous.device))[:, 0].cpu())

    def finish(self, last: torch.Tensor) -> torch.Tensor:
        """(B, steps): the log-probabilities of all tokens, `last` being those of the last step."""
        self._record(last)
        return torch.stack(self._columns, dim=1)


class Generator:
    """Continues prompts by at most `new_tokens` tokens, greedily, whatever the model's own configuration asks for.

    With `decoding` answers may be sampled, and reasoning stripped.
    """

    def __init__(
        self, model: Model, new_tokens: int, batch_tokens: int | None = None, decoding: Decoding | None = None
    ) -> None:
        self.model = model
        self.decoding = decoding or Decoding(new_tokens)
        self.new_tokens = self.decoding.budget
        self.batcher = Batcher(model.device, batch_tokens)
        tokenizer = model.tokenizer
        size = max(len(tokenizer), model.network.get_output_embeddings().weight.shape[0])
        texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
        self._breaks = torch.zeros(size, dtype=torch.bool)
        self._breaks[[number for number, text in enumerate(texts) if "\n" in text]] = True
        end = model.network.generation_config.eos_token_id
        end = tokenizer.eos_token_id if end is None else end
        self._ends = set(end if isinstance(end, list) else [end]) - {None}
        first = end[0] if isinstance(end, list) else end
        self._pad = next((i for i in (tokenizer.pad_token_id, first) if i is not None), 0)
        sampling = {"do_sample": True, "temperature": self.decoding.temperature, "top_k": 0}
        # A fresh configuration: the model's own may ask for a repetition penalty, which is no greedy decoding.
        model.network.generation_config = GenerationConfig(
            **(sampling if self.decoding.temperature else {"do_sample": False}),
            num_beams=1,
            max_new_tokens=self.new_tokens,
            eos_token_id=end,
            pad_token_id=self._pad,
        )

    def encode(
        self, prompts: Sequence[str], names: Sequence[str], start: Sequence[int] | None = None
    ) -> list[list[int]]:
        """Tokens of the prompts behind `start`. A prompt that does not fit before the answer raises `DataError`."""
        ids = list(encode_texts(self.model.tokenizer, list(prompts), start))
        for name, tokens in zip(names, ids):
            if not 0 < len(tokens) <= self.model.max_tokens - self.new_tokens:
                raise DataError(
                    f"{name}: the prompt has {len(tokens)} tokens; the model takes 1 to "
                    f"{self.model.max_tokens - self.new_tokens} before the answer"
                )
        return ids

    def answers(
        self, numbers: Iterable[int], ids: Sequence[list[int]], names: Sequence[str]
    ) -> Iterator[tuple[int, Answer]]:
        """The answers to the prompts `numbers`, longest prompts first."""
        return self.batcher.answers(numbers, ids, self.new_tokens, self._batch, names)

    def run(self, numbers: Iterable[int], ids: Sequence[list[int]], names: Sequence[str]) -> Iterator[tuple[int, str]]:
        """The first line after each of the prompts `numbers`, longest prompts first."""
        for number, answer in self.answers(numbers, ids, names):
            yield number, answer.text

    def _batch(self, prompts: Sequence[list[int]]) -> list[Answer]:
        width = max(map(len, prompts))
        ids = torch.tensor([[self._pad] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        device = self.model.device
        strip = self.decoding.thinking == "strip"
        recorder = _Recorder(self.decoding.temperature)
        # Reasoning has many lines: where it is stripped, a generation ends with its end token alone.
        stops = [] if strip else [_LineEnd(self._breaks.to(device))]
        sequences = self.model.network.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            stopping_criteria=StoppingCriteriaList(stops),
            logits_processor=LogitsProcessorList([recorder]),
        )
        logprobs = recorder.finish(sequences[:, -1])
        return [self._answer(row, line) for row, line in zip(sequences[:, width:].tolist(), logprobs.tolist())]

    def _answer(self, tokens: list[int], logprobs: list[float]) -> Answer:
        """One generation: its tokens count up to the one that ends it."""
        strip = self.decoding.thinking == "strip"
        ending = (n for n, token in enumerate(tokens) if token in self._ends or (not strip and self._breaks[token]))
        length = next(ending, len(tokens) - 1) + 1
        decode = self.model.tokenizer.decode
        if not strip:
            text = answer_line(decode(tokens[:length], skip_special_tokens=True).partition("\n")[0])
            return Answer(text, sum(logprobs[:length]), length)
        # Marks of reasoning may be special tokens.
        thinking, _ = split_thinking(decode(tokens[:length]))
        used = len(self.model.tokenizer(thinking, add_special_tokens=False)["input_ids"]) if thinking else 0
        used = min(used, length)
        text = answer_line(decode(tokens[used:length], skip_special_tokens=True))
        return Answer(text, sum(logprobs[used:length]), length - used, used)
