"""DCO (direct consistency optimisation): a model's preference between two answers should not depend on the language.

    accelerate launch -m baselines.dco --config baselines/configs/olmo2_7b_dco.yaml

Of a fact two languages and two of its four entities are drawn, a chosen and a rejected one: at random, not by gold, so
nothing about the truth is learned. With pi and ref the summed log-probabilities of an entity's name by the model and
by the model with its adapter off,

    r_l = (pi_c - ref_c) - (pi_r - ref_r)        o_l = ref_c - ref_r        in language l
    L   = |r_1 - o_2 / beta| + |r_2 - beta * o_1|

A batch counts facts. Logits are computed only where names are predicted. Logged with the loss: both terms, and
`agreement`, the share of facts for which both languages prefer the same of the two.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from baselines.data import Fact, Rows
from baselines.prompts import Prompt, Style, answers, item_prompt
from baselines.training.arguments import training_arguments
from baselines.training.config import ConfigFile, Overwrite, Settings, TrainingConfig, load_config
from baselines.training.loop import fit
from baselines.training.run import Run
from polyfact_dataset.common.errors import ConfigError

if TYPE_CHECKING:
    import torch


class DcoConfig(TrainingConfig):
    """A batch counts facts."""

    method: ClassVar[str] = "dco"
    description: ClassVar[str] = "direct consistency optimisation"

    beta: float = Field(default=1.0, gt=0)
    prompt: Style = "paper"

    @model_validator(mode="after")
    def _reference(self) -> DcoConfig:
        if self.lora is None:
            raise ValueError("the reference is the model with its adapter off: dco needs lora")
        if self.prompt == "letters":
            raise ValueError("prompt letters has no names of entities to compare; use paper, plain or choose")
        return self


def dco_loss(policy: torch.Tensor, reference: torch.Tensor, beta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 2, 2) log-probabilities by language and (chosen, rejected) -> the two terms of each fact, (B,) each."""
    gain = policy - reference
    reward = gain[..., 0] - gain[..., 1]
    odds = reference[..., 0] - reference[..., 1]
    return (reward[:, 0] - odds[:, 1] / beta).abs(), (reward[:, 1] - beta * odds[:, 0]).abs()


def draw(fact: Fact, languages: Sequence[str], seed: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """Two languages, and two entities (chosen, rejected), by a hash of seed and fact."""
    digest = hashlib.sha256(f"{seed}|dco|{fact.fact_id}".encode()).digest()
    generator = random.Random(int.from_bytes(digest, "big"))
    first, second = generator.sample(list(languages), 2)
    chosen, rejected = generator.sample(sorted(fact.items[first].option_ids), 2)
    return (first, second), (chosen, rejected)


class Collator:
    """Facts -> (4 B, T) tensors, padded on the left so that answers end together: language outside, entity inside."""

    def __init__(
        self,
        tokenizer: Any,
        languages: Sequence[str],
        style: Style,
        seed: int,
        max_tokens: int,
        wrap: Callable[[Prompt], Prompt] = lambda prompt: prompt,
    ) -> None:
        """`wrap` puts a prompt into a chat template."""
        self.tokenizer = tokenizer
        self.languages = tuple(languages)
        self.style = style
        self.seed = seed
        self.max_tokens = max_tokens
        self.wrap = wrap

    def _requests(self, fact: Fact) -> Any:
        from baselines.evaluate.engines import Request

        languages, entities = draw(fact, self.languages, self.seed)
        for code in languages:
            item = fact.items[code]
            asked = self.wrap(item_prompt(self.style, code, item))
            names = answers(self.style, item.options)
            texts = tuple(asked.separator + names[item.option_ids.index(entity)] for entity in entities)
            yield Request(f"fact {fact.fact_id} in {code}", asked.text, texts)

    def __call__(self, facts: Sequence[Fact]) -> dict[str, torch.Tensor]:
        import torch

        from baselines.evaluate.scoring import encode

        requests = [request for fact in facts for request in self._requests(fact)]
        paths = encode(self.tokenizer, requests, self.max_tokens, "exact").paths
        width = max(len(path.tokens) for path in paths)
        ids = torch.full((len(paths), width), self.tokenizer.pad_token_id)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for row, path in enumerate(paths):
            ids[row, width - len(path.tokens) :] = torch.from_numpy(path.tokens)
            mask[row, width - len(path.tokens) :] = 1
            labels[row, width - path.scored :] = ids[row, width - path.scored :]
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": (mask.cumsum(-1) - 1).clamp(min=0),
            "answers": labels,
        }


def answer_logprobs(network: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """(N,) summed log-probabilities of the answers of a batch."""
    labels = batch["answers"]
    longest = int((labels != -100).sum(-1).max())
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}
    logits = network(**inputs, logits_to_keep=longest + 1, use_cache=False).logits[:, :-1].float()
    labels = labels[:, -longest:]
    scored = labels != -100
    picked = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    total: torch.Tensor = (picked * scored).sum(-1)
    return total


def make_trainer(run: Run, config: DcoConfig, facts: Rows[Fact]) -> Any:
    """The Trainer over the facts of a run."""
    import torch
    from transformers import Trainer

    from baselines.training.metric_logging import MetricLogging, RunningMeans

    class DcoTrainer(MetricLogging, Trainer):  # type: ignore[misc]
        means = RunningMeans()

        def compute_loss(
            self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, **_: Any
        ) -> torch.Tensor:
            adapted = self.accelerator.unwrap_model(model)
            with torch.no_grad(), adapted.disable_adapter():
                reference = answer_logprobs(adapted, inputs).view(-1, 2, 2)
            policy = answer_logprobs(model, inputs).view(-1, 2, 2)
            first, second = dco_loss(policy, reference, config.beta)
            prefers = policy[..., 0] > policy[..., 1]
            self.means.add("loss_first", first)
            self.means.add("loss_second", second)
            self.means.add("agreement", (prefers[:, 0] == prefers[:, 1]).float())
            loss: torch.Tensor = (first + second).mean()
            return loss

    if len(run.languages) < 2:
        raise ConfigError("dco compares languages: dataset.languages must be at least two")
    longest = run.network.config.get_text_config().max_position_embeddings
    return DcoTrainer(
        model=run.network,
        args=training_arguments(run, label_names=["answers"]),
        train_dataset=facts,
        data_collator=Collator(run.tokenizer, run.languages, config.prompt, config.seed, longest, run.prompt),
        processing_class=run.tokenizer,
    )


def train(config: DcoConfig, overwrite: bool = False) -> Path:
    """Trains and returns the folder of the final adapter."""
    run = Run.start(config, overwrite)
    return fit(run, make_trainer(run, config, run.facts()))


def main(config: ConfigFile, settings: Settings = None, overwrite: Overwrite = False) -> None:
    """Direct consistency optimisation."""
    train(load_config(DcoConfig, config, settings), overwrite)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
