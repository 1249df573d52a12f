"""Reads a release for the audits, in the layout of this project or the published one (see `release.layout`).

The `parallel` rows are the release; the rows of the languages are compared with them one language at a time. Where
there are no parallel rows, the languages' rows are joined by fact. An incomplete item becomes a finding
and is left out; an unreadable release raises `DataError`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.audit.build_tables import BuildTables
from polyfact_dataset.audit.configs import contradictions, keys_of, read_open
from polyfact_dataset.audit.release import Items, Release
from polyfact_dataset.catalog.language import known
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import read_schema, readable
from polyfact_dataset.common.processes import map_inheriting
from polyfact_dataset.config.build import Config
from polyfact_dataset.release.layout import Files, content_of, find_files, read_splits
from polyfact_dataset.release.schema import parallel_rows
from polyfact_dataset.schema import OPTIONS, VERIFICATION

_REQUIRED = ("question", *OPTIONS, "answer_text", "answer_index")
_OPTIONAL = ("option_ids", "option_provenance", "subject_label", "subject_provenance", "question_source", "template")
_SHARED = tuple(c.name for c in parallel_rows(("en",)).columns if c.name != "translations")
# Smaller releases are audited in one process, since starting others would take longer.
MANY_FACTS = 1_000
_ID_PARTS = ("subject_id", "property_id", "object_id")


def _facts(table: pa.Table, where: str) -> pa.Table:
    """The shared columns; missing ids of subject, relation and object are taken from `fact_id`."""
    if "fact_id" not in table.column_names:
        raise DataError(f"{where}: there is no column fact_id; the columns are {', '.join(table.column_names)}")
    if table.column("fact_id").null_count:
        raise DataError(f"{where}: column fact_id holds {table.column('fact_id').null_count} nulls")
    missing = [name for name in _ID_PARTS if name not in table.column_names]
    if missing:
        parts = [fact.split("|") for fact in table.column("fact_id").to_pylist()]
        wrong = next((parts[row] for row in range(len(parts)) if len(parts[row]) != 3), None)
        if wrong is not None:
            raise DataError(f"{where}: fact_id {'|'.join(wrong)!r} is not subject|property|object")
        for name in missing:
            table = table.append_column(name, pa.array([part[_ID_PARTS.index(name)] for part in parts], pa.string()))
    nulls = [name for name in _ID_PARTS if table.column(name).null_count]
    if nulls:
        raise DataError(f"{where}: column {nulls[0]} holds nulls")
    return table.select([name for name in (*_SHARED, "split") if name in table.column_names])


def whole_items(code: str, table: pa.Table, rows: np.ndarray[Any, Any], ids: Sequence[str]) -> tuple[Items, list[Any]]:
    """The complete items of a language, and the incomplete ones as (fact_id, language, what is wrong).

    `table` is aligned with `rows`; `ids` names the facts. Raises `DataError` for a missing column.
    """
    missing = [name for name in _REQUIRED if name not in table.column_names]
    if missing:
        raise DataError(f"{code}: the items lack {', '.join(missing)}; they have {', '.join(table.column_names)}")
    table = table.select([name for name in (*_REQUIRED, *_OPTIONAL) if name in table.column_names])
    optional = [name for name in _OPTIONAL if name in table.column_names and table.column(name).null_count]
    faults: list[tuple[str, pa.ChunkedArray]] = [
        (f"{name} is null", table.column(name).is_null()) for name in _REQUIRED
    ]
    faults += [(f"{name} is null", table.column(name).is_null()) for name in optional]
    index = table.column("answer_index")
    faults.append(("answer_index is not 0 to 3", pc.invert(pc.is_in(index, value_set=pa.array(range(4), index.type)))))
    for name in ("option_ids", "option_provenance"):
        if name in table.column_names:
            faults.append((f"{name} has not four values", pc.not_equal(pc.list_value_length(table.column(name)), 4)))
    bad, incomplete = np.zeros(len(table), dtype=bool), []
    for what, mask in faults:
        hit = mask.fill_null(True).to_numpy(zero_copy_only=False).astype(bool) & ~bad
        incomplete += [(ids[rows[row]], code, what) for row in np.flatnonzero(hit)]
        bad |= hit
    return Items(code, rows[~bad], table.filter(pa.array(~bad)) if bad.any() else table), incomplete


def items_of_parallel(table: pa.Table, ids: Sequence[str]) -> tuple[dict[str, Items], list[Any]]:
    items, malformed = {}, []
    translations = table.column("translations")
    if not pa.types.is_struct(translations.type):
        raise DataError(f"column translations is a {translations.type}, not a struct of languages")
    for entry in translations.type:
        column = pa.chunked_array([pc.struct_field(chunk, entry.name) for chunk in translations.chunks], entry.type)
        present = column.is_valid().to_numpy(zero_copy_only=False)
        language_table = pa.Table.from_struct_array(column.filter(pa.array(present)))
        items[entry.name], bad = whole_items(entry.name, language_table, np.flatnonzero(present), ids)
        malformed += bad
    return items, malformed


def _language_tables(files: Files) -> dict[str, pa.Table]:
    """Language -> its rows: from configs of languages, or from one of items, with the language in a column."""
    columns = (*_SHARED, "language", *_REQUIRED, *_OPTIONAL)
    codes = [code for code in known() if code in files.configs]
    if codes:
        return {code: read_splits(files.configs[code], columns) for code in codes}
    for splits in files.configs.values():
        table = read_splits(splits, columns)
        if "language" in table.column_names and "question" in table.column_names:
            present = set(table.column("language").to_pylist())
            return {code: table.filter(pc.equal(table.column("language"), code)) for code in known() if code in present}
    return {}


def _from_languages(tables: Mapping[str, pa.Table]) -> tuple[pa.Table, dict[str, Items], list[Any]]:
    """Facts and items where each language has separate rows: all facts in the order of their first row."""
    code_of: dict[str, int] = {}
    fresh = []
    fact_rows: dict[str, list[int]] = {}
    for code, table in tables.items():
        shared = _facts(table, code)
        keys = keys_of(shared)
        new = [row for row, key in enumerate(keys) if key not in code_of]
        for row in new:
            code_of[keys[row]] = len(code_of)
        fact_rows[code] = [code_of[key] for key in keys]
        fresh.append(shared.take(pa.array(new, pa.int64())))
    facts = pa.concat_tables(fresh, promote_options="permissive")
    ids = facts.column("fact_id").to_pylist()
    items, malformed = {}, []
    for code, table in tables.items():
        items[code], bad = whole_items(code, table, np.array(fact_rows[code], dtype=np.int64), ids)
        malformed += bad
    return facts, items, malformed


def missing_items(items: dict[str, Items], ids: Sequence[str], expected: Sequence[str]) -> list[tuple[str, str, str]]:
    """Facts that are not in a language. `expected` are the languages that a release must have."""
    absent = []
    for code in dict.fromkeys((*expected, *items)):
        rows = set(items[code].rows.tolist()) if code in items else set()
        absent += [(fact, code, "not in this language") for row, fact in enumerate(ids) if row not in rows]
    return absent


def _languages(manifest: dict[str, Any], config: Config) -> tuple[str, ...]:
    """The languages that the release must have: those of its build, else the configured ones."""
    build = manifest.get("build")
    return tuple(build["config"]["languages"]) if build else config.languages


def _withdrawn(files: Files, released: Sequence[str]) -> pa.Table:
    """`fact_id, property_id, split` of the facts that were judged, and are not released."""
    columns = ["fact_id", "property_id", "split"]
    judged = files.configs.get(VERIFICATION.name)
    if judged is None:
        return pa.table({name: pa.array([], pa.string()) for name in columns})
    table = read_splits(judged, columns).select(columns)
    gone = table.filter(pc.invert(pc.is_in(table.column("fact_id"), pa.array(released, pa.string()))))
    return gone.group_by(columns, use_threads=False).aggregate([])


def read(folder: Path, config: Config, build_tables: BuildTables | None = None) -> Release:
    """The release in `folder`. `build_tables` are those of its build, if they are available.

    Raises `ConfigError` if it is not a release, `DataError` if it cannot be read.
    """
    # Texts that are not UTF-8 are detected only when they are used.
    with readable(folder):
        return _read(folder, config, build_tables or BuildTables())


def _compare(shared: tuple[Files, dict[str, Items], pa.Table, list[str]], config: str) -> Any:
    """The faults of a language's config, or config `open`, None where the release has none."""
    files, items, facts, keys = shared
    if config != "open":
        flat = read_splits(files.configs[config], (*_SHARED, "language", *_REQUIRED, *_OPTIONAL))
        return contradictions(items[config], facts, keys, flat)
    splits = files.configs.get(config)
    return splits and read_open(lambda names: read_splits(splits, names), facts, keys, items)


def _read(folder: Path, config: Config, build_tables: BuildTables) -> Release:
    files = find_files(folder)
    # A published repository with only the clean part names its rows after it.
    parallel = files.configs.get("parallel") or files.configs.get("clean")
    if parallel and "translations" in read_schema(next(iter(parallel.values()))[0]).names:
        table = read_splits(parallel)
        facts = _facts(table, str(folder))
        ids = facts.column("fact_id").to_pylist()
        items, malformed = items_of_parallel(table, ids)
        compared = [code for code in known() if code in files.configs and code in items]
    elif tables := _language_tables(files):
        facts, items, malformed = _from_languages(tables)
        compared, ids = [], facts.column("fact_id").to_pylist()
    else:
        raise DataError(
            f"{folder}: no config `parallel` and none of a language; found {', '.join(sorted(files.configs))}"
        )
    expected = _languages(files.manifest, config)
    broken = {(fact, code) for fact, code, _ in malformed}
    malformed += [gap for gap in missing_items(items, ids, expected) if gap[:2] not in broken]
    processes = config.extract.workers if len(facts) >= MANY_FACTS else 1
    opened, *differing = map_inheriting(_compare, (files, items, facts, keys_of(facts)), ["open", *compared], processes)
    return Release(
        name=folder.name,
        content=content_of(files.digests),
        facts=facts,
        items={code: items[code] for code in dict.fromkeys((*expected, *items)) if code in items},
        strata=build_tables.strata(facts),
        statements=build_tables.statements(facts),
        aliases=build_tables.aliases(facts),
        malformed=tuple(malformed),
        files=files.differences(),
        contradictions=tuple(fault for faults in differing for fault in faults),
        withdrawn=Counter(build_tables.strata(_withdrawn(files, ids)).to_pylist()),
        opened=opened,
        sitelinks=build_tables.sitelinks(),
        features=build_tables.features(),
    )
