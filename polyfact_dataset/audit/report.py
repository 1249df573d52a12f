"""The report: JSON for programs, Markdown for a quick read, HTML with plots that opens from disk without a network.

All three say the same. Texts of a release are hostile until shown otherwise: HTML is escaped by the template engine,
Markdown by `_cell`. Nothing in a report depends on time or place, so equal releases have equal reports.
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
from polyfact_dataset.audit.result import Cell, Grid, Section, Verdict
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.escaping import markdown
from polyfact_dataset.common.files import read_json
from polyfact_dataset.config.audit import GATES, AuditConfig
from polyfact_dataset.release.layout import content_of, data_files

_SIGNS = {"most": "≤", "least": "≥"}


def _gate(verdict: Verdict) -> dict[str, Any]:
    usual = GATES[verdict.gate]
    return {
        "gate": verdict.gate,
        "audit": verdict.audit,
        "status": verdict.status,
        "value": verdict.value,
        "at": verdict.at,
        "limit": verdict.limit,
        # A reader must see when a release was measured by a rule of its own.
        "usual_limit": usual.limit,
        "reason": verdict.reason,
        "detail": verdict.detail,
    }


def _rounded(value: Cell) -> Cell:
    return round(value, 6) if isinstance(value, float) else value


def _table(grid: Grid) -> dict[str, Any]:
    rows = [[_rounded(cell) for cell in row] for row in grid.rows]
    return {"title": grid.title, "columns": list(grid.columns), "rows": rows, "note": grid.note}


def as_json(release: Release, sections: list[Section], config: AuditConfig) -> dict[str, Any]:
    """The report as a JSON-able value. `passed` is whether no gate is broken."""
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    unmeasured = config.gates.keys() - {verdict.gate for verdict in verdicts}
    if unmeasured or len(verdicts) != len(config.gates):
        raise AssertionError(f"gates that no audit measures, or that two do: {sorted(unmeasured)}")
    order = list(config.gates)
    verdicts.sort(key=lambda verdict: order.index(verdict.gate))
    broken = [verdict for verdict in verdicts if verdict.status == "broken"]
    splits = Counter(release.column("split"))
    return {
        "polyfact": __version__,
        "release": release.name,
        "content": release.content,
        "facts": len(release),
        "languages": list(release.items),
        "splits": {split: splits[split] for split in release.splits},
        "passed": not broken,
        "broken": [verdict.sentence() for verdict in broken],
        "not_checked": [verdict.sentence() for verdict in verdicts if verdict.status == "not checked"],
        "gates": [_gate(verdict) for verdict in verdicts],
        "audits": [
            {
                "name": section.name,
                "title": section.title,
                "explains": section.explains,
                "findings": section.counts,
                "examples": {check: section.examples(check) for check in section.counts},
                "tables": [_table(grid) for grid in section.grids],
            }
            for section in sections
        ],
    }


def percent(value: float) -> str:
    """A share for a reader, with as many places as it needs."""
    return f"{100 * value:.2f} %" if abs(value) < 0.9995 else f"{100 * value:.0f} %"


def written(column: str, value: Cell, percents: frozenset[str]) -> str:
    """A cell for a reader."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return percent(value) if column in percents else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _markdown_table(columns: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(markdown(cell) for cell in row) + " |" for row in rows] + [""]


def _limit(gate: dict[str, Any]) -> str:
    own = f"{_SIGNS[gate['at']]} {gate['limit']:g}"
    return own if gate["limit"] == gate["usual_limit"] else f"{own} (usually {gate['usual_limit']:g})"


def _value(gate: dict[str, Any]) -> str:
    return "–" if gate["value"] is None else f"{gate['value']:.4g}"


def as_markdown(summary: dict[str, Any], sections: list[Section]) -> str:
    """The report as Markdown. Long tables are left to the other two."""
    said = "passes" if summary["passed"] else "is refused"
    lines = [f"# Audit: the release {said}", ""]
    splits = ", ".join(f"{number:,} {split}" for split, number in summary["splits"].items())
    languages = len(summary["languages"])
    lines += [f"{summary['facts']:,} facts ({splits}) in {languages} languages. Content `{summary['content']}`.", ""]
    for title, key in (("Broken gates", "broken"), ("Not checked", "not_checked")):
        if summary[key]:
            lines += [f"**{title}:**", "", *(f"- {markdown(sentence)}" for sentence in summary[key]), ""]
    columns = ["gate", "status", "value", "limit", "reason", "detail"]
    rows = [[g["gate"], g["status"], _value(g), _limit(g), g["reason"], g["detail"]] for g in summary["gates"]]
    lines += ["## Gates", "", *_markdown_table(columns, rows)]
    for entry, section in zip(summary["audits"], sections):
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
            rows = [[found["fact_id"], found["language"], found["detail"]] for found in examples]
            lines += _markdown_table(["fact", "language", "finding"], rows)
    return "\n".join(lines)


def _marked(text: str) -> Markup:
    """Our own prose for HTML: escaped, with `...` as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def as_html(summary: dict[str, Any], sections: list[Section]) -> str:
    """The report as one HTML page with everything inside it."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["marked"] = _marked
    environment.globals.update(written=written, value_of=_value, limit_of=_limit)
    template = environment.from_string(files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8"))
    parts = [
        {**entry, "grids": section.grids, "plots": plots.draw(section)}
        for entry, section in zip(summary["audits"], sections)
    ]
    return template.render(summary=summary, parts=parts, style=plots.STYLE)


def require_passing(release: Path) -> dict[str, Any]:
    """The report of a release that passed, for whoever publishes it.

    Raises `DataError` when there is none, when it speaks of another content, or when a gate is broken.
    """
    path = release / "audit" / "report.json"
    if not path.is_file():
        raise DataError(f"{release} has no audit; run `polyfact audit {release}`")
    summary: dict[str, Any] = read_json(path)
    content = content_of(data_files(release))
    if summary.get("content") != content:
        said = str(summary.get("content"))[:16]
        raise DataError(
            f"{path} speaks of content {said}, the files are {content[:16]}; run `polyfact audit {release}`"
        )
    if summary.get("passed") is not True:
        raise DataError(f"{release} is refused by its audit: {'; '.join(summary.get('broken', ['?']))}")
    return summary
