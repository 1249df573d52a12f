"""The leaderboard of a release: a table of results with intervals, and a static page.

A row is a measure of a model in one language or over all, with the command that made the result and its digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
from jinja2 import Environment, StrictUndefined

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import read_parquet, write_parquet
from polyfact_dataset.release import card_tables
from polyfact_dataset.release.card_tables import interval, percent
from polyfact_dataset.release.schema import LEADERBOARD

FILE, PAGE = card_tables.LEADERBOARD_FILE, "leaderboard.html"
EVERY = "all"
# Measures that are not shares.
_NUMBERS = ("kappa_p",)
# Measures whose names do not say what they are.
_NAMES = {
    "transfer_english": "transfer from English",
    "gap_english": "English, less the others",
    "gap_range": "best less worst language",
}
Row = Mapping[str, Any]


def read(folder: Path) -> list[dict[str, Any]]:
    """The rows of a release's leaderboard; [] without one. Raises `DataError` for another table."""
    path = folder / FILE
    rows: list[dict[str, Any]] = read_parquet(path, LEADERBOARD.schema.names).to_pylist() if path.is_file() else []
    return rows


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Writes the table, by model in the order of `rows`. Raises `DataError` when two results have one label."""
    digests: dict[str, str] = {}
    for row in rows:
        if digests.setdefault(row["model"], row["digest"]) != row["digest"]:
            raise DataError(f"two results have the label {row['model']!r}; give one of them another name: NAME=RESULT")
    write_parquet(folder / FILE, pa.Table.from_pylist([dict(row) for row in rows], LEADERBOARD.schema))


def _cell(row: Row | None) -> dict[str, str]:
    """A measure as shown on the page."""
    if row is None:
        return {"text": "–", "interval": ""}
    ends = (row["low"], row["high"])
    if row["measure"] in _NUMBERS:
        shown = ["" if value is None else f"{value:.3f}" for value in (row["value"], *ends)]
        return {"text": shown[0], "interval": " to ".join(filter(None, shown[1:]))}
    return {"text": percent(row["value"]), "interval": "" if None in ends else interval(*ends)}


def page(rows: Sequence[Row], version: str, floors: Sequence[Row] = ()) -> str:
    """The page: models by accuracy, every measure over all languages, then accuracy by language, then the floors."""
    measures = list(dict.fromkeys(row["measure"] for row in rows if row["language"] == EVERY))
    languages = list(dict.fromkeys(row["language"] for row in rows if row["language"] != EVERY))
    cells = {(row["model"], row["measure"], row["language"]): row for row in rows}
    first = {row["model"]: row for row in reversed(rows)}

    def accuracy(model: str) -> float:
        row = cells.get((model, "accuracy", EVERY))
        return -row["value"] if row else 1.0

    models = [
        {
            "name": model,
            "overall": [_cell(cells.get((model, measure, EVERY))) for measure in measures],
            "languages": [_cell(cells.get((model, "accuracy", code))) for code in languages],
            "facts": first[model]["facts"],
            "data": f"{first[model]['config']}/{first[model]['split']}",
            "content": (first[model]["content"] or "")[:16],
            "command": first[model]["command"],
            "digest": first[model]["digest"][:16],
        }
        for model in sorted(first, key=lambda model: (accuracy(model), model))
    ]
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = percent
    template = files(__package__).joinpath("leaderboard.html.j2").read_text(encoding="utf-8")
    names = [_NAMES.get(measure, measure.replace("_", " ")) for measure in measures]
    values = {"version": version, "measures": names, "languages": languages, "models": models, "floors": floors}
    return environment.from_string(template).render(values)
