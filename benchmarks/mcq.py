"""Multiple-choice items per second against lm-evaluation-harness: same model, same machine, same items, same process.

    OMP_NUM_THREADS=1 python benchmarks/mcq.py --dataset build/release --facts 60 --rounds 3

Both start from texts (tokenisation counts) and end with a log-likelihood per option, in float32. lm_eval gets the
best of several batch sizes, found on a part of the items before. Runs alternate; the ratio is the median over rounds.
"""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from baselines import tiny
from baselines.data import load
from baselines.evaluate.mcq import requests_of
from baselines.models import Model, load_model

BATCH_SIZES = (8, 16, 32, 64)


def ours(model: Model, requests: list[Any]) -> list[float]:
    """Log-likelihoods of all options in order, by `baselines.evaluate.scoring`."""
    from baselines.evaluate.scoring import Scorer, encode

    encoding = encode(model.tokenizer, requests, model.max_tokens)
    scorer = Scorer(model)
    scores = scorer.score(scorer.rows(encoding.paths), [request.name for request in requests])
    return [one.logprob for one in sorted(scores, key=lambda one: (one.path.index, one.path.number))]


def theirs(model: Model, requests: list[Any], batch_size: int) -> list[float]:
    """The same by lm_eval's Transformers backend."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    lm = HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=batch_size)
    pairs = [(request.prompt, text) for request in requests for text in request.continuations]
    instances = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    return [value for value, _ in lm.loglikelihood(instances, disable_tqdm=True)]


def timed(call: Any, *arguments: Any) -> tuple[float, list[float]]:
    start = time.perf_counter()
    values = call(*arguments)
    return time.perf_counter() - start, values


def compare(model: Model, requests: list[Any], rounds: int) -> tuple[int, float, float, float, float]:
    """(best batch size of lm_eval, items/s of lm_eval, of ours, median ratio, largest difference)."""
    pilot = requests[:: max(1, len(requests) // 60)]
    ours(model, pilot)  # warms up
    best = min(BATCH_SIZES, key=lambda size: timed(theirs, model, pilot, size)[0])
    slow, fast, gap = [], [], 0.0
    for number in range(rounds):
        calls = [(slow, theirs, (model, requests, best)), (fast, ours, (model, requests))]
        values = []
        for seconds, call, arguments in calls if number % 2 == 0 else calls[::-1]:
            taken, logprobs = timed(call, *arguments)
            seconds.append(taken)
            values.append(logprobs)
        gap = max(gap, float(np.abs(np.subtract(*values)).max()))
    ratio = statistics.median(a / b for a, b in zip(slow, fast))
    rates = [len(requests) / statistics.median(seconds) for seconds in (slow, fast)]
    return best, *rates, ratio, gap  # type: ignore[return-value]


def main(
    dataset: Annotated[str, typer.Option(help="Release folder or Hub id.")],
    model: Annotated[list[str] | None, typer.Option(help="Models to use instead of tiny ones.")] = None,
    facts: Annotated[int, typer.Option(min=1)] = 60,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    hidden: Annotated[int, typer.Option(help="Width of the tiny models.")] = 256,
    layers: int = 4,
    vocabulary: int = 2048,
    device: Annotated[str | None, typer.Option(help="Such as cuda:0.")] = None,
) -> None:
    """Print the table of benchmarks/README.md."""
    logging.disable(logging.WARNING)
    chosen = load(dataset, "clean", "test").sample(facts)
    with tempfile.TemporaryDirectory() as folder:
        names = list(model or ())
        for family in () if names else ("qwen2", "olmo2"):
            lines = tiny.texts(load(dataset, "parallel", "train").sample(400))
            names.append(str(tiny.make(family, Path(folder) / f"tiny-{family}", lines, vocabulary, hidden, layers)))  # type: ignore[arg-type]
        print(
            "| model | prompt | items | lm_eval, batch | lm_eval items/s | ours items/s | ratio | largest difference |"
        )
        print("|---|---|--:|--:|--:|--:|--:|--:|")
        for name in names:
            loaded = load_model(name, dtype="float32", device=device)
            for style in ("paper", "plain", "letters"):
                requests = requests_of(chosen, style)  # type: ignore[arg-type]
                best, slow, fast, ratio, gap = compare(loaded, requests, rounds)
                cells = (
                    Path(name).name,
                    style,
                    len(requests),
                    best,
                    f"{slow:.1f}",
                    f"{fast:.1f}",
                    f"{ratio:.2f}",
                    f"{gap:.1e}",
                )
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
