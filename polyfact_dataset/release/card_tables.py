"""The tables of the dataset card: rows for its template, from manifest, statistics, audit and leaderboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyfact_dataset.catalog.language import language
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.files import read_parquet
from polyfact_dataset.pipeline.stages import STAGES, TIER
from polyfact_dataset.release.audit_report import EVERY, AuditReport
from polyfact_dataset.release.models import ITEMS
from polyfact_dataset.release.reader import Release, default_config
from polyfact_dataset.release.schema import LEADERBOARD
from polyfact_dataset.schema import LABELS, SPLITS, VERIFICATION

LEADERBOARD_FILE = "leaderboard.parquet"


def percent(value: float) -> str:
    """A share as text."""
    return f"{100 * value:.1f} %"


def interval(low: float, high: float) -> str:
    """The ends of an interval of shares."""
    return f"{percent(low).removesuffix(' %')} to {percent(high)}"


def config_rows(release: Release) -> list[dict[str, Any]]:
    """Configs grouped by the type of their rows, with their sizes; all languages have equal sizes and share a line."""
    sizes, first = release.manifest["sizes"], release.languages[0]
    default = default_config(release.manifest)
    groups = (
        ((ITEMS,), ITEMS, "an item: one fact in one language, clean, all languages"),
        (("clean",), "clean", "a fact, clean, all languages in `translations`"),
        (("clean_<lang>",), f"clean_{first}", "an item, clean, one language, such as `clean_en`"),
        (("open", "clean_open"), "clean_open", "a fact without options, with all accepted answers (sizes: clean)"),
        (("parallel", "<lang>"), "parallel", "as `clean` and `clean_<lang>`, with all tiers"),
        ((VERIFICATION.name,), VERIFICATION.name, "an item that was judged"),
    )
    return [
        {
            "names": ", ".join(f"`{name}`" for name in names) + (" (default)" if shown == default else ""),
            "doc": doc,
            "sizes": [sizes[shown].get(split, 0) for split in SPLITS],
        }
        for names, shown, doc in groups
        if shown in sizes
    ]


def results(folder: Path) -> list[dict[str, Any]]:
    """The models of the release's leaderboard: label, accuracy over all languages, total consistency, interval."""
    path = folder / LEADERBOARD_FILE
    if not path.is_file():
        return []
    models: dict[str, dict[str, Any]] = {}
    for row in read_parquet(path, LEADERBOARD.schema.names).to_pylist():
        if row["language"] == "all":
            models.setdefault(row["model"], {})[row["measure"]] = row
    shown = []
    for label, measures in models.items():
        accuracy, consistency = measures["accuracy"], measures.get("total_consistency")
        ends = (accuracy["low"], accuracy["high"])
        shown.append(
            {
                "label": label,
                "accuracy": accuracy["value"],
                "consistency": percent(consistency["value"]) if consistency else "–",
                "interval": "–" if None in ends else interval(*ends),
            }
        )
    return sorted(shown, key=lambda row: (-row["accuracy"], row["label"]))


def _reasons(tally: Mapping[str, Mapping[str, Any]]) -> str:
    """Rejected facts by reason code, over all relations and languages, the commonest first."""
    reasons: Counter[str] = Counter()
    for entry in tally.values():
        for reason, number in entry["rejected"].items():
            reasons[reason.partition(":")[0]] += number
    return ", ".join(f"{reason} {number:,}" for reason, number in reasons.most_common())


def funnel(stages: Mapping[str, Any], statements: int) -> list[dict[str, Any]]:
    """Every stage that decides about facts, in order, with the number of kept facts and the reasons for rejections."""
    rows = [{"stage": "statements read", "kept": statements, "rejected": ""}]
    for name in (stage.name for stage in STAGES if stages.get(stage.name, {}).get("tally")):
        tally = stages[name]["tally"]
        rows.append({"stage": name, "kept": sum(e["kept"] for e in tally.values()), "rejected": _reasons(tally)})
    return rows


def _ambiguity(key: str, evidence: Mapping[str, Any], least: int) -> tuple[str, str, str]:
    """A relation's ambiguity that decides its tiers, the number of judged items, and the source."""
    known, value = all_relations().get(key), evidence["ambiguity"]
    if evidence["judged"] >= least:
        return percent(value), f"{evidence['judged']:,}", "this version"
    if value is None or known is None:
        return "–", "–", "–"
    return f"{100 * value:.0f} %", f"{known.judged:,}", "the paper"


def relations(statistics: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Facts per relation, with the judged ambiguity."""
    rows = []
    evidence = manifest["stages"][TIER.name]["counts"]["relations"]
    least = manifest["build"]["config"]["tiers"]["min_judged_items"]
    for key, entry in statistics["relations"].items():
        ambiguity, judged, where = _ambiguity(key, evidence[key], least)
        rows.append(
            {
                "id": key,
                "label": entry["label"],
                "facts": sum(entry["splits"].values()),
                "answers": entry["answers"],
                "splits": [entry["splits"][split] for split in SPLITS],
                "tiers": ", ".join(tier for tier, number in entry["tiers"].items() if number),
                "ambiguity": ambiguity,
                "judged": judged,
                "where": where,
            }
        )
    return rows


def floors(audit: AuditReport, split: str) -> list[dict[str, Any]]:
    """The rules and classifiers that know no fact, on a split (or `all`), over all languages together.

    Those scored on PolyFact-Clean come after those of all tiers. Raises `DataError` when the audit has none.
    """
    listed = [*audit.pooled(split), *audit.pooled(split, "clean")]
    # Attackers that are cross-validated have no figure of a split.
    cross_validated = [*audit.pooled(EVERY), *audit.pooled(EVERY, "clean")]
    known = {floor.rule for floor in audit.floors if floor.split == split}
    listed += [floor for floor in cross_validated if floor.rule not in known]
    if not listed:
        raise DataError(f"the audit has no rules for split {split}; rerun `polyfact audit`")
    return [
        {
            "rule": floor.rule,
            "takes": floor.takes + (" (clean)" if floor.config == "clean" else ""),
            "accuracy": floor.accuracy,
            "expected": floor.expected,
            "interval": interval(floor.low, floor.high),
        }
        for floor in listed
    ]


def attacked(audit: AuditReport) -> list[str]:
    """The languages in which the floors that read the question were trained and scored."""
    return sorted({floor.language for floor in audit.floors if floor.sees == "question"} - {EVERY})


def strongest(listed: Sequence[Mapping[str, Any]], most: int = 5) -> list[Mapping[str, Any]]:
    """The `most` floors of highest accuracy; of a rule that was scored on PolyFact-Clean too, only that score."""
    by_rule = {floor["rule"]: floor for floor in listed}
    return sorted(by_rule.values(), key=lambda floor: -floor["accuracy"])[:most]


def attestation(release: Release, statistics: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """The kinds of provenance that occur, the commonest first; and per language shares and counts."""
    provenances = {code: entry["answer_provenance"] for code, entry in statistics["languages"].items()}
    total: Counter[str] = Counter()
    for counts in provenances.values():
        total.update(counts)
    kinds = [kind for kind, _ in sorted(total.items(), key=lambda entry: (-entry[1], entry[0]))]
    attested = release.manifest["stages"][TIER.name]["counts"]["attested"]
    rows = [
        {
            "name": f"{language(code).name} (`{code}`)",
            **{key: number / statistics["facts"] for key, number in attested[code].items()},
            "provenance": [counts.get(kind, 0) for kind in kinds],
        }
        for code, counts in provenances.items()
    ]
    return kinds, rows


def verification(counts: Mapping[str, int]) -> str:
    """A sentence with the number of judged facts."""
    judged = {kind: number for kind, number in counts.items() if kind != "unverified"}
    if not judged:
        return "No item of this version was judged one by one."
    listed = ", ".join(f"{number:,} {kind}" for kind, number in judged.items())
    return f"Of the facts judged one by one, {listed}; {counts.get('unverified', 0):,} were not judged."


def _rate(entry: Mapping[str, Any]) -> dict[str, str]:
    """A share of items with its interval, as text."""
    if not entry["items"]:
        return {"items": "0", "share": "–", "interval": "–"}
    return {
        "items": f"{entry['items']:,}",
        "share": percent(entry["share"]),
        "interval": interval(entry["low"], entry["high"]),
    }


def judged(counts: Mapping[str, Any] | None, languages: Sequence[str]) -> dict[str, Any]:
    """The tables of what was judged: labels by language, and the agreement of judge and reviewers; {} for nothing."""
    if not counts or not counts["items"]:
        return {}
    order = [*languages, "all"]
    rates = [
        {"name": name, "labels": [figures["labels"][label] for label in LABELS], **_rate(figures["doubtful"])}
        for name, figures in ((name, counts["by_language"][name]) for name in order)
    ]
    pairs = {name: counts["agreement"][name] for name in order if name in counts["agreement"]} | counts["people"]
    agreed = [
        {
            "name": name,
            **_rate(figures["exact"]),
            "kappa": "undefined" if figures["kappa"] is None else f"{figures['kappa']:.3f}",
        }
        for name, figures in pairs.items()
    ]
    return {**counts, "rates": rates, "agreed": agreed}


def question_sources(statistics: Mapping[str, Any]) -> str:
    """The source of the questions, in words."""
    kinds = sorted({kind for entry in statistics["languages"].values() for kind in entry["question_source"]})
    templates = "from one template per relation, language and kind of subject"
    model = "by the model `{}`, which saw subject, relation and answer, but no other option"
    return " and ".join(templates if k == "template" else model.format(k.partition(":")[2]) for k in kinds)


def others(languages: Sequence[str], most: int) -> str:
    """Names of languages besides English, as examples in a sentence: "Swahili, Bengali or Japanese"."""
    preferred = dict.fromkeys(("sw", "bn", "ja", *languages))
    chosen = [language(code).name for code in preferred if code in languages and code != "en"][:most]
    return " or ".join(part for part in (", ".join(chosen[:-1]), *chosen[-1:]) if part) or "another language"
