"""Periodic evaluation of a model in training: the evaluators' own metrics on the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from baselines import lockstep
from baselines.data import Fact, Rows, load_answers, load_open
from baselines.evaluate import common, mcq, results
from baselines.evaluate.answers import Task, answer_all
from baselines.evaluate.choices import Choices
from baselines.evaluate.matching import Names
from baselines.evaluate.open import questions_of
from baselines.evaluate.summary import choice_metrics
from baselines.models import Model, identify, processes
from baselines.prompts import prompt_hash
from baselines.training.run import Run


def evaluate_run(run: Run, network: Any, step: int) -> dict[str, float]:
    """All figures of a step: options scored in each prompt style, and generated answers where they are configured.

    Every process returns the same figures.
    """
    return evaluate_choices(run, network, step) | evaluate_answers(run, network, step)


def evaluate_choices(run: Run, network: Any, step: int) -> dict[str, float]:
    """Scores the options of the validation facts with each prompt style.

    The results and their scores are in `evaluations/step-000200-paper.json`, for `baselines.evaluate.compare`.
    Figures are of the languages trained on; those of held-out languages have `held_out` in their name.
    """
    held_out = run.config.dataset.held_out
    facts = run.validation()
    figures: dict[str, float] = {}
    for style in run.config.evaluation.prompts:
        path = run.folder / "evaluations" / f"step-{step:06d}-{style}.json"
        if not path.is_file():
            _score(run, network, step, facts, style, path)
        _together()
        figures |= {f"{style}_{name}": value for name, value in summary(path, run.languages).items()}
        if held_out:
            figures |= {f"{style}_held_out_{name}": value for name, value in summary(path, held_out).items()}
    return figures


def evaluate_answers(run: Run, network: Any, step: int) -> dict[str, float]:
    """Greedy answers to questions without options: shares of lenient and exact matches, in `step-000200-open.json`.

    No figures unless `evaluation.open_facts` is set.
    """
    settings, data = run.config.evaluation, run.config.dataset
    if not settings.open_facts:
        return {}
    path = run.folder / "evaluations" / f"step-{step:06d}-open.json"
    codes = (*run.languages, *data.held_out)
    if not path.is_file():
        facts = load_open(data.source, settings.open_config, "validation", codes, data.revision)
        facts = facts.sample(settings.open_facts, run.config.seed)
        names = Names(load_answers(data.source, codes, data.revision))
        prompt = results.Prompt(style="free", sha256=prompt_hash("free", codes))
        task = Task("open", questions_of(facts), names, common.data_of(facts), prompt, {"names": names.digest})
        answer_all(_evaluation(run, network, step, path), task, settings.open_new_tokens, settings.batch_tokens)
    _together()
    by_language = results.load_result(path).metrics["languages"]
    figures: dict[str, float] = {}
    for prefix, chosen in (("open_", run.languages), ("open_held_out_", data.held_out)):
        for name in ("lenient", "exact") if chosen else ():
            figures[prefix + name] = sum(float(by_language[code][name]) for code in chosen) / len(chosen)
    return figures


def _together() -> None:
    """Waits for the main process, which measures latencies with further passes, and takes part in them."""
    lockstep.finish()
    processes().wait_for_everyone()


def _evaluation(run: Run, network: Any, step: int, path: Path) -> common.Run:
    """An evaluation of the model as it is after `step`."""
    checkpoint = run.folder / f"checkpoint-{step}"
    dtype = run.config.model.dtype
    # Before the first step it is the base model: a fresh adapter has no effect.
    identity = identify(str(checkpoint), None, network.config, run.tokenizer, dtype) if step else run.identity
    autocast = run.config.optimisation.precision == "bf16"
    model = Model(network, run.tokenizer, run_device(network), identity, autocast)
    return common.Run(path, model, label=f"{run.folder.name} step {step}", seed=run.config.seed, quiet=True)


def _score(run: Run, network: Any, step: int, facts: Rows[Fact], style: Any, path: Path) -> None:
    evaluation = _evaluation(run, network, step, path)
    mcq.evaluate(evaluation, facts, style, batch_tokens=run.config.evaluation.batch_tokens)


def run_device(network: Any) -> Any:
    """The device for a model's inputs."""
    return next(network.parameters()).device


def summary(path: Path, languages: Sequence[str]) -> dict[str, float]:
    """Accuracy by language, its mean, total consistency, agreement and RankC by byte-normalised scores.

    Accuracies by the sum of log-probabilities have `sum` in their name: byte normalisation favours long names, which
    hides part of what a model has learned.
    """
    result = results.load_result(path)
    scores = results.load_scores(path, result)
    chosen = scores.filter(pc.is_in(scores["language"], value_set=pc.cast(list(languages), scores["language"].type)))
    choices = Choices.of(chosen, list(languages))
    byte, summed = choice_metrics(choices, "byte"), choice_metrics(choices, "sum")
    shown = ("mean_accuracy", "total_consistency")
    figures: dict[str, float] = {}
    for prefix, metrics, names in (("", byte, (*shown, "agreement", "rankc")), ("sum_", summed, shown)):
        # A single language has no consistency.
        figures |= {prefix + name: float(metrics[name]) for name in names if metrics.get(name) is not None}
        figures |= {f"{prefix}accuracy_{code}": float(value) for code, value in metrics["accuracy"].items()}
    return figures
