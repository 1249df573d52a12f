"""Periodic evaluation of a model in training: the evaluators' own multiple-choice metrics on the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from baselines.data import Fact, Rows
from baselines.evaluate import common, mcq, results
from baselines.evaluate.choices import Choices
from baselines.evaluate.summary import choice_metrics
from baselines.models import Model, identify, processes

if TYPE_CHECKING:
    from baselines.training.run import Run


def evaluate_choices(run: Run, network: Any, step: int) -> dict[str, float]:
    """Scores the validation facts with each prompt style; every process gets the same figures.

    The results lie in `evaluations/step-000200-paper.json` with their scores, for `baselines.evaluate.compare`.
    Figures are of the languages trained on; those of held-out languages have `held_out` in their name.
    """
    settings = run.config.evaluation
    held_out = run.config.dataset.held_out
    facts = run.validation()
    found: dict[str, float] = {}
    for style in settings.prompts:
        path = run.folder / "evaluations" / f"step-{step:06d}-{style}.json"
        if not path.is_file():
            _score(run, network, step, facts, style, path)
        processes().wait_for_everyone()
        figures = summary(path, run.languages)
        found |= {f"{style}_{name}": value for name, value in figures.items()}
        if held_out:
            figures = summary(path, held_out)
            found |= {f"{style}_held_out_{name}": value for name, value in figures.items()}
    return found


def _score(run: Run, network: Any, step: int, facts: Rows[Fact], style: Any, path: Path) -> None:
    checkpoint = run.folder / f"checkpoint-{step}"
    dtype = run.config.model.dtype
    # What is scored before the first step is the model itself: a fresh adapter changes nothing.
    identity = identify(str(checkpoint), None, network.config, run.tokenizer, dtype) if step else run.identity
    autocast = run.config.optimisation.precision == "bf16"
    model = Model(network, run.tokenizer, run_device(network), identity, autocast)
    evaluation = common.Run(path, model, label=f"{run.folder.name} step {step}", seed=run.config.seed, quiet=True)
    mcq.evaluate(evaluation, facts, style, batch_tokens=run.config.evaluation.batch_tokens)


def run_device(network: Any) -> Any:
    """Where a model's inputs belong."""
    return next(network.parameters()).device


def summary(path: Path, languages: Sequence[str]) -> dict[str, float]:
    """Accuracy by language, its mean, total consistency, agreement and RankC by byte-normalised scores."""
    result = results.load_result(path)
    scores = results.load_scores(path, result)
    chosen = scores.filter(pc.is_in(scores["language"], value_set=pc.cast(list(languages), scores["language"].type)))
    figures = choice_metrics(Choices.of(chosen, list(languages)), "byte")
    names = ("mean_accuracy", "total_consistency", "agreement", "rankc")
    found = {name: float(figures[name]) for name in names if figures.get(name) is not None}
    return found | {f"accuracy_{code}": float(value) for code, value in figures["accuracy"].items()}
