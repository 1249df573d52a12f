"""Compares two releases and derives the new version: major, minor or patch.

Rows are compared by fact id and language, not by file or position: moving rows to other files does not change the
content.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
from packaging.version import InvalidVersion, Version

from polyfact_dataset.common.database import rows_of
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import read_schema, readable
from polyfact_dataset.release.query import select_rows
from polyfact_dataset.release.reader import config_files, read_errata, read_manifest
from polyfact_dataset.schema import OPTIONS

UNKNOWN = "reason not known"
_HELD_OUT = ("validation", "test")
_EXAMPLES = 20
# Columns of an item with a separate heading in a change log.
_ITEM_KINDS = ("question", "template", "option_ids", "answer_index", "answer_text", *OPTIONS)


@dataclass
class Diff:
    """Everything that differs between two releases.

    `added` maps fact ids to the reason why the earlier build did not have them, `removed` to the reason why the new
    one does not, if the build folders are available. `questions`, `options` (other entities), `orders` (the same
    entities in another order), `labels` (the same order, other texts) and `templates` (another wording: its key) count
    facts per language; `moved_templates` counts facts by the keys before and after; `values` counts facts per other
    column. `tiers` and `splits` count moves. `leaked` lists facts in train whose subject was held out.
    `examples` shows up to 20 changes of each kind.
    """

    added: dict[str, str] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)
    questions: dict[str, int] = field(default_factory=dict)
    options: dict[str, int] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    templates: dict[str, int] = field(default_factory=dict)
    moved_templates: dict[str, int] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    tiers: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    leaked: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    languages: dict[str, str] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    # Fact -> its labels in English, of the facts that are shown.
    names: dict[str, str] = field(default_factory=dict, compare=False)
    content_changed: bool = False
    facts_before: int = 0

    @property
    def level(self) -> str:
        """`major`: a user's code or comparison breaks: a column, language or config is gone or of another type, a fact
        moved between splits, or most facts are gone. `minor`: facts, options, their order or tiers change, or something
        is added. `patch`: wordings, labels and other values. `none`: the same content to the byte.
        """
        schema = [*self.columns.values(), *self.languages.values(), *self.configs.values()]
        if any(not change.startswith("added") for change in schema) or self.leaked or self.splits:
            return "major"
        if 2 * len(self.removed) > self.facts_before > 0:
            return "major"
        if self.added or self.removed or self.options or self.orders or self.tiers or schema:
            return "minor"
        return (
            "patch"
            if self.questions or self.labels or self.templates or self.values or self.content_changed
            else "none"
        )

    def as_json(self) -> str:
        """The whole difference, with its level, as JSON."""
        return json.dumps({"level": self.level, **asdict(self)}, ensure_ascii=False, indent=1)


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    changes = {name: "removed" for name in old if name not in new}
    changes |= {name: "added" for name in new if name not in old}
    changes |= {name: f"type {old[name]} -> {new[name]}" for name in old if name in new and old[name] != new[name]}
    return dict(sorted(changes.items()))


class _Side:
    """One of the two releases: its manifest, its parallel files, its build folder if it is available."""

    def __init__(self, folder: Path) -> None:
        self.manifest = read_manifest(folder)
        self.files = config_files(folder, "parallel", self.manifest)
        self.schema: pa.Schema = read_schema(next(iter(self.files.values()))[0])
        self.stages = folder.resolve().parent / "stages"
        self.errata = read_errata(folder)

    @property
    def languages(self) -> list[str]:
        return [item.name for item in self.schema.field("translations").type]

    @property
    def types(self) -> dict[str, str]:
        """Column -> type; columns of the items are named `translations.*.<name>`."""
        shared = {item.name: str(item.type) for item in self.schema if item.name != "translations"}
        item = self.schema.field("translations").type.field(0).type
        return {**shared, **{f"translations.*.{part.name}": str(part.type) for part in item}}

    def view(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        connection.execute(f"CREATE TEMP VIEW {name} AS {select_rows(self.files)}")

    def why_absent(self, facts: Sequence[str]) -> dict[str, str]:
        """The reasons why this build lacks the facts: the rejection, or absence from its dump."""
        statements = sorted(self.stages.glob("*-extract/statements.parquet"))
        if not facts or not statements:
            return {}
        with readable(self.stages), duckdb.connect() as connection:
            connection.register("absent", pa.table({"fact_id": pa.array(facts, pa.string())}))
            rejects = sorted(self.stages.glob("*/rejects.parquet"))
            rejected = connection.execute(
                f"SELECT fact_id, max(reason) FROM {rows_of(rejects)} JOIN absent USING (fact_id) "
                "WHERE reason <> 'repeated' GROUP BY fact_id"
            ).fetchall()
            stated = connection.execute(
                "SELECT fact_id FROM (SELECT subject || '|' || property || '|' || object AS fact_id "
                f"FROM {rows_of(statements)}) SEMI JOIN absent USING (fact_id)"
            ).fetchall()
        known = {fact for (fact,) in stated}
        return {**{fact: "not stated in the dump" for fact in facts if fact not in known}, **dict(rejected)}


def compare(old: Path, new: Path) -> Diff:
    """Compares two release folders. Raises `ConfigError` or `DataError` when one is not a release."""
    before, after = _Side(old), _Side(new)
    diff = Diff(columns=_changes(before.types, after.types))
    diff.languages = _changes(dict.fromkeys(before.languages, ""), dict.fromkeys(after.languages, ""))
    diff.configs = _changes(dict.fromkeys(before.manifest["configs"], ""), dict.fromkeys(after.manifest["configs"], ""))
    diff.content_changed = before.manifest["content"] != after.manifest["content"]
    if not diff.content_changed:
        return diff
    with readable(new), duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        before.view(connection, "old")
        after.view(connection, "new")
        _membership(connection, diff, before, after)
        _moves(connection, diff)
        common = [name for name in before.types if name in after.types]
        shared = [name for name in common if "." not in name and name not in ("fact_id", "quality_tier")]
        _values(connection, diff, [(name, f'"{name}"') for name in shared])
        parts = [name.rpartition(".")[2] for name in common if name.startswith("translations.")]
        for code in (code for code in before.languages if code in after.languages):
            _items(connection, diff, code, parts)
    return diff


def _membership(connection: duckdb.DuckDBPyConnection, diff: Diff, before: _Side, after: _Side) -> None:
    query = "SELECT fact_id FROM {} WHERE fact_id NOT IN (SELECT fact_id FROM {}) ORDER BY fact_id"
    added = [row[0] for row in connection.execute(query.format("new", "old")).fetchall()]
    removed = [row[0] for row in connection.execute(query.format("old", "new")).fetchall()]
    earlier, now = before.why_absent(added), after.why_absent(removed)
    (diff.facts_before,) = connection.execute("SELECT count(*) FROM old").fetchone() or (0,)
    diff.added = {fact: earlier.get(fact, UNKNOWN) for fact in added}
    for side, facts in (("old", removed), ("new", added)):
        shown = connection.execute(
            f"SELECT fact_id, subject || ' – ' || relation || ' – ' || object FROM {side} "
            "WHERE list_contains($facts, fact_id)",
            {"facts": facts[:_EXAMPLES]},
        )
        diff.names |= dict(shown.fetchall())
    wrong = {row["fact_id"]: f"erratum: {row['reason']}" for row in (*before.errata, *after.errata)}
    diff.removed = {fact: wrong.get(fact) or now.get(fact, UNKNOWN) for fact in removed}


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


def _values(connection: duckdb.DuckDBPyConnection, diff: Diff, columns: Sequence[tuple[str, str]]) -> None:
    """Counts facts whose value differs, per (name, SQL expression over one side's columns)."""
    counts = ", ".join(f"count(*) FILTER (o.{at} IS DISTINCT FROM n.{at})" for _, at in columns)
    row = connection.execute(f"SELECT {counts} FROM old o JOIN new n USING (fact_id)").fetchone()
    for (name, _), number in zip(columns, row or ()):
        if number:
            diff.values[name] = diff.values.get(name, 0) + number


def _items(connection: duckdb.DuckDBPyConnection, diff: Diff, code: str, parts: Sequence[str]) -> None:
    was, now = f'o.translations."{code}"', f'n.translations."{code}"'
    texts = " OR ".join(f"{was}.{name} <> {now}.{name}" for name in OPTIONS)
    same = f"list_sort({was}.option_ids) = list_sort({now}.option_ids)"
    tests = {
        "questions": f"{was}.question <> {now}.question",
        "options": f"NOT {same}",
        "orders": f"{same} AND {was}.option_ids <> {now}.option_ids",
        "labels": f"{was}.option_ids = {now}.option_ids AND ({texts})",
    }
    if "template" in parts:
        tests["templates"] = f"{was}.template <> {now}.template"
    for name, condition in tests.items():
        texts_of = {"questions": "{}.question", "labels": "{}.answer_text", "templates": "{}.template"}
        options = "concat_ws(' · ', " + ", ".join("{0}." + option for option in OPTIONS) + ")"
        shown = texts_of.get(name, options)
        query = f"FROM old o JOIN new n USING (fact_id) WHERE {condition}"
        (number,) = connection.execute(f"SELECT count(*) {query}").fetchone() or (0,)
        examples = diff.examples.setdefault(name, [])
        if number:
            getattr(diff, name)[code] = number
            rows = connection.execute(
                f"SELECT fact_id, {shown.format(was)}, {shown.format(now)} {query} ORDER BY fact_id LIMIT {_EXAMPLES}"
            ).fetchall()
            examples += [f"{fact} {code}: {a} -> {b}" for fact, a, b in rows][: _EXAMPLES - len(examples)]
        if not examples:
            del diff.examples[name]
    if code in diff.templates:
        for before, after, number in connection.execute(
            f"SELECT {was}.template, {now}.template, count(*) FROM old o JOIN new n USING (fact_id) "
            f"WHERE {tests['templates']} GROUP BY ALL ORDER BY ALL"
        ).fetchall():
            diff.moved_templates[f"{code} {before or 'model'} -> {after or 'model'}"] = number
    others = [name for name in parts if name not in _ITEM_KINDS]
    _values(connection, diff, [(f"translations.*.{name}", f'translations."{code}"."{name}"') for name in others])


def next_version(version: str, level: str) -> str:
    """The semantic version that follows a change of `level`. Raises `DataError` if `version` is not semantic."""
    now = semantic(version)
    return {
        "major": f"{now.major + 1}.0.0",
        "minor": f"{now.major}.{now.minor + 1}.0",
        "patch": f"{now.major}.{now.minor}.{now.micro + 1}",
        "none": version,
    }[level]


def semantic(version: str) -> Version:
    """A version that can be compared. Raises `DataError` when it is not MAJOR.MINOR.PATCH."""
    try:
        parsed = Version(version)
    except InvalidVersion as error:
        raise DataError(f"version {version!r} is not MAJOR.MINOR.PATCH") from error
    if str(parsed) != version or parsed.release != (parsed.major, parsed.minor, parsed.micro):
        raise DataError(f"version {version!r} is not MAJOR.MINOR.PATCH")
    return parsed


def _counted(reasons: Mapping[str, str], where: str) -> str:
    """Facts by reason, the commonest first; empty where no reason is known."""
    counts = Counter(reason.partition(":")[0] for reason in reasons.values())
    if set(counts) <= {UNKNOWN}:
        return ""
    listed = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return f" ({where}: " + ", ".join(f"{reason} {number:,}" for reason, number in listed) + ")"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())


def _by_language(counts: Mapping[str, int]) -> str:
    """Facts by language; the number only once where it is the same for several."""
    numbers = set(counts.values())
    return (
        f"{numbers.pop():,} in each of {len(counts)} languages" if len(numbers) == 1 < len(counts) else _listed(counts)
    )


def changelog(diff: Diff) -> list[str]:
    """The lines of a change-log entry, in Markdown: one for each kind of change."""
    lines = []
    if diff.added:
        lines.append(f"- Facts added: {len(diff.added):,}{_counted(diff.added, 'in the earlier build')}.")
    if diff.removed:
        lines.append(f"- Facts removed: {len(diff.removed):,}{_counted(diff.removed, 'in the new build')}.")
    counted = {
        "Questions reworded": _by_language(diff.questions),
        "Wordings exchanged": _by_language(diff.templates),
        "Options exchanged": _by_language(diff.options),
        "Options in another order": _by_language(diff.orders),
        "Labels corrected": _by_language(diff.labels),
        "Tiers moved": _listed(diff.tiers),
        "Splits moved": _listed(diff.splits),
        "Other columns, facts with a new value": _listed({f"`{name}`": n for name, n in diff.values.items()}),
    }
    lines += [f"- {title}: {counts}." for title, counts in counted.items() if counts]
    for title, changes in (("Columns", diff.columns), ("Languages", diff.languages), ("Configs", diff.configs)):
        if changes:
            lines.append(f"- {title}: " + ", ".join(f"`{name}` {change}" for name, change in changes.items()) + ".")
    if diff.leaked:
        lines.append(f"- **Held-out subjects in train: {len(diff.leaked):,}.**")
    if not lines:
        lines.append("- The same rows in other files." if diff.content_changed else "- No change of content.")
    return lines


def require_no_leak(diff: Diff) -> None:
    """Raises `DataError` when a held-out subject is in train."""
    if diff.leaked:
        shown = ", ".join(diff.leaked[:3])
        raise DataError(
            f"{len(diff.leaked):,} facts in train have a subject that was in {' or '.join(_HELD_OUT)} before "
            f"({shown}, ...); rebuild the new release with --previous"
        )
