"""The tables of a comparison in Markdown: the paper's layouts and every measure, with intervals and significance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from baselines import metrics, resampling
from baselines.evaluate.aligned import AlignedScores
from baselines.evaluate.common import percent
from baselines.evaluate.measures import Measure, common_measures, language_means
from baselines.evaluate.results import GENERATED, MODES
from baselines.metrics import Floats

# Benchmark -> label -> scores; the first label of each is the base.
Runs = dict[str, AlignedScores]
Benchmarks = dict[str, Runs]
TITLES = {
    "mcq": "PolyFact",
    "open": "PolyFact, open",
    "klar": "KLAR",
    "klar_ranked": "KLAR, ranked",
    "bmlama": "BMLAMA-53",
    "global_mmlu_full": "Global-MMLU",
    "global_mmlu_lite": "Global-MMLU-Lite",
}
GROUPS = {"high": "High", "low": "Low", "neither": "Neither", "trained": "Trained", "held_out": "OOD"}
SIGNIFICANT = 0.05


@dataclass
class Uncertainty:
    """Intervals and tests. Weights of the resamples are drawn once per number of facts, and terms resampled once."""

    resamples: int = 1000
    seed: int = 42
    _weights: dict[int, Floats] = field(default_factory=dict)
    # With the scores, so that no other object takes their id while the cache lives.
    _samples: dict[tuple[int, str], tuple[AlignedScores, Floats]] = field(default_factory=dict)

    def resample(self, rows: Floats) -> Floats:
        """(N, K) numbers per fact -> (resamples, K): their means over resampled facts."""
        if len(rows) not in self._weights:
            self._weights[len(rows)] = resampling.bootstrap_weights(len(rows), self.resamples, self.seed) / len(rows)
        return np.asarray(self._weights[len(rows)] @ rows, np.float64)

    def samples(self, scores: AlignedScores, measure: Measure) -> Floats:
        """(resamples,): a measure of a result over resampled facts."""
        key = (id(scores), measure.name)
        if key not in self._samples:
            self._samples[key] = (scores, measure.value(self.resample(measure.rows(scores))))
        return self._samples[key][1]

    def languages(self, scores: AlignedScores) -> Floats:
        """(resamples, L): accuracies over resampled facts."""
        key = (id(scores), "languages")
        if key not in self._samples:
            present = ~np.isnan(scores.correct)
            terms = np.column_stack([np.where(present, scores.correct, 0), present])
            self._samples[key] = (scores, language_means(self.resample(terms)))
        return self._samples[key][1]

    def interval(self, scores: AlignedScores, codes: Sequence[str]) -> tuple[float, float]:
        """Of the mean accuracy over languages."""
        return resampling.interval(self.languages(scores)[:, scores.columns(codes)].mean(axis=1))

    def difference(
        self, scores: AlignedScores, base: AlignedScores, codes: Sequence[str]
    ) -> tuple[float, float, float, float]:
        """(difference of mean accuracies, its interval, p); facts are resampled together."""
        columns = scores.columns(codes)
        gap = (self.languages(scores) - self.languages(base))[:, columns].mean(axis=1)
        observed, p = resampling.permutation_test(
            scores.correct[:, columns], base.correct[:, columns], self.resamples, self.seed
        )
        return (observed, *resampling.interval(gap), p)


def markdown(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A titled table."""
    lines = [f"### {title}", "", "| " + " | ".join(header) + " |", "|---" + "|--:" * (len(header) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _star(scores: AlignedScores, base: AlignedScores, codes: Sequence[str], unsure: Uncertainty) -> str:
    return "" if scores is base else "*" if unsure.difference(scores, base, codes)[3] < SIGNIFICANT else ""


def overview(benchmarks: Benchmarks, unsure: Uncertainty) -> str:
    """Table 1: one row per model, accuracy of the groups of each benchmark with 95 % intervals."""
    columns = [
        (name, group, codes)
        for name, runs in benchmarks.items()
        for group, codes in next(iter(runs.values())).groups.items()
    ]
    labels = list(dict.fromkeys(label for runs in benchmarks.values() for label in runs))
    rows = []
    for label in labels:
        cells = [label]
        for name, _, codes in columns:
            scores = benchmarks[name].get(label)
            if scores is None:
                cells.append("–")
                continue
            low, high = unsure.interval(scores, codes)
            mark = _star(scores, next(iter(benchmarks[name].values())), codes, unsure)
            cells.append(f"{percent(scores.accuracy(codes))}{mark} [{percent(low)}, {percent(high)}]")
        rows.append(cells)
    header = ["Method", *(f"{TITLES[name]} {GROUPS[group]}" for name, group, _ in columns)]
    return markdown("Accuracy in % [95 % interval] (layout of the paper's Table 1)", header, rows)


def by_language(name: str, runs: Runs, unsure: Uncertainty) -> str:
    """Tables 9, 10 and 11: accuracy per language, and the mean of each group."""
    base = next(iter(runs.values()))
    layout = {"mcq": " (Table 9)", "klar": " (Table 10)", "global_mmlu_full": " (Table 11)"}.get(name, "")
    columns = {code: [code] for code in base.languages}
    columns |= {GROUPS[group]: codes for group, codes in base.groups.items()} | {"All": base.languages}
    rows = []
    for label, scores in runs.items():
        cells = [label]
        for codes in columns.values():
            low, high = unsure.interval(scores, codes)
            mark = _star(scores, base, codes, unsure)
            cells.append(f"{percent(scores.accuracy(codes))}{mark} ± {percent((high - low) / 2)}")
        rows.append(cells)
    counts = (~np.isnan(base.correct)).sum(axis=0).tolist()
    if len(set(counts)) > 1:
        rows.append(["facts", *(f"{count:,}" for count in counts), *["–"] * (len(columns) - len(counts))])
    return markdown(f"{TITLES[name]}: accuracy in %{layout}", ["Model", *columns], rows)


def measures(name: str, runs: Runs, unsure: Uncertainty) -> str:
    """Every measure of every model with its interval, and its difference from the base over paired resamples."""
    base, *others = runs.values()
    rows = []
    for measure in common_measures(runs.values()):
        cells = [_title(measure, base)]
        for scores in runs.values():
            cells.append(
                _with_interval(measure, measure.of(scores), unsure.samples(scores, measure))
                if measure.applies(scores)
                else "–"
            )
        for scores in others:
            if not (measure.applies(scores) and measure.applies(base)):
                cells.append("–")
                continue
            gap = unsure.samples(scores, measure) - unsure.samples(base, measure)
            cells.append(_with_interval(measure, measure.of(scores) - measure.of(base), gap, sign=True))
        rows.append(cells)
    gen = [metrics.gen_score(metrics.accuracy(s.correct), metrics.accuracy(base.correct)) for s in runs.values()]
    rows.append(["Gen score", *map(percent, gen), *["–"] * len(others)])
    header = ["Measure", *runs, *(f"{scores.label} - {base.label}" for scores in others)]
    languages = len(base.languages)
    title = f"{TITLES[name]}: measures over {languages} languages [95 % interval]; shares in %"
    return markdown(title, header, rows)


def _with_interval(measure: Measure, value: float, samples: Floats, sign: bool = False) -> str:
    low, high = resampling.interval(samples)
    return f"{measure.shown(value, sign)} [{measure.shown(low, sign)}, {measure.shown(high, sign)}]"


def _title(measure: Measure, scores: AlignedScores) -> str:
    """The title, for RankC with its floor and its value for random rankings."""
    if measure.name != "rankc" or scores.scores is None or not len(scores.complete):
        return measure.title
    counts = metrics.option_counts(scores.complete_scores)
    floor, chance = (
        float(np.mean([limit(int(n)) for n in counts])) for limit in (metrics.rankc_floor, metrics.rankc_chance)
    )
    return f"RankC (floor {floor:.4f}, chance {chance:.4f})"


def differences(benchmarks: Benchmarks, unsure: Uncertainty) -> str | None:
    """Each model against the base: difference of group accuracies, its interval, and p."""
    rows = []
    for name, runs in benchmarks.items():
        base, *others = runs.values()
        for scores in others:
            for group, codes in base.groups.items():
                gap, low, high, p = unsure.difference(scores, base, codes)
                interval = f"[{100 * low:+.2f}, {100 * high:+.2f}]"
                rows.append(
                    [scores.label, f"{TITLES[name]} {GROUPS[group]}", f"{100 * gap:+.2f}", interval, f"{p:.4f}"]
                )
    if not rows:
        return None
    return markdown("Difference from the first model, in points", ["Model", "Measure", "Δ", "95 % interval", "p"], rows)


def generations(name: str, runs: Runs) -> str:
    """Exact rates and failure modes of generated answers, by kind of noun and contamination where known."""
    rows = []
    for label, scores in runs.items():
        assert scores.result is not None
        stored = scores.result.metrics
        parts = {**stored["groups"], **stored["nouns"]}
        parts |= {key: part["all"] for key, part in stored.get("contamination", {}).items()}
        for part, rates in parts.items():
            if rates:
                cells = [percent(rates[key]) for key in ("lenient", "exact", "folded")]
                cells += [percent(rates["modes"][mode]) for mode in MODES[1:]]
                rows.append([label, GROUPS.get(part, part), f"{rates['items']:,}", *cells])
    modes = (mode.replace("_", " ") for mode in MODES[1:])
    header = ["Model", "part", "items", "lenient", "exact", "folded", *modes]
    return markdown(f"{TITLES[name]}: matches and failure modes in %", header, rows)


def speeds(benchmarks: Benchmarks) -> str:
    """Throughput and latency of each run."""
    rows = []
    for name, runs in benchmarks.items():
        for label, scores in runs.items():
            assert scores.result is not None
            speed, hardware = scores.result.speed, scores.result.hardware
            alone = "–" if speed.latency_median_s is None else f"{1000 * speed.latency_median_s:,.1f}"
            threads = f"{hardware.get('threads', 1)} CPU thread{'' if hardware.get('threads', 1) == 1 else 's'}"
            where = ", ".join(hardware.get("accelerators", [])) or threads
            rows.append([label, TITLES[name], f"{speed.items_per_s:,.1f}", alone, where])
    return markdown("Speed", ["Model", "Benchmark", "items/s", "one item alone, ms", "on"], rows)


def all_tables(benchmarks: Benchmarks, unsure: Uncertainty, whole: bool = True) -> list[str]:
    """Every table that the results allow, in order. `whole`: with those that are stored or not about scores."""
    tables: list[str | None] = [overview(benchmarks, unsure), differences(benchmarks, unsure)]
    for name, runs in benchmarks.items():
        tables.append(by_language(name, runs, unsure))
        tables.append(measures(name, runs, unsure))
        if name in GENERATED and whole:
            tables.append(generations(name, runs))
    return [table for table in (*tables, speeds(benchmarks) if whole else None) if table]
