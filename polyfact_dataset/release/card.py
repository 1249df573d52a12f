"""Renders the dataset card, the datasheet and the licence from the templates of `dataset_card`.

Every number comes from the release. An undefined or null value stops the rendering.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import duckdb
import pyarrow as pa
from jinja2 import Environment, StrictUndefined, UndefinedError

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.database import rows_of
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.escaping import markdown
from polyfact_dataset.common.text.direction import displayed
from polyfact_dataset.common.untrusted import shown
from polyfact_dataset.common.validation import validated
from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.stages import CANDIDATES, EXTRACT, QUESTIONS, TIER, VALIDATE
from polyfact_dataset.release import card_tables
from polyfact_dataset.release.errata import present, report_url
from polyfact_dataset.release.metadata import block
from polyfact_dataset.release.reader import Release, config_files
from polyfact_dataset.release.schema import FLAT_ROWS, ITEM, OPEN_ITEM, parallel_rows
from polyfact_dataset.schema import JUDGED_ROWS, OPTIONS, SPLITS, WRITTEN, Column

# The language of the card's examples of code, if the release has it.
_CODE_LANGUAGES = ("sw", "bn", "de")
_LICENCES = {
    "cc0-1.0": ("CC0 1.0", "CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "cc-by-4.0": ("CC BY 4.0", "CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/"),
    "cc-by-sa-4.0": ("CC BY-SA 4.0", "CC-BY-SA-4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
}
_TIERS = {
    "gold": "a Clean relation, every label of the item attested in {attesting} in all languages, no doubt from a judge",
    "silver": "the same, with labels that are not attested",
    "bronze": "a relation with judged ambiguity above {limit}, an item judged ambiguous in a language, or names that "
    "give the answer away (`name_overlap`)",
}


def licences(release: Release) -> list[dict[str, str]]:
    """The licence of the facts, then that of the questions: `id` on the Hub, `name`, `spdx`, `url`."""
    ids = ("cc0-1.0", str(release.about["release"]["questions_licence"]))
    return [{"id": key, **dict(zip(("name", "spdx", "url"), _LICENCES[key]))} for key in ids]


def citation() -> dict[str, Any]:
    """The citation: `dataset_card/citation.toml`."""
    return tomllib.loads(files("dataset_card").joinpath("citation.toml").read_text(encoding="utf-8"))


def contact(release: Release) -> str:
    """The contact: the configured address, or the discussions of the repository."""
    settings = release.about["release"]
    return settings["contact"] or f"https://huggingface.co/datasets/{settings['repository']}/discussions"


# -------------------------------------------------------------------- text
def _code(text: str) -> str:
    """An id as code in Markdown, with characters that could end the code removed."""
    return f"`{' '.join(text.replace('`', '').split())}`"


def _cell(text: str) -> str:
    """Trusted Markdown inside a table."""
    return text.replace("|", "\\|")


def _required(value: Any) -> Any:
    """The value itself. Raises `UndefinedError` when there is none."""
    if value is None:
        raise UndefinedError("a value is null")
    str(value)  # raises with the name if it is undefined
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
        percent=card_tables.percent,
        escape=markdown,
        code=_code,
        cell=_cell,
        capitalize_first=lambda text: text[:1].upper() + text[1:],
        of=lambda key, counts: counts.get(key, 0),
    )
    return environment


def render(name: str, values: Mapping[str, Any]) -> str:
    """A template of `dataset_card`. Raises `DataError` naming what the release lacks."""
    template = files("dataset_card").joinpath(name).read_text(encoding="utf-8")
    try:
        return _environment().from_string(template).render(values)
    except (UndefinedError, TypeError, ZeroDivisionError) as error:
        raise DataError(
            f"{name} needs a number that the release does not have: {error}; rebuild the release"
        ) from error


# -------------------------------------------------------------------- values
def _example(release: Release) -> dict[str, Any]:
    """The clean test item of the most popular subject, in all languages."""
    config = "clean" if "clean" in release.manifest["configs"] else "parallel"
    splits = config_files(release.folder, config, release.manifest)
    paths = next(splits[split] for split in ("test", "validation", "train") if split in splits)
    with duckdb.connect() as connection:
        query = f"SELECT * FROM {rows_of(paths)} ORDER BY popularity DESC, fact_id LIMIT 1"
        (row,) = connection.sql(query).to_arrow_table().to_pylist()
    shown = []
    for code in release.languages:
        item = row["translations"][code]
        direction = language(code).direction
        question, *options = (displayed(markdown(item[name]), direction) for name in ("question", *OPTIONS))
        options[item["answer_index"]] = f"**{options[item['answer_index']]}**"
        shown.append({"name": language(code).name, "question": question, "options": " · ".join(options)})
    return {**row, "rows": shown}


def _type(kind: pa.DataType) -> str:
    return "struct" if pa.types.is_struct(kind) else "list of string" if pa.types.is_list(kind) else str(kind)


def _columns(columns: Iterable[Column]) -> list[dict[str, str]]:
    return [{"name": c.name, "type": _type(c.type), "doc": c.doc} for c in columns]


def _tables(release: Release) -> list[dict[str, Any]]:
    """The schema, from the records: shared columns, and those of an item."""
    shared = parallel_rows(release.languages).columns
    judged = {"doc": "A row of `verification` is an item that was judged:", "columns": _columns(JUDGED_ROWS.columns)}
    flat = [column for column in FLAT_ROWS.columns if column.name not in {c.name for c in (*shared, *ITEM)}]
    return [
        {"doc": "A row of `parallel` and `clean` is a fact:", "columns": _columns(shared)},
        {
            "doc": "Each language in `translations` holds an item. The rows of `clean_items` and of the languages' "
            "configs have these columns at top level, the shared columns above, and `language`, `language_script` and "
            "`split`:",
            "columns": _columns([*flat, *ITEM]),
        },
        {
            "doc": "The rows of `open` have the shared columns, and in `translations`, for each language, what scoring "
            "a generated answer takes:",
            "columns": _columns(OPEN_ITEM),
        },
        *([judged] if JUDGED_ROWS.name in release.manifest["configs"] else []),
    ]


def _named_in(config: Mapping[str, Any]) -> str:
    """In how many languages both ends of a fact must have a name in the dump, in words."""
    named = validated(Config, dict(config), "build.config of manifest.json").min_languages
    languages = len(config["languages"])
    return f"at least {named} of the {languages} languages" if named < languages else f"all {languages} languages"


def _bibtex(cited: Mapping[str, Any]) -> str:
    names = (f"{a['particle']} {a['family']}" if "particle" in a else a["family"] for a in cited["authors"])
    authors = " and ".join(f"{name}, {a['given']}" for name, a in zip(names, cited["authors"]))
    return (
        f"@article{{polyfact{cited['year']},\n  title = {{{cited['title']}}},\n  author = {{{authors}}},\n"
        f"  journal = {{arXiv preprint arXiv:{cited['arxiv']}}},\n  year = {{{cited['year']}}}\n}}"
    )


def _made_from(about: Mapping[str, Any]) -> str:
    """The source of the release, in words that follow `made from`."""
    if about.get("source") == "sample":
        return "the bundled sample, not a Wikidata dump"
    day = about["dump_date"]
    return f"the Wikidata dump of {day}" if day else "a Wikidata dump of unstated date"


def _has_written_labels(statistics: Mapping[str, Any]) -> bool:
    """Whether people wrote a label of a subject or an option."""
    kinds = ("subject_provenance", "option_provenance")
    return any(
        source.partition("+")[0] == WRITTEN
        for entry in statistics["languages"].values()
        for kind in kinds
        for source in entry[kind]
    )


def _listed(counts: Mapping[str, int], order: Sequence[str]) -> str:
    return ", ".join(f"{counts[name]:,} {name}" for name in order)


def _first_screen(release: Release, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the card's first part: example, configs, results and how to report an error."""
    about, measured = release.about, "test" if statistics["splits"]["test"] else "all"
    floors = card_tables.floors(release.audit, measured)
    return {
        "sample": about.get("source") == "sample",
        "made_from": _made_from(about),
        "code": about["release"].get("code", ""),
        "code_language": next((c for c in (*_CODE_LANGUAGES, *release.languages) if c in release.languages), "en"),
        "config_rows": card_tables.config_rows(release),
        "errata": present(release.folder, release.errata),
        "example": _example(release),
        "report_url": report_url(about["release"]["repository"]),
        "results": card_tables.results(release.folder),
        "floors": floors,
        "floor_rules": len({floor["rule"] for floor in floors}),
        "strongest_floors": card_tables.strongest(floors),
        "attacked": card_tables.attacked(release.audit),
        "floor_split": "the test split" if measured == "test" else "all splits",
    }


def values(release: Release, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """All values of the templates. Raises `DataError` when the release lacks a number."""
    manifest, about = release.manifest, release.about
    config, stages = manifest["build"]["config"], manifest["stages"]
    # The bundled sample has names of CLDR among its labels.
    attesting = "Wikidata or CLDR" if about.get("source") == "sample" else "Wikidata"
    try:
        limit = f"{100 * config['tiers']['max_ambiguity']:.0f} %"
        provenances, attestation = card_tables.attestation(release, statistics)
        counts = {
            "statements": stages[EXTRACT.name]["counts"]["statements"],
            "candidates": stages[CANDIDATES.name]["counts"]["candidates"],
            "valid_candidates": stages[VALIDATE.name]["counts"]["valid_candidates"],
            "not_asked": sum(e["rejected"].get("not_asked", 0) for e in stages[QUESTIONS.name]["tally"].values()),
        }
        judged = card_tables.judged(stages[TIER.name]["counts"]["verification"], release.languages)
        relation_rows = card_tables.relations(statistics, manifest)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{release.folder / 'manifest.json'} lacks {shown(error)}, which the card states; rebuild the release"
        ) from error
    named = {
        **_first_screen(release, statistics),
        "about": about,
        "audit": release.audit,
        "attestation": attestation,
        "attesting": attesting,
        "arxiv": citation()["arxiv"],
        "bibtex": _bibtex(citation()),
        "changes": release.changes.partition("\n")[2].strip().replace("\n## ", "\n### ").replace("## ", "### ", 1),
        "citation": citation(),
        "config": config,
        "contact": contact(release),
        "counts": counts,
        "funnel": card_tables.funnel(stages, counts["statements"]),
        "judged": judged,
        "languages": release.languages,
        "least_judged": config["tiers"]["min_judged_items"],
        "licences": licences(release),
        "manifest": manifest,
        "max_ambiguity": limit,
        "named_in": _named_in(config),
        "three_others": card_tables.others(release.languages, 3),
        "two_others": card_tables.others(release.languages, 2),
        "provenances": provenances,
        "question_sources": card_tables.question_sources(statistics),
        "relation_rows": relation_rows,
        "relations": statistics["relations"],
        "repository": about["release"]["repository"],
        "sizes": manifest["sizes"],
        "split_sizes": _listed(statistics["splits"], SPLITS),
        "splits": SPLITS,
        "stats": statistics,
        "tables": _tables(release),
        "templates": any("template" in entry["question_source"] for entry in statistics["languages"].values()),
        "tiers": {tier: meaning.format(limit=limit, attesting=attesting) for tier, meaning in _TIERS.items()},
        "verification": card_tables.verification(statistics["verification"]),
        "written": _has_written_labels(statistics),
    }
    return {**named, "statements": tomllib.loads(render("statements.toml.j2", named))}


def card(release: Release, named: Mapping[str, Any]) -> str:
    """The whole card: YAML block and text."""
    yaml = block(release, [entry["id"] for entry in licences(release)], citation()["arxiv"])
    return f"---\n{yaml}\n---\n\n{render('card.md.j2', named)}"
