"""The result of an audit: gate values, findings with ids, floors, tables and charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from polyfact_dataset.audit.stats import CHANCE
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.release.audit_report import Floor, GateResult
from polyfact_dataset.release.schema import FINDINGS

Cell = str | int | float | None


@dataclass(frozen=True)
class Grid:
    """A table of the report. Shares are between 0 and 1, in columns of `percents`; a `long` one is collapsed."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    note: str = ""
    percents: frozenset[str] = frozenset()
    long: bool = False


@dataclass(frozen=True)
class Series:
    """One series of a chart: a value per row of the chart, None where there is none.

    `errors` are half-widths of error bars, `expected` values that are marked by a tick, both per row.
    """

    name: str
    values: tuple[float | None, ...]
    errors: tuple[float, ...] = ()
    expected: tuple[float, ...] = ()


@dataclass(frozen=True)
class Chart:
    """A chart of the report with one row per name.

    `points`: a marker per series; `lines`: the same, connected; `bars`: a bar per series; `stacked`: bars end to end;
    `ranges`: three series, low, middle and high; `bubbles`: a column per series, area and colour by the value.
    """

    title: str
    kind: Literal["points", "lines", "bars", "stacked", "ranges", "bubbles"]
    rows: tuple[str, ...]
    series: tuple[Series, ...]
    axis: str
    note: str = ""
    # A vertical line, chance for example.
    reference: float | None = None
    # Bounds of the axis; None leaves one open.
    span: tuple[float | None, float | None] = (None, None)


def accuracy_chart(title: str, rules: Iterable[str], series: Iterable[Series], note: str = "") -> Chart:
    """Points in percent with error bars of three standard errors, a row per rule, and a line at chance."""
    return Chart(
        title,
        "points",
        tuple(rule.replace("_", " ") for rule in rules),
        tuple(series),
        "accuracy in %, with three standard errors",
        note,
        reference=100 * CHANCE,
    )


@dataclass(frozen=True)
class Verdict:
    """A gate and its measured value. `status` is `held`, `broken` or `not checked`."""

    gate: str
    audit: str
    value: float | None
    at: Literal["most", "least"]
    limit: float
    reason: str
    detail: str

    @property
    def status(self) -> Literal["held", "broken", "not checked"]:
        if self.value is None:
            return "not checked"
        is_met = self.value <= self.limit if self.at == "most" else self.value >= self.limit
        return "held" if is_met else "broken"

    def sentence(self) -> str:
        """The gate in one line, for an error or a list."""
        value = "not checked" if self.value is None else f"{self.value:.4g}, allowed is at {self.at} {self.limit:g}"
        return f"{self.gate} ({self.audit}): {value}{f'; {self.detail}' if self.detail else ''}"

    def result(self, usual_limit: float) -> GateResult:
        """The gate as a row of the report."""
        return GateResult(
            gate=self.gate,
            audit=self.audit,
            status=self.status,
            value=self.value,
            at=self.at,
            limit=self.limit,
            usual_limit=usual_limit,
            reason=self.reason,
            detail=self.detail,
        )


@dataclass
class Section:
    """The result of one audit. Fill it by `find`, `gate`, `grid`, and append to `floors` and `charts`.

    `summary` describes in the report what is measured.
    """

    name: str
    title: str
    summary: str
    config: AuditConfig
    verdicts: list[Verdict] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    floors: list[Floor] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    # The charts as drawn: title, SVG and note each.
    plots: list[dict[str, str]] = field(default_factory=list, repr=False, compare=False)
    _found: list[tuple[str, str, str, str]] = field(default_factory=list, repr=False)

    def find(self, check: str, facts: Iterable[str], language: str, details: Iterable[str]) -> int:
        """Records one finding per fact; returns their number."""
        before = len(self._found)
        self._found += [(check, fact, language, detail) for fact, detail in zip(facts, details)]
        return len(self._found) - before

    def count(self, check: str) -> int:
        """The number of findings of a check."""
        return sum(finding[0] == check for finding in self._found)

    def by_language(self, checks: Sequence[str], languages: Iterable[str]) -> list[tuple[Cell, ...]]:
        """Rows of a table: each language with its number of findings of each check."""
        counts = Counter((finding[0], finding[2]) for finding in self._found)
        return [(code, *(counts[check, code] for check in checks)) for code in languages]

    @property
    def counts(self) -> dict[str, int]:
        """Check -> number of findings."""
        return dict(sorted(Counter(finding[0] for finding in self._found).items()))

    def examples(self, check: str) -> list[dict[str, str]]:
        """The first findings of a check, spread over its languages."""
        by_language: dict[str, list[tuple[str, str, str, str]]] = {}
        for finding in self._found:
            if finding[0] == check:
                by_language.setdefault(finding[2], []).append(finding)
        rounds = max(map(len, by_language.values()), default=0)
        mixed = [
            findings[turn]
            for turn in range(min(rounds, self.config.examples))
            for findings in by_language.values()
            if turn < len(findings)
        ]
        return [
            {"fact_id": fact, "language": language, "detail": detail}
            for _, fact, language, detail in mixed[: self.config.examples]
        ]

    def gate(self, name: str, value: float | None, detail: str = "") -> None:
        """Measures a gate of the configuration. None: the release lacks data that the check needs."""
        rule = self.config.gates[name]
        rounded = None if value is None else round(float(value), 6)
        self.verdicts.append(Verdict(name, self.name, rounded, rule.at, rule.limit, rule.reason, detail))

    def gate_count(self, name: str, detail: str = "") -> None:
        """Measures a gate whose check of the same name was counted."""
        self.gate(name, self.count(name), detail)

    def grid(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[tuple[Any, ...]],
        *,
        note: str = "",
        percents: Iterable[str] = (),
        long: bool = False,
    ) -> None:
        """Adds a table to the report."""
        self.grids.append(Grid(title, tuple(columns), list(rows), note, frozenset(percents), long))

    def findings(self, split_of: Mapping[str, str]) -> pa.Table:
        """All findings as `release.schema.FINDINGS`."""
        columns = list(zip(*self._found)) or [(), (), (), ()]
        checks, facts, languages, details = columns
        return pa.table(
            [
                pa.array([self.name] * len(facts), pa.string()),
                pa.array(checks, pa.string()),
                pa.array(facts, pa.string()),
                pa.array([code or None for code in languages], pa.string()),
                pa.array([split_of.get(fact) for fact in facts], pa.string()),
                pa.array(details, pa.string()),
            ],
            schema=FINDINGS.schema,
        )


def shown(text: str, limit: int = 160) -> str:
    """Text of a release inside a finding: cut, and with hidden characters made visible."""
    visible = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text[: limit + 1])
    return visible if len(text) <= limit else visible[:limit] + "…"
