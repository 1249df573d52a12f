"""How uncertain a model is in a language: perplexity of its questions, self-similarity of its answers (RL study).

    python -m baselines.analysis.uncertainty --model M --dataset jvonrad/PolyFact --limit 100 --output base.unsure.json

Perplexity: exp of the mean negative log-probability per token over all questions of a language. Bits per byte
compare languages with different tokenisation. Self-similarity: BLEU of each of several sampled answers to one
prompt against the others; low where the samples differ.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from baselines import figures
from baselines.analysis import common, files
from baselines.analysis.common import Loaded
from baselines.answer_lines import answer_line
from baselines.evaluate.common import data_of
from baselines.evaluate.options import ItemOptions, ModelOptions, OutputOptions, Seed
from baselines.figures import Figure
from baselines.models import Model
from baselines.prompts import free_prompt, prompt_hash
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.cli.option_groups import option_groups
from polyfact_dataset.common.errors import DataError


def question_loss(model: Model, text: str) -> tuple[float, int, int]:
    """Summed negative log-probability (nats), predicted tokens, and UTF-8 bytes of a question.

    Without a BOS token the first token cannot be predicted; its bytes do not count either.
    """
    ids: list[int] = model.tokenizer(text)["input_ids"]
    if len(ids) < 2:
        raise DataError(f"question {text!r} has {len(ids)} tokens; perplexity needs at least 2")
    tokens = torch.tensor([ids], device=model.device)
    with torch.inference_mode():
        logits = model.network(input_ids=tokens, use_cache=False).logits[0, :-1].float()
    lost = torch.nn.functional.cross_entropy(logits, tokens[0, 1:].to(logits.device), reduction="sum")
    unseen = "" if ids[0] == model.tokenizer.bos_token_id else model.tokenizer.decode(ids[:1])
    return float(lost), len(ids) - 1, max(1, len(text.encode()) - len(unseen.encode()))


def sample_answers(model: Model, text: str, count: int, new_tokens: int, temperature: float) -> list[str]:
    """`count` sampled continuations of a prompt, each cut to its first line."""
    from transformers import GenerationConfig

    tokenizer = model.tokenizer
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    config = GenerationConfig(
        do_sample=True,
        temperature=temperature,
        top_k=0,
        max_new_tokens=new_tokens,
        num_return_sequences=count,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=pad,
    )
    ids = torch.tensor([tokenizer(text)["input_ids"]], device=model.device)
    sequences = model.network.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    texts = tokenizer.batch_decode(sequences[:, ids.shape[1] :], skip_special_tokens=True)
    return [answer_line(text) for text in texts]


def self_similarity(answers: Sequence[str], code: str) -> float:
    """Mean BLEU (0 to 1) of each answer against the others; equal answers give 1, also short and empty ones.

    sacreBLEU with n-grams no longer than the answer (effective order), by character where words are not spaced.
    Raises `DataError` for fewer than two answers.
    """
    from sacrebleu.metrics.bleu import BLEU

    if len(answers) < 2:
        raise DataError("self-similarity needs at least two answers to a prompt")
    spaced = language(code).spaced if code in known() else True
    bleu = BLEU(effective_order=True, tokenize="13a" if spaced else "char")
    scores = []
    for index, answer in enumerate(answers):
        others = [*answers[:index], *answers[index + 1 :]]
        scores.append(1.0 if answer in others else bleu.sentence_score(answer, others).score / 100)
    return float(np.mean(scores))


def draw(loaded: Sequence[Loaded]) -> list[Figure]:
    """Perplexity, bits per byte and self-similarity by language."""
    codes = loaded[0][0].languages
    titles = {"perplexity": "perplexity", "bits_per_byte": "bits per byte", "self_similarity": "self-similarity"}
    with figures.style():
        sheet, axes = figures.canvas(1, 3, 7, 2.2)
        for axis, (name, title) in zip(axes[:, 0], titles.items()):
            values = {result.label: [result.metrics[code][name] for code in codes] for result, _ in loaded}
            figures.grouped_bars(axis, codes, values, title)
        return [Figure("uncertainty", "Uncertainty of the model in each language.", sheet)]


def compare(loaded: Sequence[Loaded]) -> list[dict[str, Any]]:
    """Rows of model and language: facts, perplexity, bits per byte, self-similarity."""
    return [
        {"model": result.label, "language": code, **{name.replace("_", " "): value for name, value in part.items()}}
        for result, _ in loaded
        for code, part in result.metrics.items()
    ]


def measure(
    model: Model, questions: Sequence[str], code: str, count: int, new_tokens: int, temperature: float
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Metrics of one language, and per question (N, 3): loss, tokens, self-similarity."""
    rows, size = [], 0
    for text in questions:
        lost, tokens, length = question_loss(model, text)
        answers = sample_answers(model, free_prompt(code, text).text, count, new_tokens, temperature)
        rows.append((lost, tokens, self_similarity(answers, code)))
        size += length
    values = np.array(rows, np.float64)
    metrics = {
        "facts": len(values),
        "perplexity": math.exp(values[:, 0].sum() / values[:, 1].sum()),
        "bits_per_byte": values[:, 0].sum() / math.log(2) / size,
        "self_similarity": float(values[:, 2].mean()),
    }
    return metrics, values


@option_groups
def main(
    model: ModelOptions,
    target: OutputOptions,
    items: ItemOptions = ItemOptions(limit=100),
    answers: Annotated[int, typer.Option(min=2, help="Sampled answers per prompt.")] = 8,
    new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer in tokens.")] = 48,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of the sampling.")] = 1.0,
    seed: Seed = 42,
) -> None:
    """Measure perplexity and self-similarity by language."""
    files.prepare(target.output, target.overwrite)
    facts = items.load(seed)
    loaded = model.load()
    analysis = common.Analysis("uncertainty", target.output, model.name, draw)
    torch.manual_seed(seed)
    metrics, arrays = {}, {}
    for code in facts.languages:
        questions = [fact.items[code].question for fact in facts]
        metrics[code], arrays[code] = measure(loaded, questions, code, answers, new_tokens, temperature)
    inputs = data_of(facts).model_dump(mode="json")
    sampling = {"answers": answers, "new_tokens": new_tokens, "temperature": temperature, "seed": seed}
    settings = {**sampling, "prompt": prompt_hash("free", facts.languages)}
    analysis.finish(metrics, arrays, facts.languages, [loaded.identity], inputs, settings)


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
