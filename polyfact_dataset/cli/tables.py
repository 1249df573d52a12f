"""The output of the commands over a release, on standard output."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from polyfact_dataset.common.escaping import printable
from polyfact_dataset.schema import OPTIONS, SPLITS, TIERS

if TYPE_CHECKING:
    # Imported by those who call these functions: `show` needs none of them.
    from polyfact_dataset.hub.push import Pushed
    from polyfact_dataset.release.diff import Diff


class _Plain(Console):
    """Prints text literally: markup and terminal commands in it have no effect."""

    def __init__(self) -> None:
        # A pipe or a file has no width.
        super().__init__(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 160)

    def print(self, *shown: Any, **options: Any) -> None:
        super().print(*(printable(part) if isinstance(part, str) else part for part in shown), **options)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], texts: int = 1) -> Table:
    """A table whose first `texts` columns are text; the others are numbers."""
    table = Table(title=title, title_justify="left")
    for position, name in enumerate(columns):
        table.add_column(name, justify="left" if position < texts else "right")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else printable(str(cell)) for cell in row))
    return table


def _share(number: int, total: int) -> str:
    return f"{100 * number / total:.1f} %" if total else "–"


def as_json(value: object) -> None:
    """Any value as JSON."""
    print(json.dumps(value, ensure_ascii=False, indent=1))


def printed(text: str) -> None:
    """A line of text from a release, without terminal commands."""
    _Plain().print(text)


def stats(figures: Mapping[str, Any]) -> None:
    """The figures of a release."""
    console, facts = _Plain(), figures["facts"]
    console.print(
        f"{facts:,} facts, {figures['items']:,} items, {figures['subjects']:,} subjects, {figures['answers']:,} "
        f"answers; content {figures['content'][:16]}"
    )
    if figures.get("source") == "sample":
        console.print("made from the bundled sample, not a Wikidata dump")
    relations = [
        (f"{entry['label']} ({key})", *(entry["splits"][s] for s in SPLITS), *(entry["tiers"][t] for t in TIERS))
        for key, entry in figures["relations"].items()
    ]
    relations.append(("all", *(figures["splits"][s] for s in SPLITS), *(figures["tiers"][t] for t in TIERS)))
    console.print(_table("Facts by relation, split and tier", ("relation", *SPLITS, *TIERS), relations))
    sizes = [(name, *(by_split.get(s, 0) for s in SPLITS)) for name, by_split in figures["sizes"].items()]
    console.print(_table("Rows by config", ("config", *SPLITS), sizes))
    kinds: Counter[str] = Counter()
    for entry in figures["languages"].values():
        kinds.update(entry["answer_provenance"])
    names = [name for name, _ in kinds.most_common()]
    rows = [
        (code, *(_share(entry["answer_provenance"].get(kind, 0), facts) for kind in names), entry["questions"])
        for code, entry in figures["languages"].items()
    ]
    console.print(_table("Where the answers' labels are from", ("language", *names, "different questions"), rows))
    from polyfact_dataset.release.stats import popularity_names

    bins = figures["popularity"]["bins"]
    popular = [(name, *(bins[tier][position] for tier in TIERS)) for position, name in enumerate(popularity_names())]
    console.print(_table("Facts by the subject's sitelinks", ("sitelinks", *TIERS), popular))
    console.print("verification: " + ", ".join(f"{kind} {n:,}" for kind, n in figures["verification"].items()))


def fact(row: Mapping[str, Any]) -> None:
    """One fact in its languages, the answer marked."""
    console = _Plain()
    for name in (key for key in row if key != "translations"):
        console.print(f"{name}: {row[name]}")
    for code, item in row["translations"].items():
        console.print(f"\n{code}  {item.get('question')}")
        for slot, name in enumerate(OPTIONS):
            sign = "*" if slot == item["answer_index"] else " "
            where = f"{item['option_ids'][slot]}, {item['option_provenance'][slot]}"
            console.print(f"  {sign} {item[name]}  ({where})")


def hits(items: Sequence[Mapping[str, Any]], total: int) -> None:
    """Items found by a search."""
    console = _Plain()
    for item in items:
        console.print(f"{item['fact_id']}  {item['split']}, {item['quality_tier']}")
        console.print(f"  {item['language']}  {item['question']}  {item['answer']}")
    shown = f", the first {len(items):,} of them here" if total > len(items) else ""
    console.print(f"{total:,} items{shown}")


def diff(difference: Diff, versions: tuple[str, str], needed: str) -> None:
    """The changes, with examples, and the next version."""
    from polyfact_dataset.release.diff import changelog

    console = _Plain()
    console.print(
        f"{versions[0]} -> {versions[1]}: {'no' if difference.level == 'none' else f'a {difference.level}'} change; "
        f"the version after {versions[0]} is {needed}\n"
    )
    for line in changelog(difference):
        console.print(line)
    listed = {"added": difference.added, "removed": difference.removed}
    for kind, facts in listed.items():
        for name, reason in list(facts.items())[:20]:
            console.print(f"  {kind}: {difference.names.get(name, name)} ({name})  {reason}")
    for kind, examples in difference.examples.items():
        for example in examples:
            console.print(f"  {kind}: {example}")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"


def pushed(done: Pushed, repo: str) -> None:
    """The files of a push, and its result."""
    console = _Plain()
    for change in (change for change in done.changes if change.action != "keep"):
        console.print(f"{change.action:<6}  {_size(change.size_bytes):>10}  {change.path}")
    counts = Counter(change.action for change in done.changes)
    travelling = sum(change.size_bytes for change in done.changes if change.action in ("add", "change"))
    shown = {"foreign": "of others, kept", "conflict": "changed by others", "keep": "unchanged"}
    listed = [f"{number:,} {shown.get(action, f'to {action}')}" for action, number in sorted(counts.items())]
    console.print(f"{repo}: {', '.join(listed)}; {_size(travelling)} to send")
    if done.pull_request:
        state = "is there already" if done.present else "is open"
        console.print(f"pull request: {done.pull_request} {state}; once it is merged, push again to set the tag")
    elif done.tag:
        state = "is there already as" if done.present else "pushed as"
        console.print(f"{state} {done.tag} ({done.commit}), verified by loading it by name and tag")
    else:
        console.print("dry run: nothing was sent")
        if done.refusal:
            console.print(f"the push would be rejected: {done.refusal}")
