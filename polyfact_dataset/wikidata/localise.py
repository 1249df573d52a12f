"""Stage `localise`: one label with its provenance for every entity of a candidate, in every language.

Order: the bare code, then the language file's chain of variants, then the Wikipedia title without its
disambiguation, then `mul` for languages in Latin script. Chinese is shipped in Simplified characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa

from polyfact_dataset.config import Config
from polyfact_dataset.engine import BATCH_ROWS, connect, stream
from polyfact_dataset.languages import Language, language
from polyfact_dataset.pipeline import Context, Report
from polyfact_dataset.records import LOCALISED_TEXT, localised
from polyfact_dataset.storage import parquet_writer
from polyfact_dataset.text import clean, in_scripts, mixes_scripts, normalise

_DISAMBIGUATION = re.compile(r"\s*[(（][^()（）]*[)）]$")
_MAX_CHARACTERS = 120


def settings(config: Config) -> dict[str, object]:
    """What the result depends on besides the tables read."""
    return {"languages": config.languages}


@cache
def _simplifier() -> Any:
    from opencc import OpenCC

    return OpenCC("t2s")


def simplified(text: str) -> str:
    """Chinese text in Simplified characters."""
    converted: str = _simplifier().convert(text)
    return converted


def usable(text: str, entry: Language) -> str | None:
    """The cleaned text if it can be shown in the language, else None.

    It must hold letters or digits, no hidden controls, at most 120 characters, and only scripts of the language
    (Latin is allowed everywhere: many names stay Latin), with no word that mixes alphabets.
    """
    cleaned = clean(text)
    if cleaned is None or len(cleaned) > _MAX_CHARACTERS:
        return None
    if not in_scripts(cleaned, entry.scripts) or mixes_scripts(cleaned):
        return None
    return simplified(cleaned) if "Hans" in entry.scripts else cleaned


def resolve(
    entry: Language,
    labels: Mapping[str, str],
    aliases: Mapping[str, Sequence[str]],
    titles: Mapping[str, str],
) -> dict[str, Any] | None:
    """The label of one entity in one language with its provenance, and whether Wikidata attests it; or None.

    Attested: equal, after `normalise`, to the label, a variant, an alias or the Wikipedia title of the language.
    A `mul` label counts as a variant where it may be used: Wikidata removes from a language what `mul` says.
    """
    title = _DISAMBIGUATION.sub("", titles.get(entry.wiki, ""))
    offers = [("label" if code == entry.code else "variant", labels[code]) for code in entry.labels if code in labels]
    offers.append(("title", title))
    if entry.mul and "mul" in labels:
        offers.append(("mul", labels["mul"]))
    for provenance, offered in offers:
        text = usable(offered, entry) if offered else None
        if text is None:
            continue
        codes = (*entry.labels, *(("mul",) if entry.mul else ()))
        known = [labels[code] for code in codes if code in labels] + [title]
        known += [alias for code in codes for alias in aliases.get(code, ())]
        accepted = {normalise(form) for form in (usable(name, entry) for name in known if name) if form}
        return {"text": text, "provenance": provenance, "attested": normalise(text) in accepted}
    return None


def _map(texts: list[dict[str, str]]) -> dict[str, str]:
    return {entry["code"]: entry["text"] for entry in texts}


def _lists(texts: list[dict[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in texts:
        found.setdefault(entry["code"], []).append(entry["text"])
    return found


def localise_rows(rows: Sequence[Mapping[str, Any]], languages: Sequence[str]) -> pa.Table:
    """Rows of the entities table to rows of `records.localised`."""
    entries = [language(code) for code in languages]
    resolved: dict[str, list[Any]] = {code: [] for code in languages}
    for row in rows:
        labels, aliases, titles = _map(row["labels"]), _lists(row["aliases"]), _map(row["titles"])
        for entry in entries:
            resolved[entry.code].append(resolve(entry, labels, aliases, titles))
    schema = localised(languages).schema
    columns = [
        pa.array([row["id"] for row in rows], pa.string()),
        pa.array([row["types"] for row in rows], schema.field("types").type),
        pa.array([row["sitelinks"] for row in rows], pa.int32()),
        *(pa.array(resolved[code], LOCALISED_TEXT) for code in languages),
    ]
    return pa.table(columns, schema=schema)


def run(context: Context) -> Report:
    """Writes `localised` for the subjects and objects of all candidates, by id."""
    languages = context.config.languages
    counts = {code: {"resolved": 0} for code in languages}
    rows_written = 0
    query = """
        WITH wanted AS (
            SELECT subject_id AS id FROM read_parquet($candidates)
            UNION SELECT object_id FROM read_parquet($candidates)
        )
        SELECT id, types, sitelinks, labels, aliases, titles
        FROM read_parquet($entities) JOIN wanted USING (id) WHERE kind = 'item'
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY len(labels) DESC, sitelinks DESC) = 1
        ORDER BY id
    """
    parameters = {
        "candidates": str(context.path("candidates", "candidates")),
        "entities": str(context.path("extract", "entities")),
    }
    schema = localised(languages).schema
    with connect(context.folder) as connection, parquet_writer(context.target("localised"), schema) as writer:
        for batch in stream(connection, query, parameters):
            table = localise_rows(batch.to_pylist(), languages)
            rows_written += table.num_rows
            for code in languages:
                counts[code]["resolved"] += table.num_rows - table.column(code).null_count
            writer.write_table(table, row_group_size=BATCH_ROWS)
    return Report({"entities": rows_written, "languages": counts})
