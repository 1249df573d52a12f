"""Collects the results of all analyses into one HTML page with tables and figures.

    python -m baselines.analysis.report base.lape.json grpo.lape.json base.lahis.json grpo.lahis.json --output report

Of each kind the first result is the base that the others are compared with. Results with other inputs or
settings are refused. The folder holds `index.html`, which is self-contained, and each figure as SVG and PNG.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from jinja2 import Environment, PackageLoader, StrictUndefined

from baselines import figures
from baselines.analysis import files
from baselines.analysis.common import Loaded
from baselines.analysis.files import Kind, Result
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import write_text

TITLES: dict[Kind, str] = {
    "layer_rank": "Layer ranks: from the fact to the language",
    "failure_modes": "Failure modes",
    "lape": "Language-specific neurons (LAPE)",
    "lahis": "Language-important heads (LAHIS)",
    "uncertainty": "Uncertainty by language",
    "drift": "Drift of hidden states",
}


def gather(paths: Sequence[Path]) -> dict[Kind, list[Loaded]]:
    """Results by kind, in the given order. Raises `DataError` where two of a kind cannot be compared."""
    by_kind: dict[Kind, list[Loaded]] = {}
    for path in paths:
        result, arrays = files.load(path)
        by_kind.setdefault(result.kind, []).append((result, arrays))
    for loaded in by_kind.values():
        files.refuse_mixing([result for result, _ in loaded])
        labels = [result.label for result, _ in loaded]
        if len(set(labels)) < len(labels):
            raise DataError(f"{loaded[0][0].kind}: two results are labelled alike ({', '.join(labels)}); use --label")
    return {kind: by_kind[kind] for kind in TITLES if kind in by_kind}


def shown(value: Any) -> str:
    """A number as people read it; a dash for what is not defined."""
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def section(kind: Kind, loaded: Sequence[Loaded], folder: Path) -> dict[str, Any]:
    """What the page shows of one kind; its figures are written to `folder`."""
    module = import_module(f"baselines.analysis.{kind}")
    draw: Callable[[Sequence[Loaded]], list[figures.Figure]] = module.draw
    drawn = draw(loaded)
    figures.write(drawn, folder)
    rows: list[dict[str, Any]] = module.compare(loaded)
    return {
        "title": TITLES[kind],
        "doc": (module.__doc__ or "").partition("\n")[0],
        "results": [result for result, _ in loaded],
        "header": list(rows[0]) if rows else [],
        "rows": [[shown(value) for value in row.values()] for row in rows],
        "figures": [
            {
                "name": figure.name,
                "caption": figure.caption,
                "data": base64.b64encode((folder / f"{figure.name}.svg").read_bytes()).decode(),
            }
            for figure in drawn
        ],
    }


def render(sections: Sequence[dict[str, Any]]) -> str:
    """The page. All text is escaped: labels and names come from outside."""
    loader = PackageLoader("baselines.analysis", ".")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["model"] = _model
    return environment.get_template("report.html.j2").render(sections=sections)


def _model(result: Result) -> str:
    """Which models a result is about: name with revision or digest."""
    named = []
    for model in result.models:
        version = model.get("revision") or model.get("weights") or ""
        named.append(f"{model.get('name')} @ {str(version)[:12]} ({model.get('dtype')})")
    return " → ".join(named)


def main(
    results: Annotated[list[Path], typer.Argument(help="Results of the analyses; the base before what is compared.")],
    output: Annotated[Path, typer.Option(help="Folder to write the page and its figures to.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier report.")] = False,
) -> None:
    """Write one page from the results of all analyses."""
    page = output / "index.html"
    if page.exists() and not overwrite:
        raise ConfigError(f"{page} is there already; choose another --output or add --overwrite")
    assert set(TITLES) == set(get_args(Kind))
    by_kind = gather(results)
    sections = [section(kind, loaded, output / "figures") for kind, loaded in by_kind.items()]
    write_text(page, render(sections))
    print(f"{page}: {', '.join(by_kind)}; {sum(len(part['figures']) for part in sections)} figures")


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
