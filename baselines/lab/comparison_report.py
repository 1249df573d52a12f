"""The tables of a comparison of methods: means over facts with intervals, and paired tests against the warm start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from baselines import metrics, resampling
from baselines.evaluate import results
from baselines.evaluate.choices import Choices
from baselines.evaluate.common import percent
from baselines.evaluate.tables import SIGNIFICANT, markdown
from baselines.metrics import Floats
from polyfact_dataset.common.files import read_json

# What the methods start from, and are tested against.
START = "Warm"


@dataclass(frozen=True)
class Scored:
    """The options of one model, scored: (N, L, 4) log-probabilities by normalisation, and the gold (N,)."""

    choices: Choices

    @staticmethod
    def read(path: Path, languages: Sequence[str]) -> Scored:
        result = results.load_result(path)
        return Scored(Choices.of(results.load_scores(path, result), list(languages)))

    def correct(self, normalisation: str) -> Floats:
        """(N, L): 1 where the most likely option is the gold."""
        return np.asarray(self.choices.correct(normalisation), np.float64)

    def kappa(self) -> float:
        """Mean over pairs of languages of kappa_p: agreement beyond what equal accuracies explain (2502.04313)."""
        spread = metrics.option_distribution(self.choices.scores["sum"])
        return float(metrics.kappa_p_value(metrics.kappa_p_terms(spread, self.choices.gold).mean(axis=0)))


def transfer(correct: Floats, source: int) -> float | None:
    """P(right in another language | right in the source language), over facts; None if none is right there."""
    others = np.delete(correct, source, axis=1)
    known = correct[:, source] == 1
    return float(others[known].mean()) if known.any() else None


@dataclass(frozen=True)
class ComparisonReport:
    """Tables over (model -> kind -> result file); `records` are the `run.json` files of the trained models."""

    trained: tuple[str, ...]
    held_out: tuple[str, ...]
    floor: tuple[str, ...]
    results: Mapping[str, Mapping[str, Path]]
    records: Mapping[str, Path]
    # On methods that could not be trained.
    notes: Sequence[str] = ()
    resamples: int = 2000

    def _scored(self, model: str, codes: Sequence[str]) -> Scored:
        return Scored.read(self.results[model]["paper"], codes)

    def _cell(self, scores: Floats, start: Floats | None) -> str:
        """Mean of (N,) values with its interval, and a star where it differs from the start's."""
        low, high = resampling.interval(resampling.bootstrap(scores, self.resamples))
        star = ""
        if start is not None:
            p = resampling.permutation_test(scores[:, None], start[:, None], self.resamples)[1]
            star = "*" if p < SIGNIFICANT else ""
        return f"{percent(float(scores.mean()))}{star} [{percent(low)}, {percent(high)}]"

    def _table(self, title: str, columns: Mapping[str, Any]) -> str:
        """`columns`: name -> model -> (N,) values per fact."""
        rows = []
        for model in self.results:
            cells = []
            for values in columns.values():
                start = values(START) if model != START and START in self.results else None
                cells.append(self._cell(values(model), start))
            rows.append([model, *cells])
        return markdown(title, ["Method", *columns], rows)

    def accuracy(self) -> str:
        """Options scored in the prompt `paper`."""
        groups = {"trained": self.trained, "held out": self.held_out, "floor": self.floor}
        columns = {
            f"{name}, {normalisation}": lambda model, codes=codes, how=normalisation: np.asarray(
                self._scored(model, codes).correct(how).mean(axis=1), np.float64
            )
            for name, codes in groups.items()
            if codes
            for normalisation in ("sum", "byte")
        }
        return self._table("Accuracy of scored options, in % [95 % interval over facts]", columns)

    def consistency(self) -> str:
        """Agreement across the trained languages."""
        rows = []
        for model in self.results:
            scored = self._scored(model, self.trained)
            correct = scored.correct("sum")
            total = self._cell(np.asarray(correct.all(axis=1), np.float64), None)
            spread = transfer(correct, self.trained.index("en"))
            rows.append([model, total, f"{scored.kappa():.3f}", percent(spread)])
        header = ["Method", "total consistency", "kappa_p", "right elsewhere, given right in English"]
        return markdown(f"Across {', '.join(self.trained)}, by sum", header, rows)

    def generated(self) -> str:
        """Greedy answers: exact matches with any name of the answer."""
        columns: dict[str, Any] = {}
        for kind, name in (("open", "open question"), ("choose", "options shown")):
            for group, codes in (("trained", self.trained), ("held out", self.held_out)):
                columns[f"{name}, {group}"] = lambda model, kind=kind, codes=codes: answers(
                    self.results[model][kind], codes
                )
        return self._table("Generated answers, exact matches in % [95 % interval over facts]", columns)

    def cost(self) -> str:
        """What each method spent."""
        rows = []
        for model, path in self.records.items():
            if path.is_file():
                cost = read_json(path).get("cost", {})
                spent = (cost.get("steps", 0), cost.get("input_tokens", 0), round(cost.get("work_s", 0)))
                rows.append([model, *(f"{value:,}" for value in spent)])
        return markdown("Cost of training, sampling counted", ["Method", "steps", "tokens", "CPU seconds"], rows)

    def text(self) -> str:
        """All tables."""
        note = f"`*`: differs from {START}, p < 0.05 in a paired permutation test over facts, uncorrected."
        return "\n\n".join((self.accuracy(), self.consistency(), self.generated(), note, self.cost(), *self.notes))


def answers(path: Path, codes: Sequence[str]) -> Floats:
    """(N,) per fact: the share of languages whose generated answer matches exactly."""
    table = results.load_scores(path, results.load_result(path))
    by_fact: dict[str, list[float]] = {}
    for row in table.select(["fact_id", "language", "exact"]).to_pylist():
        if row["language"] in codes:
            by_fact.setdefault(row["fact_id"], []).append(float(row["exact"]))
    return np.array([np.mean(by_fact[fact_id]) for fact_id in sorted(by_fact)], np.float64)
