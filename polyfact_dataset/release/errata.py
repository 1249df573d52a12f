"""Errata of a release: items that are known to be wrong, with reason, version and a link to the report.

They are a table next to the data, `errata.parquet`; the data of a released version never change. A build with
`--previous` leaves the facts out and keeps the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.escaping import markdown
from polyfact_dataset.common.files import write_parquet
from polyfact_dataset.release.layout import read_splits
from polyfact_dataset.release.query import fact
from polyfact_dataset.release.reader import ERRATA_FILE, config_files, read_about, read_errata
from polyfact_dataset.release.schema import ERRATA

PAGE = "ERRATA.md"
Erratum = Mapping[str, Any]


def write_errata(folder: Path, rows: Sequence[Erratum]) -> None:
    """Writes the errata of a release, sorted."""
    ordered = sorted(rows, key=lambda row: (row["fact_id"], row["language"] or ""))
    write_parquet(folder / ERRATA_FILE, pa.Table.from_pylist([dict(row) for row in ordered], schema=ERRATA.schema))


def add_erratum(folder: Path, fact_id: str, reason: str, language: str | None, link: str) -> dict[str, Any]:
    """Adds an item to the errata of a release, or replaces its entry, and returns the entry.

    Raises `DataError` for a fact that the release does not contain, `ConfigError` for another language, an empty reason
    or a link that is not a web address.
    """
    if not reason.strip():
        raise ConfigError("--reason must not be empty")
    if link and urlsplit(link).scheme not in ("http", "https"):
        raise ConfigError(f"--link {link}: give a web address (https://...)")
    fact(folder, fact_id, [language] if language else [])
    row = {
        "fact_id": fact_id,
        "language": language,
        "reason": " ".join(reason.split()),
        "version": read_about(folder)["version"],
        "link": link or None,
    }
    others = [old for old in read_errata(folder) if (old["fact_id"], old["language"]) != (fact_id, language)]
    write_errata(folder, [*others, row])
    return row


def report_url(repository: str, fact_id: str | None = None) -> str:
    """The address of a new discussion on the Hub with title and text filled in."""
    title = f"Error in {fact_id}" if fact_id else "Error in an item"
    text = f"Fact: {fact_id or ''}\nLanguage: \nWhat is wrong: \nSource: "
    return (
        f"https://huggingface.co/datasets/{repository}/discussions/new?title={quote(title)}&description={quote(text)}"
    )


def present(folder: Path, rows: Sequence[Erratum]) -> set[str]:
    """The facts of the errata that the release contains; others were left out of it."""
    wrong = pa.array([row["fact_id"] for row in rows], pa.string())
    ids = read_splits(config_files(folder, "parallel"), ["fact_id"]).column("fact_id")
    return set(ids.filter(pc.is_in(ids, wrong)).to_pylist())


def page(folder: Path, rows: Sequence[Erratum], version: str) -> str:
    """The errata of a release as a Markdown page."""
    still_present = present(folder, rows)
    lines = [
        f"# Errata of PolyFact {version}",
        "",
        "Items that are known to be wrong. The data of a released version do not change: leave these facts out, as the "
        "next version does.",
        "",
        "```python",
        "import pandas as pd",
        "",
        f'wrong = set(pd.read_parquet("{ERRATA_FILE}").fact_id)',
        'clean = clean.filter(lambda row: row["fact_id"] not in wrong)',
        "```",
        "",
        "| fact | language | reason | found in | in this version | report |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        link = f"[report](<{quote(row['link'], safe=':/?&=#%+,;@')}>)" if row["link"] else "–"
        cells = (f"`{row['fact_id']}`".replace("|", "\\|"), row["language"] or "all", markdown(row["reason"]))
        state = "yes" if row["fact_id"] in still_present else "left out"
        lines.append(f"| {' | '.join(cells)} | {row['version']} | {state} | {link} |")
    return "\n".join((*lines, ""))
