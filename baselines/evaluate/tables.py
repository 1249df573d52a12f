"""The paper's tables in Markdown, with intervals and significance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from baselines import metrics
from baselines.evaluate.common import percent
from baselines.evaluate.results import MODES
from baselines.evaluate.series import Series
from baselines.metrics import Floats

Found = dict[str, dict[str, Series]]
TITLES = {
    "mcq": "PolyFact",
    "open": "PolyFact, open",
    "klar": "KLAR",
    "global_mmlu_full": "Global-MMLU",
    "global_mmlu_lite": "Global-MMLU-Lite",
}
GROUPS = {"high": "High", "low": "Low", "trained": "Trained", "held_out": "OOD"}
SIGNIFICANT = 0.05


@dataclass
class Uncertainty:
    """Intervals and tests, each result resampled once."""

    resamples: int = 5000
    seed: int = 42
    _samples: dict[int, Floats] = field(default_factory=dict)

    def samples(self, series: Series) -> Floats:
        """Resampled accuracies of a result, (resamples, L)."""
        key = id(series)
        if key not in self._samples:
            self._samples[key] = metrics.bootstrap(series.correct, self.resamples, self.seed)
        return self._samples[key]

    def interval(self, series: Series, codes: Sequence[str]) -> tuple[float, float]:
        """Of the mean accuracy over languages."""
        return metrics.interval(self.samples(series)[:, series.columns(codes)].mean(axis=1))

    def difference(self, series: Series, base: Series, codes: Sequence[str]) -> tuple[float, float, float, float]:
        """(difference of mean accuracies, its interval, p); facts are resampled together."""
        columns = series.columns(codes)
        gap = (self.samples(series) - self.samples(base))[:, columns].mean(axis=1)
        observed, p = metrics.permutation_test(
            series.correct[:, columns], base.correct[:, columns], self.resamples, self.seed
        )
        return (observed, *metrics.interval(gap), p)


def markdown(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A titled table."""
    lines = [f"### {title}", "", "| " + " | ".join(header) + " |", "|---" + "|--:" * (len(header) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _star(series: Series, base: Series, codes: Sequence[str], unsure: Uncertainty) -> str:
    return "" if series is base else "*" if unsure.difference(series, base, codes)[3] < SIGNIFICANT else ""


def overview(found: Found, unsure: Uncertainty) -> str:
    """Table 1: one row per model, accuracy of the groups of each benchmark with 95 % intervals."""
    columns = [
        (name, group, codes) for name, own in found.items() for group, codes in next(iter(own.values())).groups.items()
    ]
    labels = list(dict.fromkeys(label for own in found.values() for label in own))
    rows = []
    for label in labels:
        cells = [label]
        for name, _, codes in columns:
            series = found[name].get(label)
            if series is None:
                cells.append("–")
                continue
            low, high = unsure.interval(series, codes)
            mark = _star(series, next(iter(found[name].values())), codes, unsure)
            cells.append(f"{percent(series.accuracy(codes))}{mark} [{percent(low)}, {percent(high)}]")
        rows.append(cells)
    header = ["Method", *(f"{TITLES[name]} {GROUPS[group]}" for name, group, _ in columns)]
    return markdown("Accuracy in % [95 % interval] (layout of the paper's Table 1)", header, rows)


def by_language(name: str, own: dict[str, Series], unsure: Uncertainty) -> str:
    """Tables 9, 10 and 11: accuracy per language, and the mean of each group."""
    base = next(iter(own.values()))
    layout = {"mcq": " (Table 9)", "klar": " (Table 10)", "global_mmlu_full": " (Table 11)"}.get(name, "")
    columns = {code: [code] for code in base.languages}
    columns |= {GROUPS[group]: codes for group, codes in base.groups.items()} | {"All": base.languages}
    rows = []
    for label, series in own.items():
        cells = [label]
        for codes in columns.values():
            low, high = unsure.interval(series, codes)
            mark = _star(series, base, codes, unsure)
            cells.append(f"{percent(series.accuracy(codes))}{mark} ± {percent((high - low) / 2)}")
        rows.append(cells)
    return markdown(f"{TITLES[name]}: accuracy in %{layout}", ["Model", *columns], rows)


def consistency(name: str, own: dict[str, Series], unsure: Uncertainty) -> str | None:
    """Total consistency, agreement and RankC over pairs of languages, calibration, and Gen against the base."""
    base = next(iter(own.values()))
    if not base.consistency():
        return None
    rows = []
    for label, series in own.items():
        cells = [label]
        for measure, values in series.consistency().items():
            low, high = metrics.interval(metrics.bootstrap(values, unsure.resamples, unsure.seed))
            mean = float(values.mean())
            told = percent if measure != "rankc" else lambda value: f"{value:.4f}"
            cells.append(f"{told(mean)} [{told(low)}, {told(high)}]")
        assert series.choices is not None  # consistency() is empty without
        spread = metrics.option_distribution(series.choices.scores[series.normalisation])
        there = ~np.isnan(series.correct)
        cells.append(percent(metrics.calibration(spread.max(axis=2)[there], series.correct[there])[0]))
        gen = metrics.gen_score(metrics.accuracy(series.correct), metrics.accuracy(base.correct))
        rows.append([*cells, percent(gen)])
    options = base.choices.scores[base.normalisation].shape[2] if base.choices else 0
    limits = f"floor {metrics.rankc_floor(options):.4f}, chance {metrics.rankc_chance(options):.4f}"
    header = ["Model", "consistent in all", "agreement", f"RankC ({limits})", "ECE", "Gen"]
    return markdown(f"{TITLES[name]}: consistency over {len(base.languages)} languages, in %", header, rows)


def differences(found: Found, unsure: Uncertainty) -> str | None:
    """Each model against the base: difference of group accuracies, its interval, and p."""
    rows = []
    for name, own in found.items():
        base, *others = own.values()
        for series in others:
            for group, codes in base.groups.items():
                gap, low, high, p = unsure.difference(series, base, codes)
                interval = f"[{100 * low:+.2f}, {100 * high:+.2f}]"
                rows.append(
                    [series.label, f"{TITLES[name]} {GROUPS[group]}", f"{100 * gap:+.2f}", interval, f"{p:.4f}"]
                )
    if not rows:
        return None
    return markdown("Difference from the first model, in points", ["Model", "Measure", "Δ", "95 % interval", "p"], rows)


def generations(name: str, own: dict[str, Series]) -> str:
    """Exact rates and failure modes of generated answers, by kind of noun and contamination where known."""
    rows = []
    for label, series in own.items():
        found = series.result.metrics
        parts = {**found["groups"], **found["nouns"]}
        parts |= {key: part["all"] for key, part in found.get("contamination", {}).items()}
        for part, rates in parts.items():
            if rates:
                cells = [percent(rates[key]) for key in ("lenient", "exact")]
                cells += [percent(rates["modes"][mode]) for mode in MODES[1:]]
                rows.append([label, GROUPS.get(part, part), f"{rates['items']:,}", *cells])
    header = ["Model", "part", "items", "lenient", "exact", *(mode.replace("_", " ") for mode in MODES[1:])]
    return markdown(f"{TITLES[name]}: matches and failure modes in %", header, rows)


def speeds(found: Found) -> str:
    """Throughput and latency beside the accuracies."""
    rows = []
    for name, own in found.items():
        for label, series in own.items():
            speed = series.result.speed
            alone = "–" if speed.latency_median_s is None else f"{1000 * speed.latency_median_s:,.1f}"
            hardware = series.result.hardware
            threads = f"{hardware['threads']} CPU thread{'' if hardware['threads'] == 1 else 's'}"
            where = ", ".join(hardware["accelerators"]) or threads
            rows.append([label, TITLES[name], f"{speed.items_per_s:,.1f}", alone, where])
    return markdown("Speed", ["Model", "Benchmark", "items/s", "one item alone, ms", "on"], rows)


def all_tables(found: Found, unsure: Uncertainty) -> list[str]:
    """Every table that the results allow, in order."""
    made: list[str | None] = [overview(found, unsure), differences(found, unsure)]
    for name, own in found.items():
        made.append(by_language(name, own, unsure))
        made.append(generations(name, own) if name in ("klar", "open") else consistency(name, own, unsure))
    return [table for table in (*made, speeds(found)) if table]
