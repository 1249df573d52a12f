"""The laboratory's evaluation, by the evaluators, and its tables: facts of all seeds together, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from baselines import metrics, resampling
from baselines.data import Fact, Rows
from baselines.evaluate import aligned, common, mcq, results
from baselines.evaluate.answers import Question, Task, answer_all
from baselines.evaluate.common import percent
from baselines.evaluate.tables import SIGNIFICANT, markdown
from baselines.lab.facts_taught import World
from baselines.metrics import Floats
from baselines.models import load_model
from baselines.prompts import free_prompt, item_prompt, prompt_hash

Facts = Literal["taught", "fresh"]
# What is measured: which facts, asked how. The first two generate, without options (`open`) and with options shown
# (`answer`, the prompt of GRPO); the others choose the most likely option.
GENERATED = ("open", "answer")
MEASURES: tuple[tuple[Facts, str], ...] = (
    *(("fresh", "paper"), ("fresh", "open"), ("fresh", "answer")),
    *(("taught", "paper"), ("taught", "answer"), ("taught", "letters")),
)
# model -> measure -> one (N, L) array per seed.
Correct = Mapping[str, Mapping[tuple[str, str], Sequence[Floats]]]


@dataclass(frozen=True)
class Reading:
    """One seed's learning: what a figure was before and after."""

    seed: int
    model: str
    figure: str
    before: float
    after: float


def evaluate(world: World, model: Path, folder: Path, label: str, new_tokens: int) -> dict[tuple[str, str], Floats]:
    """Measure -> whether each fact is right in each language, (N, L); results that are there are not made again."""
    correct: dict[tuple[str, str], Floats] = {}
    for facts, prompt in MEASURES:
        path = folder / f"{facts}-{prompt}.json"
        if not path.is_file():
            run = common.Run(path, load_model(str(model), dtype="float32"), label, world.seed, quiet=True)
            asked = world.taught if facts == "taught" else world.fresh
            if prompt in GENERATED:
                generate(run, world, asked, prompt == "answer", new_tokens)
            else:
                mcq.evaluate(run, asked, prompt)  # type: ignore[arg-type]
        codes = (*world.languages, *world.held_out)
        correct[facts, prompt] = aligned.read(path, label, "byte", codes).correct
    return correct


def generate(
    run: common.Run,
    world: World,
    facts: Rows[Fact],
    shown: bool,
    new_tokens: int,
    languages: Sequence[str] | None = None,
) -> None:
    """Greedy answers to the questions, with the options shown or without; the label or an alias is right."""
    accepted = world.accepted
    questions = [
        Question(
            fact.fact_id,
            fact.property_id,
            code,
            (item_prompt("choose", code, item) if shown else free_prompt(code, item.question)).text,
            {name: accepted[name][fact.object_id] for name in fact.items},
        )
        for fact in facts
        for code, item in fact.items.items()
        if languages is None or code in languages
    ]
    style: Any = "choose" if shown else "free"
    codes = tuple(languages or facts.languages)
    data = common.data_of(facts).model_copy(update={"languages": codes})
    prompt = results.Prompt(style=style, sha256=prompt_hash(style, codes))
    task = Task("open", questions, world.names, data, prompt, {"names": world.names.digest})
    answer_all(run, task, new_tokens)


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class Report:
    """The tables of a laboratory. Resampling is over facts, those of all seeds together."""

    languages: tuple[str, ...]
    held_out: tuple[str, ...]
    correct: Correct
    readings: Sequence[Reading]
    resamples: int = 5000

    def columns(self, codes: Sequence[str]) -> list[int]:
        """The columns of languages in the arrays."""
        return [(*self.languages, *self.held_out).index(code) for code in codes]

    def values(self, model: str, measure: tuple[str, str], codes: Sequence[str], consistent: bool = False) -> Floats:
        """(N,) per fact: the share of `codes` in which it is right, or whether it is right in all of them."""
        stacked = np.concatenate(self.correct[model][measure])[:, self.columns(codes)]
        return np.asarray(stacked.all(axis=1) if consistent else stacked.mean(axis=1), np.float64)

    def cell(self, model: str, measure: tuple[str, str], codes: Sequence[str], consistent: bool = False) -> str:
        """Mean, its interval, and a star where it differs from the base."""
        scores = self.values(model, measure, codes, consistent)
        low, high = resampling.interval(resampling.bootstrap(scores, self.resamples))
        base = next(iter(self.correct))
        star = ""
        if model != base:
            other = self.values(base, measure, codes, consistent)
            p = resampling.permutation_test(scores[:, None], other[:, None], self.resamples)[1]
            star = "*" if p < SIGNIFICANT else ""
        return f"{percent(float(scores.mean()))}{star} [{percent(low)}, {percent(high)}]"

    def _table(self, title: str, columns: Mapping[str, tuple[tuple[str, str], Sequence[str], bool]]) -> str:
        rows = [[model, *(self.cell(model, *column) for column in columns.values())] for model in self.correct]
        return markdown(title, ["Method", *columns], rows)

    def accuracy(self) -> str:
        """The layout of the paper's Table 1: high, low and held-out languages; options scored, and free answers."""
        groups = metrics.groups(self.languages)
        columns: dict[str, Any] = {}
        for code, name in (("high", "High"), ("low", "Low"), ("neither", "Neither")):
            if code in groups:
                columns[f"PolyFact {name}"] = (("fresh", "paper"), groups[code], False)
        columns["open, trained"] = (("fresh", "open"), self.languages, False)
        if self.held_out:
            columns["PolyFact held out"] = (("fresh", "paper"), self.held_out, False)
            columns["open, held out"] = (("fresh", "open"), self.held_out, False)
        title = "Accuracy on fresh facts in % [95 % interval] (layout of the paper's Table 1)"
        return self._table(title, columns)

    def consistency(self) -> str:
        """Facts that are right in all trained languages, by facts and prompt."""
        columns = {
            f"{facts}, {prompt}": ((facts, prompt), self.languages, True)
            for facts, prompt in MEASURES
            if prompt != "open"
        }
        title = f"Total consistency over {len(self.languages)} trained languages, in % [95 % interval]"
        return self._table(title, columns)

    def learning(self) -> str:
        """What training changed, seed by seed."""
        rows = [
            [r.figure, r.model, str(r.seed), f"{r.before:.4f}", f"{r.after:.4f}", f"{r.after - r.before:+.4f}"]
            for r in self.readings
        ]
        return markdown("Learning, by seed", ["Figure", "Model", "Seed", "before", "after", "Δ"], rows)

    def text(self) -> str:
        """All tables."""
        note = "`*`: differs from the base, p < 0.05 in a paired permutation test over facts, uncorrected."
        return "\n\n".join((self.accuracy(), self.consistency(), note, self.learning()))


def readings_of(seed: int, correct: Mapping[str, Mapping[tuple[str, str], Floats]], languages: int) -> list[Reading]:
    """Total consistency of each trained model against the base on taught facts, asked as its method trains."""
    prompts = {"SFT": "letters", "GRPO": "answer"}
    readings = []
    for model, measures in correct.items():
        prompt = prompts.get(model.rpartition(" ")[2])
        if prompt:
            before, after = (
                float(array["taught", prompt][:, :languages].all(axis=1).mean())
                for array in (correct["Base"], measures)
            )
            readings.append(Reading(seed, model, f"total consistency ({prompt})", before, after))
    return readings
