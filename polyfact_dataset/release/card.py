"""The dataset card, the datasheet and the licence: templates of `dataset_card`, filled from a release.

No number is typed, and a number that the release lacks is an error: undefined and null values stop the rendering.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import duckdb
import pyarrow as pa
from jinja2 import Environment, StrictUndefined, UndefinedError

from polyfact_dataset.catalog.language import language
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.escaping import markdown
from polyfact_dataset.config.build import load_config
from polyfact_dataset.pipeline.stages import CANDIDATES, EXTRACT, QUESTIONS, STAGES, TIER, VALIDATE
from polyfact_dataset.release.audit_report import AuditReport, Floor
from polyfact_dataset.release.metadata import block
from polyfact_dataset.release.reader import Release, config_files
from polyfact_dataset.release.stats import file_list
from polyfact_dataset.schema import (
    _ITEM,
    FLAT_ROWS,
    LABELS,
    OPEN_ITEM,
    OPTIONS,
    SPLITS,
    VERIFICATION,
    Column,
    parallel_rows,
)

_EXAMPLE_LANGUAGES = ("en", "sw", "bn", "ja", "ar", "ru")
_LICENCES = {
    "cc0-1.0": ("CC0 1.0", "CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "cc-by-4.0": ("CC BY 4.0", "CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/"),
    "cc-by-sa-4.0": ("CC BY-SA 4.0", "CC-BY-SA-4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
}
_TIERS = {
    "gold": "a Clean relation, every label of the item attested in Wikidata in all languages, no doubt from a judge",
    "silver": "the same, with labels that Wikidata does not attest",
    "bronze": "a relation with judged ambiguity above {limit}, or an item judged ambiguous in a language",
}


def licences(release: Release) -> list[dict[str, str]]:
    """The licence of the facts, then that of the questions: `id` on the Hub, `name`, `spdx`, `url`."""
    ids = ("cc0-1.0", str(release.about["release"]["questions_licence"]))
    return [{"id": key, **dict(zip(("name", "spdx", "url"), _LICENCES[key]))} for key in ids]


def citation() -> dict[str, Any]:
    """Whom to cite: `dataset_card/citation.toml`."""
    return tomllib.loads(files("dataset_card").joinpath("citation.toml").read_text(encoding="utf-8"))


def contact(release: Release) -> str:
    """Where to write: the configured address, or the discussions of the repository."""
    settings = release.about["release"]
    return settings["contact"] or f"https://huggingface.co/datasets/{settings['repository']}/discussions"


# -------------------------------------------------------------------- text
def _code(text: str) -> str:
    """An id as code inside Markdown, which it cannot end."""
    return f"`{' '.join(text.replace('`', '').split())}`"


def _cell(text: str) -> str:
    """Our own Markdown inside a table."""
    return text.replace("|", "\\|")


def percent(value: float) -> str:
    """A share as a reader writes it."""
    return f"{100 * value:.1f} %"


def _required(value: Any) -> Any:
    """The value itself. Raises `UndefinedError` when there is none."""
    if value is None:
        raise UndefinedError("a value is null")
    str(value)  # an undefined one raises, and names itself
    return value


def _environment() -> Environment:
    environment = Environment(
        undefined=StrictUndefined,
        finalize=_required,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters.update(
        number=lambda value: f"{_required(value):,}",
        percent=percent,
        escape=markdown,
        code=_code,
        cell=_cell,
        of=lambda key, counts: counts.get(key, 0),
    )
    return environment


def render(name: str, values: Mapping[str, Any]) -> str:
    """A template of `dataset_card`. Raises `DataError` naming what the release lacks."""
    template = files("dataset_card").joinpath(name).read_text(encoding="utf-8")
    try:
        return _environment().from_string(template).render(values)
    except (UndefinedError, TypeError, ZeroDivisionError) as error:
        raise DataError(f"{name} needs a number that the release does not have: {error}; build it again") from error


# -------------------------------------------------------------------- values
def _example(release: Release) -> dict[str, Any]:
    """The clean test item of the most widely known subject, in several languages."""
    config = "clean" if "clean" in release.manifest["configs"] else "parallel"
    splits = config_files(release.folder, config, release.manifest)
    paths = next(splits[split] for split in ("test", "validation", "train") if split in splits)
    with duckdb.connect() as connection:
        query = f"SELECT * FROM read_parquet({file_list(paths)}) ORDER BY popularity DESC, fact_id LIMIT 1"
        (row,) = connection.sql(query).to_arrow_table().to_pylist()
    shown = []
    for code in (code for code in _EXAMPLE_LANGUAGES if code in release.languages):
        item = row["translations"][code]
        options = [markdown(item[name]) for name in OPTIONS]
        options[item["answer_index"]] = f"**{options[item['answer_index']]}**"
        shown.append(
            {"name": language(code).name, "question": markdown(item["question"]), "options": " · ".join(options)}
        )
    return {**row, "rows": shown}


def _type(kind: pa.DataType) -> str:
    return "struct" if pa.types.is_struct(kind) else "list of string" if pa.types.is_list(kind) else str(kind)


def _columns(columns: Iterable[Column]) -> list[dict[str, str]]:
    return [{"name": c.name, "type": _type(c.type), "doc": c.doc} for c in columns]


def _tables(release: Release) -> list[dict[str, Any]]:
    """The schema, from the records: shared columns, and those of an item."""
    shared = parallel_rows(release.languages).columns
    judged = {"doc": "A row of `verification` is an item that was judged:", "columns": _columns(VERIFICATION.columns)}
    own = [column for column in FLAT_ROWS.columns if column.name not in {c.name for c in (*shared, *_ITEM)}]
    return [
        {"doc": "A row of `parallel` and `clean` is a fact:", "columns": _columns(shared)},
        {
            "doc": "Each language in `translations` holds an item. The rows of a language's config have the shared "
            "columns above, and at top level `language` and the same item:",
            "columns": _columns([*own, *_ITEM]),
        },
        {
            "doc": "The rows of `open` have the shared columns, and in `translations`, for each language, what scoring "
            "a generated answer takes:",
            "columns": _columns(OPEN_ITEM),
        },
        *([judged] if VERIFICATION.name in release.manifest["configs"] else []),
    ]


def _reasons(tally: Mapping[str, Mapping[str, Any]]) -> str:
    """Rejected facts by reason code, over all relations and languages, the commonest first."""
    reasons: Counter[str] = Counter()
    for entry in tally.values():
        for reason, number in entry["rejected"].items():
            reasons[reason.partition(":")[0]] += number
    return ", ".join(f"{reason} {number:,}" for reason, number in reasons.most_common())


def _funnel(stages: Mapping[str, Any], statements: int) -> list[dict[str, Any]]:
    """Every stage that decides about facts, in their order: how many it kept, and why it dropped the rest."""
    rows = [{"stage": "statements read", "kept": statements, "rejected": ""}]
    for name in (stage.name for stage in STAGES if stages.get(stage.name, {}).get("tally")):
        tally = stages[name]["tally"]
        rows.append({"stage": name, "kept": sum(e["kept"] for e in tally.values()), "rejected": _reasons(tally)})
    return rows


def _ambiguity(key: str, evidence: Mapping[str, Any], least: int) -> tuple[str, str, str]:
    """A relation's ambiguity as the tiers follow it, the items judged, and where: here, or for the paper."""
    known, value = all_relations().get(key), evidence["ambiguity"]
    if evidence["judged"] >= least:
        return percent(value), f"{evidence['judged']:,}", "this version"
    if value is None or known is None:
        return "–", "–", "–"
    return f"{100 * value:.0f} %", f"{known.judged:,}", "the paper"


def _relations(statistics: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
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


def _floors(audit: AuditReport, split: str) -> list[Floor]:
    """The audit's rules on a split (or `all`), over all languages together."""
    floors = audit.pooled(split)
    if not floors:
        raise DataError(f"the audit has no rules for split {split}; run `polyfact audit` again")
    return floors


def _attestation(release: Release, statistics: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """The kinds of provenance that occur, the commonest first; and per language shares and counts."""
    own = {code: entry["answer_provenance"] for code, entry in statistics["languages"].items()}
    total: Counter[str] = Counter()
    for counts in own.values():
        total.update(counts)
    kinds = [kind for kind, _ in sorted(total.items(), key=lambda entry: (-entry[1], entry[0]))]
    attested = release.manifest["stages"][TIER.name]["counts"]["attested"]
    rows = [
        {
            "name": f"{language(code).name} (`{code}`)",
            **{key: number / statistics["facts"] for key, number in attested[code].items()},
            "provenance": [counts.get(kind, 0) for kind in kinds],
        }
        for code, counts in own.items()
    ]
    return kinds, rows


def _verification(counts: Mapping[str, int]) -> str:
    """What is known of judged facts, in a sentence."""
    judged = {kind: number for kind, number in counts.items() if kind != "unverified"}
    if not judged:
        return "No item of this version was judged one by one."
    said = ", ".join(f"{number:,} {kind}" for kind, number in judged.items())
    return f"Of the facts judged one by one, {said}; {counts.get('unverified', 0):,} were not judged."


def _rate(entry: Mapping[str, Any]) -> dict[str, str]:
    """A share of items with its interval, as a reader writes them."""
    if not entry["items"]:
        return {"items": "0", "share": "–", "interval": "–"}
    interval = f"{percent(entry['low']).removesuffix(' %')} to {percent(entry['high'])}"
    return {"items": f"{entry['items']:,}", "share": percent(entry["share"]), "interval": interval}


def _judged(counts: Mapping[str, Any] | None, languages: Sequence[str]) -> dict[str, Any]:
    """The tables of what was judged: labels by language, and the agreement of judge and reviewers; {} for nothing."""
    if not counts or not counts["items"]:
        return {}
    order = [*languages, "all"]
    rates = [
        {"name": name, "labels": [own["labels"][label] for label in LABELS], **_rate(own["doubtful"])}
        for name, own in ((name, counts["by_language"][name]) for name in order)
    ]
    pairs = {name: counts["agreement"][name] for name in order if name in counts["agreement"]} | counts["people"]
    agreed = [
        {
            "name": name,
            **_rate(own["exact"]),
            "kappa": "undefined" if own["kappa"] is None else f"{own['kappa']:.3f}",
        }
        for name, own in pairs.items()
    ]
    return {**counts, "rates": rates, "agreed": agreed}


def _sources(statistics: Mapping[str, Any]) -> str:
    """Where the questions are from, in words."""
    kinds = sorted({kind for own in statistics["languages"].values() for kind in own["question_source"]})
    templates = "from one template per relation, language and kind of subject"
    model = "by the model `{}`, which saw subject, relation and answer, but no other option"
    return " and ".join(templates if k == "template" else model.format(k.partition(":")[2]) for k in kinds)


def _named_in(config: Mapping[str, Any]) -> str:
    """In how many languages both ends of a fact must have a name in the dump, in words."""
    named, languages = load_config(None, **config).min_languages, len(config["languages"])
    return f"at least {named} of the {languages} languages" if named < languages else f"all {languages} languages"


def _bibtex(cited: Mapping[str, Any]) -> str:
    names = (f"{a['particle']} {a['family']}" if "particle" in a else a["family"] for a in cited["authors"])
    authors = " and ".join(f"{name}, {a['given']}" for name, a in zip(names, cited["authors"]))
    return (
        f"@article{{polyfact{cited['year']},\n  title = {{{cited['title']}}},\n  author = {{{authors}}},\n"
        f"  journal = {{arXiv preprint arXiv:{cited['arxiv']}}},\n  year = {{{cited['year']}}}\n}}"
    )


def _listed(counts: Mapping[str, int], order: Sequence[str]) -> str:
    return ", ".join(f"{counts[name]:,} {name}" for name in order)


def values(release: Release, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """All that the templates name. Raises `DataError` when the release lacks a number."""
    manifest, about = release.manifest, release.about
    config, stages = manifest["build"]["config"], manifest["stages"]
    measured = "test" if statistics["splits"]["test"] else "all"
    limit = f"{100 * config['tiers']['max_ambiguity']:.0f} %"
    try:
        provenances, attestation = _attestation(release, statistics)
        counts = {
            "statements": stages[EXTRACT.name]["counts"]["statements"],
            "candidates": stages[CANDIDATES.name]["counts"]["candidates"],
            "valid_candidates": stages[VALIDATE.name]["counts"]["valid_candidates"],
            "not_asked": sum(e["rejected"].get("not_asked", 0) for e in stages[QUESTIONS.name]["tally"].values()),
        }
    except KeyError as error:
        raise DataError(f"{release.folder / 'manifest.json'} lacks {error}, which the card states") from error
    found = {
        "about": about,
        "audit": release.audit,
        "attestation": attestation,
        "bibtex": _bibtex(citation()),
        "changes": release.changes.partition("\n")[2].strip().replace("\n## ", "\n### ").replace("## ", "### ", 1),
        "citation": citation(),
        "config": config,
        "contact": contact(release),
        "counts": counts,
        "dump_date": about["dump_date"] or "unstated date",
        "example": _example(release),
        "funnel": _funnel(stages, counts["statements"]),
        "judged": _judged(stages[TIER.name]["counts"]["verification"], release.languages),
        "languages": release.languages,
        "least_judged": config["tiers"]["min_judged_items"],
        "licences": licences(release),
        "manifest": manifest,
        "max_ambiguity": limit,
        "named_in": _named_in(config),
        "provenances": provenances,
        "question_sources": _sources(statistics),
        "relation_rows": _relations(statistics, manifest),
        "relations": statistics["relations"],
        "repository": about["release"]["repository"],
        "floors": _floors(release.audit, measured),
        "floor_split": "the test split" if measured == "test" else "all splits",
        "sizes": manifest["sizes"],
        "split_sizes": _listed(statistics["splits"], SPLITS),
        "splits": SPLITS,
        "stats": statistics,
        "tables": _tables(release),
        "templates": any("template" in own["question_source"] for own in statistics["languages"].values()),
        "tiers": {tier: meaning.format(limit=limit) for tier, meaning in _TIERS.items()},
        "verification": _verification(statistics["verification"]),
    }
    return {**found, "statements": tomllib.loads(render("statements.toml.j2", found))}


def card(release: Release, named: Mapping[str, Any]) -> str:
    """The whole card: YAML block and text."""
    yaml = block(release, [entry["id"] for entry in licences(release)])
    return f"---\n{yaml}\n---\n\n{render('card.md.j2', named)}"
