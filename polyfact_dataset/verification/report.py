"""`polyfact verify report`: coverage, ambiguity, agreement, and the verification table that a build takes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.files import write_json, write_parquet, write_text
from polyfact_dataset.config.build import Config
from polyfact_dataset.items.agreement import RELAXED, agreement
from polyfact_dataset.items.evidence import relation_evidence
from polyfact_dataset.items.judgement_figures import ALL, agreements, ambiguity, label_pairs
from polyfact_dataset.schema import LABELS
from polyfact_dataset.verification.items import Item, Sample, load_sample
from polyfact_dataset.verification.journal import Reviews, all_reviews
from polyfact_dataset.verification.table import Source, as_table, source, table_rows

_JUDGE_AND_PEOPLE = (
    "Every reviewer's label of an item against the judge's. The interval allows for items of the same fact."
)


@dataclass(frozen=True)
class Section:
    """A table of the report, with what is to be said before it."""

    title: str
    said: str
    heading: tuple[str, ...]
    rows: list[list[str]]


def _key(item: Item) -> tuple[str, str, str]:
    return item.fact_id, item.language, item.item


def _by_language(sample: Sample) -> dict[str, list[Item]]:
    """Language -> its items; and all of them, last."""
    return {**{code: sample.of(code) for code in sample.languages}, ALL: list(sample.items)}


def coverage(sample: Sample, judge: Source, reviews: Sequence[Reviews]) -> dict[str, Any]:
    """Language -> items, judged, why the others are not, and labelled by each reviewer. Nothing is guessed."""
    found: dict[str, Any] = {}
    for code, items in _by_language(sample).items():
        unjudged: Counter[str] = Counter()
        for item in items:
            row = judge.rows.get(_key(item))
            if row is None or row["label"] is None:
                unjudged["not asked" if row is None else str(row["reason"])] += 1
        found[code] = {
            "items": len(items),
            "judged": len(items) - unjudged.total(),
            "unjudged": dict(sorted(unjudged.items())),
            "reviewed": {
                f"r{number}": sum(own.label(item) is not None for item in items)
                for number, own in enumerate(reviews, start=1)
            },
        }
    return found


def searched(sample: Sample, judge: Source) -> int | None:
    """How many of the judge's labels follow a web search; None where it could not search."""
    if not judge.about.get("search_tool"):
        return None
    rows = [judge.rows.get(_key(item)) or {} for item in sample.items]
    return sum(bool(row.get("label") and row["searches"]) for row in rows)


def figures(folder: Path, judge: Source, drift: Source, config: Config, relaxed: bool) -> dict[str, Any]:
    """All figures of a report, as JSON, over the items of the sample."""
    sample, reviews = load_sample(folder), all_reviews(folder)
    wanted = {item.key: item.item for item in sample.items}
    everything = table_rows(judge, drift, reviews)
    rows = [row for row in everything if wanted.get((row["fact_id"], row["language"])) == row["item"]]
    # What was said of an earlier wording counts in no build; of items outside the sample, only the build knows.
    standing = [row for row in everything if wanted.get((row["fact_id"], row["language"]), row["item"]) == row["item"]]
    relations = sorted({item.property_id for item in sample.items}, key=list(all_relations()).index)
    judged, people, reviewers = label_pairs(rows)
    evidence = relation_evidence(standing, relations, config.tiers)
    problems = Counter(problem for row in rows for problem in row["drift"])
    return {
        "sample": dict(sample.about),
        "judge": {"name": judge.name, **judge.about, "searched": searched(sample, judge)},
        "drift": {"name": drift.name, **drift.about, "problems": dict(sorted(problems.items()))},
        "reviewers": [{"number": f"r{n}", "broken_lines": own.broken} for n, own in enumerate(reviews, start=1)],
        "coverage": coverage(sample, judge, reviews),
        "labels": {label: sum(row["label"] == label for row in rows) for label in LABELS},
        "by_language": ambiguity(rows, "language", sample.languages),
        "by_relation": ambiguity(rows, "property_id", relations),
        "tiers": {
            relation: {"judged": own.judged, "ambiguity": own.ambiguity, "source": own.source}
            for relation, own in evidence.items()
        },
        "judge_and_people": agreements(judged, sample.languages, relaxed),
        "people": agreements(people, sample.languages),
        "reviewers_in_pairs": {names: agreement(pairs).as_json() for names, pairs in sorted(reviewers.items())},
    }


# ---------------------------------------------------------------- in words
def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _interval(entry: Mapping[str, Any]) -> str:
    return "–" if entry["low"] is None else f"{100 * entry['low']:.1f} to {100 * entry['high']:.1f} %"


def _kappa(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _coverage_section(found: Mapping[str, Any]) -> Section:
    names = [own["number"] for own in found["reviewers"]]
    rows = [
        [
            code,
            f"{own['items']:,}",
            f"{own['judged']:,}",
            ", ".join(f"{reason} {number:,}" for reason, number in own["unjudged"].items()) or "–",
            *(f"{own['reviewed'][name]:,}" for name in names),
        ]
        for code, own in found["coverage"].items()
    ]
    said = "Items with a label. What has none counts in no figure below."
    number = found["judge"]["searched"]
    if number is not None:
        said += f" The judge searched the web for {number:,} of its {found['coverage'][ALL]['judged']:,} labels."
    return Section("Coverage", said, ("language", "items", "judged", "without a label", *names), rows)


def _rate_section(found: Mapping[str, Any], name: str, title: str) -> Section:
    rows = []
    for value, own in found[name].items():
        shown = f"{all_relations()[value].label} ({value})" if value in all_relations() else value
        doubt = own["doubtful"]
        counts = [f"{own['labels'][label]:,}" for label in LABELS]
        rows.append([shown, f"{doubt['items']:,}", *counts, _percent(doubt["share"]), _interval(doubt)])
    said = "Share of items labelled ambiguous or incorrect: by the judge, by people where the judge has no label."
    return Section(title, said, (title.split()[-1], "items", *LABELS, "share", "95 % interval"), rows)


def _agreement_section(title: str, said: str, found: Mapping[str, Any], first: str) -> Section:
    relaxed = any(RELAXED in own for own in found.values())
    rows = []
    for name, own in found.items():
        exact = own["exact"]
        cells = [name, f"{exact['items']:,}", _percent(exact["share"]), _interval(exact), _kappa(own["kappa"])]
        rows.append([*cells, *([_percent(own[RELAXED])] if relaxed else [])])
    heading = (first, "labels", "exact", "95 % interval", "kappa", *(["relaxed"] if relaxed else []))
    return Section(title, said + (f" {RELAXED[0].upper()}{RELAXED[1:]}." if relaxed else ""), heading, rows)


def _confusion_section(title: str, found: Mapping[str, Any], first: str, raters: str) -> Section:
    rows = [
        [name, label, *map(str, counts)]
        for name, own in found.items()
        for label, counts in zip(LABELS, own["confusion"])
    ]
    row, column = raters.split(" / ")
    return Section(f"{title}: confusion", f"Rows: {row}; columns: {column}.", (first, raters, *LABELS), rows)


def _tier_section(found: Mapping[str, Any], limit: float) -> Section:
    rows = []
    for relation, own in found["tiers"].items():
        value = own["ambiguity"]
        outcome = "bronze" if value is not None and value > limit else "clean"
        name = f"{all_relations()[relation].label} ({relation})"
        rows.append([name, str(own["judged"]), _percent(value), outcome, own["source"]])
    said = "What tiers follow: the share drawn towards that of all relations, or the default where too few were judged."
    heading = ("relation", "judged", "ambiguity", "relation is", "from")
    return Section("Tiers", said, heading, rows)


def sections(found: Mapping[str, Any], config: Config) -> list[Section]:
    """The report as tables."""
    parts = [
        _coverage_section(found),
        _rate_section(found, "by_language", "Ambiguity by language"),
        _rate_section(found, "by_relation", "Ambiguity by relation"),
    ]
    both = "Two reviewers on the items that both labelled."
    for name, title, said, first, raters in (
        ("judge_and_people", "Judge and people", _JUDGE_AND_PEOPLE, "language", "judge / people"),
        ("people", "People and people", both, "language", "one / the other"),
        ("reviewers_in_pairs", "Reviewers in pairs", both, "reviewers", "first / second"),
    ):
        if found[name]:
            parts.append(_agreement_section(title, said, found[name], first))
            parts.append(_confusion_section(title, found[name], first, raters))
    if found["drift"]["name"]:
        rows = [[name, str(number)] for name, number in found["drift"]["problems"].items()] or [["none", "0"]]
        said = "What the judge of all languages together objects to."
        parts.append(Section("Drift from the triple", said, ("problem", "items"), rows))
    return [*parts, _tier_section(found, config.tiers.max_ambiguity)]


def markdown(found: Mapping[str, Any], parts: Sequence[Section]) -> str:
    """The report as Markdown."""
    judge, sample = found["judge"], found["sample"]
    lines = [
        "# Verification",
        "",
        f"Release {sample['release'][:12]}, seed {sample['seed']}. Judge: {judge.get('model', 'none')}"
        + (f" ({judge['api']}{', web search' if judge['search_tool'] else ''})" if judge["name"] else "")
        + f". Reviewers: {len(found['reviewers'])}.",
    ]
    test = judge.get("self_test")
    if test:
        lines += ["", f"Self-test: recall {test['recall']:.1%}, false alarms {test['false_alarms']:.1%}."]
    for part in parts:
        lines += ["", f"## {part.title}", "", part.said, ""]
        lines += ["| " + " | ".join(part.heading) + " |", "|---" * len(part.heading) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in part.rows]
    return "\n".join(lines) + "\n"


def run(folder: Path, config: Config, *, judge: str, drift: str, relaxed: bool, quiet: bool) -> None:
    """Writes `report/` and `verification.parquet` into the folder, and prints the tables."""
    own, other = source(folder, "judgements", judge), source(folder, "drift", drift)
    found = figures(folder, own, other, config, relaxed)
    parts = sections(found, config)
    write_json(folder / "report" / "report.json", found)
    write_text(folder / "report" / "report.md", markdown(found, parts))
    rows = table_rows(own, other, all_reviews(folder))
    write_parquet(folder / "verification.parquet", as_table(rows))
    # What `polyfact build --objections` takes: questions of a model that are to be replaced by the template's.
    drifted = "".join(f"{row['fact_id']},{row['language']}\n" for row in rows if row["drift"])
    write_text(folder / "objections.csv", f"fact_id,language\n{drifted}")
    if not quiet:
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
        for part in parts:
            table = Table(*part.heading, box=None, pad_edge=False)
            for row in part.rows:
                table.add_row(*row)
            console.print(part.title, style="italic")
            console.print(table)
            console.print(part.said, style="dim")
            console.print()
    for number, reviewer in enumerate(all_reviews(folder), start=1):
        # Names are for whoever runs this; no file has them but the reviewers' own.
        print(f"r{number} is {reviewer.reviewer}")
        if reviewer.broken:
            lines = ", ".join(map(str, reviewer.broken))
            print(f"{reviewer.reviewer}: lines {lines} are no reviews and do not count", file=sys.stderr)
    print(f"{len(rows):,} judged items: {folder / 'verification.parquet'}; report: {folder / 'report' / 'report.md'}")
