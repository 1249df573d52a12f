"""What changed between two releases, and what that makes the new version: major, minor or patch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from polyfact_dataset.errors import DataError
from polyfact_dataset.records import OPTIONS
from polyfact_dataset.release.source import config_files

_HELD_OUT = ("validation", "test")


@dataclass
class Diff:
    """Everything that differs. Facts are ids; changes per language are counts with up to 20 examples in `examples`."""

    added: list[str] = field(default_factory=list)
    removed: dict[str, str] = field(default_factory=dict)
    questions: dict[str, int] = field(default_factory=dict)
    options: dict[str, int] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)
    tiers: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    leaked: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    languages: dict[str, str] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def level(self) -> str:
        """`major`: a user's code or comparison breaks (columns, languages, held-out sets). `minor`: facts, options or
        tiers change. `patch`: wordings only. `none`: the same content.
        """
        gone = any("removed" in change or "type" in change for change in self.columns.values())
        if gone or "removed" in self.languages.values() or self.leaked or self.splits:
            return "major"
        if self.added or self.removed or self.options or self.orders or self.tiers or self.columns or self.languages:
            return "minor"
        return "patch" if self.questions else "none"


def next_version(version: str, level: str) -> str:
    """The semantic version that follows. Raises `DataError` when `version` is not MAJOR.MINOR.PATCH."""
    try:
        major, minor, patch = (int(part) for part in version.split("."))
    except ValueError as error:
        raise DataError(f"version {version!r} is not MAJOR.MINOR.PATCH") from error
    return {
        "major": f"{major + 1}.0.0",
        "minor": f"{major}.{minor + 1}.0",
        "patch": f"{major}.{minor}.{patch + 1}",
        "none": version,
    }[level]


def _types(path: Path) -> dict[str, str]:
    """Column name -> type; the languages inside `translations` are compared apart."""
    schema = pq.read_schema(path)
    types = {item.name: str(item.type) for item in schema if item.name != "translations"}
    translations = schema.field("translations").type
    first = translations.field(0).type
    return {**types, **{f"translations.*.{item.name}": str(item.type) for item in first}}


def _languages(path: Path) -> list[str]:
    return [item.name for item in pq.read_schema(path).field("translations").type]


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    found = {name: "removed" for name in old if name not in new}
    found |= {name: "added" for name in new if name not in old}
    found |= {name: f"type {old[name]} -> {new[name]}" for name in old if name in new and old[name] != new[name]}
    return dict(sorted(found.items()))


def _load(connection: duckdb.DuckDBPyConnection, name: str, files: Mapping[str, list[Path]]) -> None:
    parts = " UNION ALL BY NAME ".join(
        f"SELECT *, '{split}' AS split FROM read_parquet([{', '.join(repr(str(path)) for path in paths)}])"
        for split, paths in files.items()
    )
    connection.execute(f"CREATE TEMP VIEW {name} AS {parts}")


def _why_gone(folder: Path) -> dict[str, str]:
    """Reasons for rejection in the new build's stages, when the release still stands in its build folder."""
    reasons: dict[str, str] = {}
    for path in sorted((folder.parent / "stages").glob("*/rejects.parquet")):
        table = pq.read_table(path, columns=["fact_id", "reason"])
        reasons.update(zip(table.column("fact_id").to_pylist(), table.column("reason").to_pylist()))
    return reasons


def compare(old: Path, new: Path) -> Diff:
    """Compares the `parallel` rows of two release folders."""
    files = {name: config_files(folder, "parallel") for name, folder in (("old", old), ("new", new))}
    paths = {name: next(iter(splits.values()))[0] for name, splits in files.items()}
    before, after = _languages(paths["old"]), _languages(paths["new"])
    diff = Diff(columns=_changes(_types(paths["old"]), _types(paths["new"])))
    diff.languages = _changes(dict.fromkeys(before, ""), dict.fromkeys(after, ""))
    with duckdb.connect() as connection:
        for name, splits in files.items():
            _load(connection, name, splits)
        _membership(connection, diff, _why_gone(new))
        _moves(connection, diff)
        for code in (code for code in before if code in after):
            _items(connection, diff, code)
    return diff


def _membership(connection: duckdb.DuckDBPyConnection, diff: Diff, reasons: Mapping[str, str]) -> None:
    query = "SELECT fact_id FROM {} WHERE fact_id NOT IN (SELECT fact_id FROM {}) ORDER BY fact_id"
    diff.added = [row[0] for row in connection.execute(query.format("new", "old")).fetchall()]
    removed = [row[0] for row in connection.execute(query.format("old", "new")).fetchall()]
    diff.removed = {fact: reasons.get(fact, "no longer stated, or its build is not at hand") for fact in removed}


def _moves(connection: duckdb.DuckDBPyConnection, diff: Diff) -> None:
    for target, column in ((diff.tiers, "quality_tier"), (diff.splits, "split")):
        for was, now, number in connection.execute(
            f"SELECT o.{column}, n.{column}, count(*) FROM old o JOIN new n USING (fact_id) "
            f"WHERE o.{column} <> n.{column} GROUP BY ALL ORDER BY ALL"
        ).fetchall():
            target[f"{was} -> {now}"] = number
    held_out = ", ".join(f"'{split}'" for split in _HELD_OUT)
    leaked = connection.execute(
        f"SELECT DISTINCT n.fact_id FROM new n JOIN old o ON o.subject_id = n.subject_id "
        f"WHERE n.split = 'train' AND o.split IN ({held_out}) ORDER BY ALL"
    )
    diff.leaked = [row[0] for row in leaked.fetchall()]


def _items(connection: duckdb.DuckDBPyConnection, diff: Diff, code: str) -> None:
    was, now = f"o.translations.\"{code}\"", f"n.translations.\"{code}\""
    texts = " OR ".join(f"{was}.{name} <> {now}.{name}" for name in OPTIONS)
    tests = {
        "questions": f"{was}.question <> {now}.question",
        "options": f"list_sort({was}.option_ids) <> list_sort({now}.option_ids)",
        "orders": f"list_sort({was}.option_ids) = list_sort({now}.option_ids) "
        f"AND ({was}.option_ids <> {now}.option_ids OR {texts})",
    }
    for name, condition in tests.items():
        found = connection.execute(
            f"SELECT fact_id, {was}.question, {now}.question FROM old o JOIN new n USING (fact_id) "
            f"WHERE {condition} ORDER BY fact_id"
        ).fetchall()
        if found:
            getattr(diff, name)[code] = len(found)
            shown = [f"{fact} {code}: {before} -> {after}" for fact, before, after in found[:20]]
            diff.examples.setdefault(name, []).extend(shown[: 20 - len(diff.examples.get(name, []))])


def changelog(diff: Diff, version: str, manifest: Mapping[str, Any]) -> str:
    """The change-log entry of the new version, in Markdown."""
    lines = [f"## {version}", "", f"Content `{manifest['content'][:16]}`, {diff.level} change.", ""]
    if diff.added or diff.removed:
        lines.append(f"- Facts: {len(diff.added):,} added, {len(diff.removed):,} removed.")
    named = (("Questions reworded", diff.questions), ("Options changed", diff.options))
    named += (("Labels or order of the options changed", diff.orders), ("Tiers moved", diff.tiers))
    named += (("Splits moved", diff.splits),)
    for title, counts in named:
        if counts:
            lines.append(f"- {title}: " + ", ".join(f"{key} {number:,}" for key, number in counts.items()) + ".")
    for title, changes in (("Columns", diff.columns), ("Languages", diff.languages)):
        if changes:
            lines.append(f"- {title}: " + ", ".join(f"`{name}` {change}" for name, change in changes.items()) + ".")
    if diff.level == "none":
        lines.append("- No change of content.")
    return "\n".join(lines) + "\n"
