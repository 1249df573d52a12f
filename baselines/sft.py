"""SFT with a consistency term (paper, equation 3): one forward pass over a fact's languages.

    accelerate launch -m baselines.sft --config baselines/configs/olmo2_7b_sft.yaml

The prompt shows the options as A to D (style `letters`); the distribution over the four letters is trained:

    L = - mean_l log p_l(y_l) + lambda * mean_l KL(p_l || sg(mean_l p_l))        over the L languages l of a fact

p_l is the softmax over the four letters' logits alone, after the prompt. `consistency` is lambda; 0 is pure SFT
(appendix E.1). Logits are computed at the last position only. The prompts of a batch run in `sub_batches` of similar
length, so that a Bengali prompt does not pad an English one; the loss is the same.

Deviation: the options of a fact have another order in each language. The mean over languages is therefore taken
by entity; a mean over letters, as equation 3 reads, would pull each language towards the other languages' positions.
`average: letters` takes that mean.

Logged with the loss: both terms, and by language the accuracy on the batches since the last line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from baselines.data import Fact, Rows
from baselines.prompts import LETTERS, Prompt, item_prompt, prompt
from baselines.training.arguments import training_arguments
from baselines.training.config import ConfigFile, Overwrite, Settings, TrainingConfig, load_config
from baselines.training.loop import fit
from baselines.training.padding import pad_left
from baselines.training.run import Run
from polyfact_dataset.common.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch

Average = Literal["entities", "letters"]


class SftConfig(TrainingConfig):
    """A batch counts facts, each in all its languages."""

    method: ClassVar[str] = "sft"
    description: ClassVar[str] = "supervised fine-tuning with a consistency term"

    # Lambda of equation 3.
    consistency: float = Field(default=0.5, ge=0)
    # The key over which the mean over languages is taken.
    average: Average = "entities"
    # Forward passes per batch, each over prompts of similar length; 1 pads all to the longest.
    sub_batches: int = Field(default=4, ge=1)
    # A fact with a longer prompt is an error: cut off, it would ask for a letter without its question.
    max_tokens: int = Field(default=1024, ge=16)


def equation3(
    scores: torch.Tensor, gold: torch.Tensor, consistency: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B, L, 4) logits of the options and (B, L) golds -> the loss, and the two terms of each fact, (B,) each."""
    import torch

    logprobs = scores.float().log_softmax(-1)
    answer = -logprobs.gather(-1, gold[..., None])[..., 0].mean(-1)
    # log of the mean over languages of p_l; sg: the mean is a target, no path for gradients.
    mean = logprobs.logsumexp(1, keepdim=True).sub(torch.tensor(float(scores.shape[1])).log().item()).detach()
    divergence = (logprobs.exp() * (logprobs - mean)).sum(-1).mean(-1)
    return (answer + consistency * divergence).mean(), answer, divergence


class Collator:
    """Facts -> tensors: `input_ids`, `attention_mask` and `position_ids` (B, L, T), padded on the left; `letters`
    (B, L, 4), the tokens of the options; `gold` (B, L), the position of the correct one among them."""

    def __init__(
        self,
        tokenizer: Any,
        languages: Sequence[str],
        average: Average,
        max_tokens: int,
        wrap: Callable[[Prompt], Prompt] = lambda prompt: prompt,
    ) -> None:
        """`wrap` puts a prompt into a chat template."""
        self.tokenizer = tokenizer
        self.languages = tuple(languages)
        self.average = average
        self.max_tokens = max_tokens
        self.wrap = wrap
        self.letters = {code: self._letters(code) for code in self.languages}

    def _letters(self, code: str) -> list[int]:
        """The last token of a prompt followed by each letter; all tokens before it must be the same."""
        asked = prompt("letters", code, "?", ("1", "2", "3", "4"))
        ids = [self._ids(asked, letter) for letter in LETTERS]
        if any(one[:-1] != ids[0][:-1] for one in ids) or len({one[-1] for one in ids}) != len(LETTERS):
            raise ConfigError(f"the letters A to D are not one token each after a prompt in {code} with this tokenizer")
        return [one[-1] for one in ids]

    def _ids(self, asked: Prompt, letter: str) -> list[int]:
        asked = self.wrap(asked)
        ids: list[int] = self.tokenizer(asked.text + asked.separator + letter)["input_ids"]
        return ids

    def _encode(self, fact: Fact, code: str) -> list[int]:
        """The tokens before the letter."""
        # With a letter, which is then removed: a tokenizer may merge it with the text before it.
        ids = self._ids(item_prompt("letters", code, fact.items[code]), LETTERS[0])
        if ids[-1] != self.letters[code][0]:
            raise DataError(f"fact {fact.fact_id} in {code}: the letter merges with the prompt; use another tokenizer")
        if len(ids) - 1 > self.max_tokens:
            raise DataError(
                f"fact {fact.fact_id} in {code}: the prompt has {len(ids) - 1} tokens, max_tokens is {self.max_tokens}"
            )
        return ids[:-1]

    def _options(self, fact: Fact, code: str) -> tuple[list[int], int]:
        """The letters' tokens in the order in which means are taken, and the position of the gold's."""
        item, letters = fact.items[code], self.letters[code]
        if self.average == "letters":
            return letters, item.answer
        order = sorted(item.option_ids)
        return [letters[item.option_ids.index(entity)] for entity in order], order.index(item.option_ids[item.answer])

    def __call__(self, facts: Sequence[Fact]) -> dict[str, torch.Tensor]:
        import torch

        shape = (len(facts), len(self.languages), -1)
        prompts = [self._encode(fact, code) for fact in facts for code in self.languages]
        options = [self._options(fact, code) for fact in facts for code in self.languages]
        ids, mask = pad_left(prompts, self.tokenizer.pad_token_id)
        return {
            "input_ids": ids.view(shape),
            "attention_mask": mask.view(shape),
            "position_ids": (mask.cumsum(-1) - 1).clamp(min=0).view(shape),
            "letters": torch.tensor([letters for letters, _ in options]).view(shape),
            "gold": torch.tensor([gold for _, gold in options]).view(shape[:2]),
        }


def option_scores(network: Any, batch: dict[str, torch.Tensor], sub_batches: int = 1) -> torch.Tensor:
    """(B, L, 4) logits of the options' letters after the prompts of a batch, in `sub_batches` of similar length."""
    import torch

    flat = {name: batch[name].flatten(0, 1) for name in ("input_ids", "attention_mask", "position_ids")}
    letters = batch["letters"].flatten(0, 1)
    lengths = flat["attention_mask"].sum(-1)
    order = lengths.argsort(stable=True)
    parts = []
    for rows in order.chunk(sub_batches):
        width = int(lengths[rows].max())
        inputs = {name: values[rows, -width:] for name, values in flat.items()}
        logits = network(**inputs, logits_to_keep=1, use_cache=False).logits[:, -1]
        parts.append(logits.gather(-1, letters[rows]))
    return torch.cat(parts)[order.argsort()].view_as(batch["letters"])


def make_trainer(run: Run, config: SftConfig, facts: Rows[Fact]) -> Any:
    """The Trainer of equation 3 over the facts of a run."""
    from transformers import Trainer

    from baselines.training.metric_logging import MetricLogging, RunningMeans

    class SftTrainer(MetricLogging, Trainer):  # type: ignore[misc]
        means = RunningMeans()

        def compute_loss(
            self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, **_: Any
        ) -> torch.Tensor:
            scores = option_scores(model, inputs, config.sub_batches)
            loss, answer, divergence = equation3(scores, inputs["gold"], config.consistency)
            self.means.add("loss_answer", answer)
            self.means.add("loss_consistency", divergence)
            right = (scores.argmax(-1) == inputs["gold"]).float()
            for position, code in enumerate(run.languages):
                self.means.add(f"accuracy_{code}", right[:, position])
            return loss

    return SftTrainer(
        model=run.network,
        args=training_arguments(run, label_names=["gold"]),
        train_dataset=facts,
        data_collator=Collator(run.tokenizer, run.languages, config.average, config.max_tokens, run.prompt),
        processing_class=run.tokenizer,
    )


def train(config: SftConfig, overwrite: bool = False) -> Path:
    """Trains and returns the folder of the final adapter or model."""
    run = Run.start(config, overwrite)
    return fit(run, make_trainer(run, config, run.facts()))


def main(config: ConfigFile, settings: Settings = None, overwrite: Overwrite = False) -> None:
    """Supervised fine-tuning with a consistency term."""
    train(load_config(SftConfig, config, settings), overwrite)


if __name__ == "__main__":
    from baselines.cli import run as run_command

    sys.exit(run_command(main))
