"""Layer ranks: how likely is the answer after each layer, in the target language and in English (paper, 5.2).

    python -m baselines.analysis.layer_rank --model M --dataset jvonrad/PolyFact --limit 500 --output base.ranks.json

After each layer the residual stream at the answer position goes through the final norm and the unembedding; what is
ranked is the first token of the gold's label. Where a fact's labels in both languages begin with the same token, its
rank says nothing about language: such collisions are counted and left out, as are labels whose first token is blank
or merges with the prompt.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from baselines import figures
from baselines.analysis import common, files, ranks
from baselines.analysis.common import Loaded
from baselines.analysis.hooks import Anatomy, anatomy, block_outputs
from baselines.analysis.text import grouped
from baselines.data import Fact
from baselines.evaluate.common import data_of
from baselines.evaluate.options import ItemOptions, ModelOptions, OutputOptions, Seed
from baselines.figures import Figure
from baselines.prompts import Prompt, Style, item_prompt, prompt_hash
from polyfact_dataset.cli.option_groups import option_groups
from polyfact_dataset.common.errors import ConfigError, DataError

ENGLISH = "en"
OUTCOMES = ("used", "collision", "blank", "merged")
EXAMPLES = 4


@dataclass(frozen=True, slots=True)
class Probe:
    """A prompt up to the answer, and the first tokens of the gold in its language and in English."""

    fact_id: str
    language: str
    gold: str
    ids: tuple[int, ...]
    target: int
    english: int


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The tokens of a prompt and the answer's first; or, as `fault`, why there is no such token."""

    before: tuple[int, ...] = ()
    token: int | None = None
    fault: Literal["", "merged", "blank"] = ""


def first_token(tokenizer: Any, prompt: Prompt, answer: str) -> FirstToken:
    """The first token of an answer behind its prompt, unless it is blank or merges with the prompt.

    The answer is tokenised together with the prompt, as a model would write it. Blank tokens in front of it, such as
    the space that some tokenizers split off, belong to the prompt.
    """
    before: list[int] = tokenizer(prompt.text)["input_ids"]
    whole: list[int] = tokenizer(prompt.text + prompt.separator + answer)["input_ids"]
    if whole[: len(before)] != before or len(whole) == len(before):
        return FirstToken(fault="merged")
    start = len(before)
    while start < len(whole) and not tokenizer.decode(whole[start : start + 1]).strip():
        start += 1
    return FirstToken(tuple(whole[:start]), whole[start]) if start < len(whole) else FirstToken(fault="blank")


def probes_of(facts: Iterable[Fact], tokenizer: Any, style: Style) -> tuple[list[Probe], dict[str, Counter[str]]]:
    """Probes in every language but English, and by language how often each of `OUTCOMES` happened."""
    probes: list[Probe] = []
    counts: dict[str, Counter[str]] = {}
    for fact in facts:
        english = fact.items[ENGLISH].options[fact.items[ENGLISH].answer]
        for code, item in fact.items.items():
            if code == ENGLISH:
                continue
            counts.setdefault(code, Counter())
            gold = item.options[item.answer]
            prompt = item_prompt(style, code, item)
            one, other = (first_token(tokenizer, prompt, label) for label in (gold, english))
            if one.token is None or other.token is None:
                counts[code]["merged" if "merged" in (one.fault, other.fault) else "blank"] += 1
            elif one.token == other.token:
                counts[code]["collision"] += 1
            elif one.before != other.before:
                # One of them begins with a blank token: the two labels do not start at the same position.
                counts[code]["blank"] += 1
            else:
                counts[code]["used"] += 1
                probes.append(Probe(fact.fact_id, code, english, one.before, one.token, other.token))
    return probes, counts


def rank_probes(network: Any, probes: Sequence[Probe], batch: int = 8) -> NDArray[np.int64]:
    """Ranks (2, N, layers): of the target's token and of the English one. Long prompts go first."""
    parts = anatomy(network)
    device = parts.backbone.device
    result = np.zeros((2, len(probes), parts.layers), np.int64)
    order = sorted(range(len(probes)), key=lambda number: -len(probes[number].ids))
    for numbers in grouped(order, batch):
        chosen = [probes[number] for number in numbers]
        width = len(chosen[0].ids)
        # Padded on the right: causal attention keeps the padding from every real position.
        ids = torch.tensor([[*probe.ids, *[0] * (width - len(probe.ids))] for probe in chosen], device=device)
        mask = torch.tensor([[1] * len(p.ids) + [0] * (width - len(p.ids)) for p in chosen], device=device)
        last = torch.tensor([len(probe.ids) - 1 for probe in chosen], device=device)
        tokens = torch.tensor([[probe.target, probe.english] for probe in chosen], device=device)
        states: dict[int, torch.Tensor] = {}

        def see(layer: int, values: torch.Tensor, at: Any = last, into: Any = states) -> None:
            into[layer] = values[torch.arange(len(at), device=values.device), at.to(values.device)]

        with torch.inference_mode(), block_outputs(parts, see):
            parts.backbone(input_ids=ids, attention_mask=mask, use_cache=False)
            for layer, values in states.items():
                result[:, numbers, layer] = _ranks(parts, values, tokens).T.cpu().numpy()
    return result


def _ranks(parts: Anatomy, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """(B, hidden) residual states and (B, 2) tokens -> (B, 2) ranks."""
    normed = parts.final_norm(states.to(parts.final_norm.weight.device))
    logits = parts.unembedding(normed.to(parts.unembedding.weight.device))
    chosen = logits.gather(1, tokens.to(logits.device))
    return 1 + (logits[:, None, :] > chosen[..., None]).sum(dim=-1)


def summarise(
    probes: Sequence[Probe], token_ranks: NDArray[np.int64], counts: dict[str, Counter[str]]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Metrics by language; arrays `ranks` (2, N, J) and, per probe, its fact, language and English gold."""
    codes = np.array([probe.language for probe in probes], dtype=str)
    metrics = {}
    for code, count in counts.items():
        mean = ranks.Transition.of(*token_ranks[:, codes == code])
        metrics[code] = {
            **{outcome: count[outcome] for outcome in OUTCOMES},
            "target": files.plain(mean.target),
            "english": files.plain(mean.english),
            "target_first": files.plain(mean.target_first),
            "english_first": files.plain(mean.english_first),
            "stuck_in_english": None if np.isnan(mean.stuck) else mean.stuck,
            "median_switch_layer": mean.median_switch,
        }
    facts, golds = (np.array([getattr(p, name) for p in probes], dtype=str) for name in ("fact_id", "gold"))
    return metrics, {"ranks": token_ranks, "facts": facts, "languages": codes, "golds": golds}


def draw(loaded: Sequence[Loaded]) -> list[Figure]:
    """The mean by language, one panel per language and model; and single examples, one row of panels per example."""
    codes = [code for code, part in loaded[0][0].metrics.items() if part["used"]]
    drawn = []
    with figures.style():
        if codes:
            sheet, axes = figures.canvas(len(loaded), len(codes), 3.4, 2.0, sharey="row")
            for line, code in zip(axes, codes):
                for axis, (result, _) in zip(line, loaded):
                    part = result.metrics[code]
                    _panel(axis, part["target"], part["english"], f"{result.label}: {code}, {part['used']} facts")
            axes[0, 0].legend(frameon=False)
            sheet.supxlabel("layer")
            sheet.supylabel("rank (geometric mean)")
            drawn.append(Figure("rank_means", "Rank of the answer in the target language and in English.", sheet))
        chosen = examples(loaded)
        if chosen:
            sheet, axes = figures.canvas(len(loaded), len(chosen), 3.4, 2.0, sharey="row")
            for line, number in zip(axes, chosen):
                for axis, (result, arrays) in zip(line, loaded):
                    title = f"{result.label}: [{arrays['languages'][number]}] {arrays['facts'][number]}"
                    target, english = arrays["ranks"][:, number]
                    _panel(axis, target, english, title)
            axes[0, 0].legend(frameon=False)
            sheet.supxlabel("layer")
            sheet.supylabel("rank")
            drawn.append(Figure("rank_examples", "Single examples (paper, figures 3 and 9).", sheet))
    return drawn


def examples(loaded: Sequence[Loaded], count: int = EXAMPLES) -> list[int]:
    """Probes at which the first model ends in English and the last does not, by their gap; at most `count`.

    With one model, those that end in English. They illustrate a change, and are no sample of all facts.
    """
    for _, arrays in loaded[1:]:
        if any((arrays[name] != loaded[0][1][name]).any() for name in ("facts", "languages")):
            raise DataError("layer ranks of different probes cannot be compared; the models must share a tokenizer")
    gaps = [np.log(arrays["ranks"][0, :, -1] / arrays["ranks"][1, :, -1]) for _, arrays in loaded]
    switched = (gaps[0] > 0) & ((gaps[-1] < 0) | (len(loaded) == 1))
    order = np.argsort(-(gaps[0] - (gaps[-1] if len(loaded) > 1 else 0)), kind="stable")
    return [int(number) for number in order if switched[number]][:count]


def _panel(axis: Any, target: Any, english: Any, title: str) -> None:
    layers = range(1, len(target) + 1)
    axis.plot(layers, target, label="target language", **figures.look(0))
    axis.plot(layers, english, label="English", **{**figures.look(1), "color": "0.45"})
    axis.set_yscale("log")
    if not axis.yaxis_inverted():  # panels of a row share their axis
        axis.invert_yaxis()
    figures.layer_axis(axis)
    axis.set_title(title, fontsize=8)


def compare(loaded: Sequence[Loaded]) -> list[dict[str, Any]]:
    """Rows of model and language: probes, collisions, final ranks, share stuck in English, median switch layer."""
    return [
        {
            "model": result.label,
            "language": code,
            "facts": part["used"],
            "collisions": part["collision"],
            "left out": part["blank"] + part["merged"],
            "final rank, target": part["target"][-1],
            "final rank, English": part["english"][-1],
            "ends in English (%)": None if part["stuck_in_english"] is None else 100 * part["stuck_in_english"],
            "median switch layer": part["median_switch_layer"],
        }
        for result, _ in loaded
        for code, part in result.metrics.items()
    ]


@option_groups
def main(
    model: ModelOptions,
    target: OutputOptions,
    items: ItemOptions,
    style: Annotated[str, typer.Option(help="Prompt without options: paper or plain.")] = "paper",
    batch: Annotated[int, typer.Option(min=1, help="Prompts per forward pass.")] = 8,
    seed: Seed = 42,
) -> None:
    """Rank the answer's first token after every layer."""
    files.prepare(target.output, target.overwrite)
    if style not in ("paper", "plain"):
        raise ConfigError(f"--style {style}: the answer position needs a prompt without options; use paper or plain")
    if items.codes:
        items = replace(items, languages=",".join((*items.codes, ENGLISH)))
    facts = items.load(seed)
    loaded = model.load()
    analysis = common.Analysis("layer_rank", target.output, model.name, draw)
    probes, counts = probes_of(facts, loaded.tokenizer, cast(Style, style))
    metrics, arrays = summarise(probes, rank_probes(loaded.network, probes, batch), counts)
    inputs = data_of(facts).model_dump(mode="json")
    settings = {"style": style, "prompt": prompt_hash(cast(Style, style), facts.languages), "seed": seed}
    analysis.finish(metrics, arrays, facts.languages, [loaded.identity], inputs, settings)


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
