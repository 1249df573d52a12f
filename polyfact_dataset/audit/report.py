"""The report: JSON for programs, Markdown for a quick read, HTML with plots that opens from disk without a network.

All three have the same content. Texts of a release are untrusted: HTML is escaped by the template engine, Markdown by
`_cell`. A report does not depend on time or place, so equal releases have equal reports.
"""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from polyfact_dataset import __version__
from polyfact_dataset.audit import plots
from polyfact_dataset.audit.release import Release
from polyfact_dataset.audit.result import Cell, Grid, Section
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.escaping import markdown
from polyfact_dataset.config.audit import GATES, AuditConfig
from polyfact_dataset.release.audit_report import AuditReport, GateResult
from polyfact_dataset.release.layout import content_of, data_files
from polyfact_dataset.release.reader import REPORT, read_audit

_SIGNS = {"most": "≤", "least": "≥"}


def _rounded(value: Cell) -> Cell:
    return round(value, 6) if isinstance(value, float) else value


def _table(grid: Grid) -> dict[str, Any]:
    rows = [[_rounded(cell) for cell in row] for row in grid.rows]
    return {"title": grid.title, "columns": list(grid.columns), "rows": rows, "note": grid.note}


def report(release: Release, sections: list[Section], config: AuditConfig) -> AuditReport:
    """The report of all audits. `passed` is whether no gate is broken."""
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    unmeasured = config.gates.keys() - {verdict.gate for verdict in verdicts}
    if unmeasured or len(verdicts) != len(config.gates):
        raise AssertionError(f"gates that no audit measures, or that two do: {sorted(unmeasured)}")
    order = list(config.gates)
    verdicts.sort(key=lambda verdict: order.index(verdict.gate))
    broken = [verdict.sentence() for verdict in verdicts if verdict.status == "broken"]
    splits = Counter(release.column("split"))
    return AuditReport(
        polyfact=__version__,
        release=release.name,
        content=release.content,
        facts=len(release),
        languages=list(release.items),
        splits={split: splits[split] for split in release.splits},
        passed=not broken,
        broken=broken,
        not_checked=[verdict.sentence() for verdict in verdicts if verdict.status == "not checked"],
        gates=[verdict.result(GATES[verdict.gate].limit) for verdict in verdicts],
        floors=[floor for section in sections for floor in section.floors],
        audits=[
            {
                "name": section.name,
                "title": section.title,
                "explains": section.summary,
                "findings": section.counts,
                "examples": {check: section.examples(check) for check in section.counts},
                "tables": [_table(grid) for grid in section.grids],
            }
            for section in sections
        ],
    )


def percent(value: float) -> str:
    """A share as text, with as many decimal places as it needs."""
    return f"{100 * value:.2f} %" if abs(value) < 0.9995 else f"{100 * value:.0f} %"


def written(column: str, value: Cell, percents: frozenset[str]) -> str:
    """A cell as text."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return percent(value) if column in percents else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _markdown_table(columns: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(markdown(cell) for cell in row) + " |" for row in rows] + [""]


def _limit(gate: GateResult) -> str:
    limit = f"{_SIGNS[gate.at]} {gate.limit:g}"
    return limit if gate.limit == gate.usual_limit else f"{limit} (usually {gate.usual_limit:g})"


def _value(gate: GateResult) -> str:
    return "–" if gate.value is None else f"{gate.value:.4g}"


def as_markdown(summary: AuditReport, sections: list[Section]) -> str:
    """The report as Markdown. Long tables are only in the other two formats."""
    lines = [f"# Audit: the release {'passes' if summary.passed else 'is refused'}", ""]
    splits = ", ".join(f"{number:,} {split}" for split, number in summary.splits.items())
    languages = len(summary.languages)
    lines += [f"{summary.facts:,} facts ({splits}) in {languages} languages. Content `{summary.content}`.", ""]
    for title, sentences in (("Broken gates", summary.broken), ("Not checked", summary.not_checked)):
        if sentences:
            lines += [f"**{title}:**", "", *(f"- {markdown(sentence)}" for sentence in sentences), ""]
    columns = ["gate", "status", "value", "limit", "reason", "detail"]
    rows = [[g.gate, g.status, _value(g), _limit(g), g.reason, g.detail] for g in summary.gates]
    lines += ["## Gates", "", *_markdown_table(columns, rows)]
    for entry, section in zip(summary.audits, sections):
        lines += [f"## {entry['title']}", "", markdown(entry["explains"]), ""]
        for grid in (grid for grid in section.grids if not grid.long):
            lines += [f"**{grid.title}**", ""]
            cells = [[written(c, v, grid.percents) for c, v in zip(grid.columns, row)] for row in grid.rows]
            lines += _markdown_table(list(grid.columns), cells)
            lines += [markdown(grid.note), ""] if grid.note else []
        for check, number in entry["findings"].items():
            examples = entry["examples"][check]
            lines += [
                f"**{check}: {number:,}**" + (f", of which {len(examples)}" if number > len(examples) else ""),
                "",
            ]
            rows = [[finding["fact_id"], finding["language"], finding["detail"]] for finding in examples]
            lines += _markdown_table(["fact", "language", "finding"], rows)
    return "\n".join(lines)


def _marked(text: str) -> Markup:
    """Trusted prose for HTML: escaped, with `...` as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def as_html(summary: AuditReport, sections: list[Section]) -> str:
    """The report as one HTML page with everything inside it."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["marked"] = _marked
    environment.globals.update(written=written, value_of=_value, limit_of=_limit)
    template = environment.from_string(files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8"))
    parts = [
        {**entry, "grids": section.grids, "plots": section.plots} for entry, section in zip(summary.audits, sections)
    ]
    return template.render(summary=summary, parts=parts, style=plots.STYLE)


def require_passing(release: Path) -> AuditReport:
    """The report of a release that passed, for publication.

    Raises `DataError` when there is none, when it describes another content, or when a gate is broken.
    """
    summary, content = read_audit(release), content_of(data_files(release))
    if summary.content != content:
        raise DataError(
            f"{release / REPORT} describes content {summary.content[:16]}, the files are {content[:16]}; "
            f"run `polyfact audit {release}`"
        )
    if not summary.passed:
        raise DataError(f"{release} failed its audit: {'; '.join(summary.broken)}")
    return summary
