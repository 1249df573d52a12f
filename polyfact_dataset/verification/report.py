"""`polyfact verify report`: coverage, ambiguity, agreement, and the verification table that a build reads."""

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
from polyfact_dataset.schema import LABELS, UNSURE
from polyfact_dataset.verification.items import Item, Sample, load_sample, locked
from polyfact_dataset.verification.journal import Reviews, all_reviews
from polyfact_dataset.verification.table import JudgeTable, as_table, judge_table, table_rows

_JUDGE_AND_PEOPLE = (
    "Every reviewer's label of an item against the judge's. The interval allows for items of the same fact."
)


@dataclass(frozen=True)
class ReportTable:
    """A table of the report, with the text that introduces it."""

    title: str
    text: str
    heading: tuple[str, ...]
    rows: list[list[str]]


def _key(item: Item) -> tuple[str, str, str]:
    return item.fact_id, item.language, item.item


def _by_language(sample: Sample) -> dict[str, list[Item]]:
    """Language -> its items; and all of them, last."""
    return {**{code: sample.of(code) for code in sample.languages}, ALL: list(sample.items)}


def coverage(sample: Sample, judge: JudgeTable, reviews: Sequence[Reviews]) -> dict[str, Any]:
    """Language -> number of items, judged, unjudged by reason, and for each reviewer those labelled and `unsure`."""
    by_language: dict[str, Any] = {}
    for code, items in _by_language(sample).items():
        unjudged: Counter[str] = Counter()
        for item in items:
            row = judge.rows.get(_key(item))
            if row is None or row["label"] is None:
                unjudged["not asked" if row is None else str(row["reason"])] += 1
        answers = {
            f"r{number}": Counter(review.label for review in map(reviewer.label, items) if review is not None)
            for number, reviewer in enumerate(reviews, start=1)
        }
        by_language[code] = {
            "items": len(items),
            "judged": len(items) - unjudged.total(),
            "unjudged": dict(sorted(unjudged.items())),
            "reviewed": {name: counts.total() - counts[UNSURE] for name, counts in answers.items()},
            "unsure": {name: counts[UNSURE] for name, counts in answers.items()},
        }
    return by_language


def searched(sample: Sample, judge: JudgeTable) -> int | None:
    """The number of the judge's labels that follow a web search; None where it could not search."""
    if not judge.about.get("search_tool"):
        return None
    rows = [judge.rows.get(_key(item)) or {} for item in sample.items]
    return sum(bool(row.get("label") and row["searches"]) for row in rows)


def figures(folder: Path, judge: JudgeTable, drift: JudgeTable, config: Config, relaxed: bool) -> dict[str, Any]:
    """All figures of a report, as JSON, over the items of the sample."""
    sample, reviews = load_sample(folder), all_reviews(folder)
    sampled = {item.key: item.item for item in sample.items}
    everything = table_rows(judge, drift, reviews)
    rows = [row for row in everything if sampled.get((row["fact_id"], row["language"])) == row["item"]]
    # Labels of an earlier wording are ignored by builds. Only the build can detect changed items outside the sample.
    valid = [row for row in everything if sampled.get((row["fact_id"], row["language"]), row["item"]) == row["item"]]
    relations = sorted({item.property_id for item in sample.items}, key=list(all_relations()).index)
    judged, people, reviewers = label_pairs(rows)
    evidence = relation_evidence(valid, relations, config.tiers)
    problems = Counter(problem for row in rows for problem in row["drift"])
    return {
        "sample": dict(sample.about),
        "judge": {"name": judge.name, **judge.about, "searched": searched(sample, judge)},
        "drift": {"name": drift.name, **drift.about, "problems": dict(sorted(problems.items()))},
        "reviewers": [{"number": f"r{n}", "broken_lines": one.broken} for n, one in enumerate(reviews, start=1)],
        "coverage": coverage(sample, judge, reviews),
        "labels": {label: sum(row["label"] == label for row in rows) for label in LABELS},
        "by_language": ambiguity(rows, "language", sample.languages),
        "by_relation": ambiguity(rows, "property_id", relations),
        "tiers": {
            relation: {"judged": entry.judged, "ambiguity": entry.ambiguity, "source": entry.source}
            for relation, entry in evidence.items()
        },
        "judge_and_people": agreements(judged, sample.languages, relaxed),
        "people": agreements(people, sample.languages),
        "reviewers_in_pairs": {names: agreement(pairs).as_json() for names, pairs in sorted(reviewers.items())},
    }


# ---------------------------------------------------------------- tables and text
def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _interval(entry: Mapping[str, Any]) -> str:
    return "–" if entry["low"] is None else f"{100 * entry['low']:.1f} to {100 * entry['high']:.1f} %"


def _kappa(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _reviewed(labelled: int, unsure: int) -> str:
    return f"{labelled:,}" + (f" ({unsure:,} unsure)" if unsure else "")


def _coverage_section(report: Mapping[str, Any]) -> ReportTable:
    names = [entry["number"] for entry in report["reviewers"]]
    rows = [
        [
            code,
            f"{entry['items']:,}",
            f"{entry['judged']:,}",
            ", ".join(f"{reason} {number:,}" for reason, number in entry["unjudged"].items()) or "–",
            *(_reviewed(entry["reviewed"][name], entry["unsure"][name]) for name in names),
        ]
        for code, entry in report["coverage"].items()
    ]
    text = "Items with a label. Items without one count in no figure below."
    number = report["judge"]["searched"]
    if number is not None:
        text += f" The judge searched the web for {number:,} of its {report['coverage'][ALL]['judged']:,} labels."
    return ReportTable("Coverage", text, ("language", "items", "judged", "without a label", *names), rows)


def _rate_section(report: Mapping[str, Any], name: str, title: str) -> ReportTable:
    rows = []
    for value, entry in report[name].items():
        shown = f"{all_relations()[value].label} ({value})" if value in all_relations() else value
        doubt = entry["doubtful"]
        counts = [f"{entry['labels'][label]:,}" for label in LABELS]
        rows.append([shown, f"{doubt['items']:,}", *counts, _percent(doubt["share"]), _interval(doubt)])
    text = "Share of items labelled ambiguous or incorrect: by the judge, or by people where the judge has no label."
    return ReportTable(title, text, (title.split()[-1], "items", *LABELS, "share", "95 % interval"), rows)


def _agreement_section(title: str, text: str, report: Mapping[str, Any], first: str) -> ReportTable:
    relaxed = any(RELAXED in entry for entry in report.values())
    rows = []
    for name, entry in report.items():
        exact = entry["exact"]
        cells = [name, f"{exact['items']:,}", _percent(exact["share"]), _interval(exact), _kappa(entry["kappa"])]
        rows.append([*cells, *([_percent(entry[RELAXED])] if relaxed else [])])
    heading = (first, "labels", "exact", "95 % interval", "kappa", *(["relaxed"] if relaxed else []))
    return ReportTable(title, text + (f" {RELAXED[0].upper()}{RELAXED[1:]}." if relaxed else ""), heading, rows)


def _confusion_section(title: str, report: Mapping[str, Any], first: str, raters: str) -> ReportTable:
    rows = [
        [name, label, *map(str, counts)]
        for name, entry in report.items()
        for label, counts in zip(LABELS, entry["confusion"])
    ]
    row, column = raters.split(" / ")
    return ReportTable(f"{title}: confusion", f"Rows: {row}; columns: {column}.", (first, raters, *LABELS), rows)


def _tier_section(report: Mapping[str, Any], limit: float) -> ReportTable:
    rows = []
    for relation, entry in report["tiers"].items():
        value = entry["ambiguity"]
        outcome = "bronze" if value is not None and value > limit else "clean"
        name = f"{all_relations()[relation].label} ({relation})"
        rows.append([name, str(entry["judged"]), _percent(value), outcome, entry["source"]])
    text = "The basis of the tiers: the share shrunk towards that of all relations, or the default with too few items."
    heading = ("relation", "judged", "ambiguity", "relation is", "from")
    return ReportTable("Tiers", text, heading, rows)


def sections(report: Mapping[str, Any], config: Config) -> list[ReportTable]:
    """The report as tables."""
    parts = [
        _coverage_section(report),
        _rate_section(report, "by_language", "Ambiguity by language"),
        _rate_section(report, "by_relation", "Ambiguity by relation"),
    ]
    both = "Two reviewers on the items that both labelled."
    for name, title, text, first, raters in (
        ("judge_and_people", "Judge and people", _JUDGE_AND_PEOPLE, "language", "judge / people"),
        ("people", "People and people", both, "language", "one / the other"),
        ("reviewers_in_pairs", "Reviewers in pairs", both, "reviewers", "first / second"),
    ):
        if report[name]:
            parts.append(_agreement_section(title, text, report[name], first))
            parts.append(_confusion_section(title, report[name], first, raters))
    if report["drift"]["name"]:
        rows = [[name, str(number)] for name, number in report["drift"]["problems"].items()] or [["none", "0"]]
        text = "Objections of the judge that sees all languages at once."
        parts.append(ReportTable("Drift from the triple", text, ("problem", "items"), rows))
    return [*parts, _tier_section(report, config.tiers.max_ambiguity)]


def markdown(report: Mapping[str, Any], parts: Sequence[ReportTable]) -> str:
    """The report as Markdown."""
    judge, sample = report["judge"], report["sample"]
    lines = [
        "# Verification",
        "",
        f"Release {sample['release'][:12]}, seed {sample['seed']}. Judge: {judge.get('model', 'none')}"
        + (f" ({judge['api']}{', web search' if judge['search_tool'] else ''})" if judge["name"] else "")
        + f". Reviewers: {len(report['reviewers'])}.",
    ]
    test = judge.get("self_test")
    if test:
        lines += ["", f"Self-test: recall {test['recall']:.1%}, false alarms {test['false_alarms']:.1%}."]
    for part in parts:
        lines += ["", f"## {part.title}", "", part.text, ""]
        lines += ["| " + " | ".join(part.heading) + " |", "|---" * len(part.heading) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in part.rows]
    return "\n".join(lines) + "\n"


def run(folder: Path, config: Config, *, judge: str, drift: str, relaxed: bool, quiet: bool) -> None:
    """Writes `report/` and `verification.parquet` into the folder, and prints the tables."""
    with locked(folder):
        _run(folder, config, judge=judge, drift=drift, relaxed=relaxed, quiet=quiet)


def _run(folder: Path, config: Config, *, judge: str, drift: str, relaxed: bool, quiet: bool) -> None:
    judged, drifted = judge_table(folder, "judgements", judge), judge_table(folder, "drift", drift)
    report = figures(folder, judged, drifted, config, relaxed)
    parts = sections(report, config)
    write_json(folder / "report" / "report.json", report)
    write_text(folder / "report" / "report.md", markdown(report, parts))
    rows = table_rows(judged, drifted, all_reviews(folder))
    write_parquet(folder / "verification.parquet", as_table(rows))
    # For `polyfact build --objections`: a model's questions that are to be replaced by templates.
    objections = "".join(f"{row['fact_id']},{row['language']}\n" for row in rows if row["drift"])
    write_text(folder / "objections.csv", f"fact_id,language\n{objections}")
    if not quiet:
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
        for part in parts:
            table = Table(*part.heading, box=None, pad_edge=False)
            for row in part.rows:
                table.add_row(*row)
            console.print(part.title, style="italic")
            console.print(table)
            console.print(part.text, style="dim")
            console.print()
    for number, reviewer in enumerate(all_reviews(folder), start=1):
        # Reviewers' names are printed only; except the reviews, no file contains them.
        print(f"r{number} is {reviewer.reviewer}")
        if reviewer.broken:
            lines = ", ".join(map(str, reviewer.broken))
            print(f"{reviewer.reviewer}: lines {lines} are not reviews and are ignored", file=sys.stderr)
    print(f"{len(rows):,} judged items: {folder / 'verification.parquet'}; report: {folder / 'report' / 'report.md'}")
