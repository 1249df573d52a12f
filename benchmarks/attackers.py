"""What rules and attackers reach on the same facts with distractors drawn in three ways.

    python -m benchmarks.attackers BUILD

BUILD is a finished build (`polyfact build --out BUILD`). Its facts and splits stay; only the distractors change:

- published: at random among the answers of the relation in all candidates, of the same type and similar English length
  (paper, appendix D.1; "within a small tolerance" is taken as a factor of 1.5; without three such answers, at random)
- strata: permutations of the golds of a stratum (`distract.design = "strata"`)
- blocks: as released

Prints a Markdown table of accuracies in %, over the languages that the audit trains attackers in.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.audit import load
from polyfact_dataset.audit.build_tables import BuildTables
from polyfact_dataset.audit.checks import attackers, shortcuts
from polyfact_dataset.audit.release import Release
from polyfact_dataset.audit.stats import CHANCE
from polyfact_dataset.common.files import read_json, read_parquet
from polyfact_dataset.config.build import Config, load_config
from polyfact_dataset.facts.ambiguous_names import never_distractors
from polyfact_dataset.items.layout import order_of
from polyfact_dataset.items.selection import draw_all
from polyfact_dataset.items.splits import Fact, Selection
from polyfact_dataset.items.strata import Pool
from polyfact_dataset.pipeline.stages import table_path
from polyfact_dataset.release.audit_report import EVERY
from polyfact_dataset.release.layout import read_splits
from polyfact_dataset.release.reader import files_of_config
from polyfact_dataset.schema import OPTIONS

_LENGTH_RATIO = 1.5
Distractors = dict[str, tuple[list[str], str]]
"""Fact -> its distractors and its stratum."""
COLUMNS = {
    "wording": ("wording",),
    "likeness": attackers.LIKENESS,
    "popularity": ("popularity",),
    "name origin": ("name_origin",),
    "all text": ("all_text",),
}


def published(pool: Pool, facts: Iterable[Fact], seed: int) -> Distractors:
    """Distractors as the paper describes them."""
    rng = np.random.default_rng(seed)
    answers: dict[str, dict[str, str]] = defaultdict(dict)
    for facts_of_relation in pool.facts.values():
        for fact in facts_of_relation:
            answers[fact.relation].setdefault(fact.answer, fact.answer_class)
    lengths = {entity: len(pool.names[entity]) for known in answers.values() for entity in known}
    drawn: Distractors = {}
    for fact in facts:
        others = [entity for entity in answers[fact.relation] if entity not in fact.true and entity != fact.answer]

        def alike(entity: str, fact: Fact = fact) -> bool:
            ratio = lengths[entity] / max(lengths[fact.answer], 1)
            same_type = answers[fact.relation][entity] == fact.answer_class
            return same_type and 1 / _LENGTH_RATIO <= ratio <= _LENGTH_RATIO

        near = [entity for entity in others if alike(entity)]
        chosen = rng.choice(near if len(near) >= 3 else others, 3, replace=False)
        drawn[fact.id] = (chosen.tolist(), f"{fact.relation}/published")
    return drawn


def in_strata(pool: Pool, chosen: Selection, config: Config) -> Distractors:
    """Distractors as permutations of the golds of a stratum; facts without a drawing are left out."""
    while (drawn := draw_all(pool, chosen, config)).unserved:
        gone = set(drawn.unserved)
        chosen = Selection(
            {key: [fact for fact in selected if fact.id not in gone] for key, selected in chosen.facts.items()}
        )
    return {str(row["fact_id"]): (list(row["distractor_ids"]), str(row["stratum"])) for row in drawn.rows}


def redrawn(table: pa.Table, drawn: Distractors, texts: dict[str, dict[str, str]], seed: int) -> pa.Table:
    """The parallel rows with other distractors. `texts` is language -> entity -> label."""
    rows: list[dict[str, Any]] = []
    for row in table.to_pylist():
        if row["fact_id"] not in drawn:
            continue
        entities = [row["object_id"], *drawn[row["fact_id"]][0]]
        row["translations"] = {code: row["translations"][code] for code in texts}
        for code, item in row["translations"].items():
            ids = [entities[slot] for slot in order_of(seed, row["fact_id"], code)]
            item |= {"option_ids": ids, "answer_index": ids.index(row["object_id"])}
            item |= {name: texts[code][entity] for name, entity in zip(OPTIONS, ids)}
        rows.append(row)
    return pa.Table.from_pylist(rows)


def scores(table: pa.Table, strata: list[str], sitelinks: dict[str, int] | None, config: Config) -> dict[str, Any]:
    """Accuracies of the best blind rule and of attackers over all languages; and those in PolyFact-Clean."""
    ids = table.column("fact_id").to_pylist()
    items, _ = load.items_of_parallel(table, ids)
    facts = table.drop_columns(["translations"])
    release = Release("drawn", "", facts, items, pa.chunked_array([strata]), sitelinks=sitelinks)
    blind = [
        floor
        for floor in shortcuts.audit(release, config.audit).floors
        if floor.sees == "options" and (floor.split, floor.language) == ("all", "all")
    ]
    floors = [
        floor
        for floor in attackers.audit(release, config.audit).floors
        if (floor.language, floor.relation) == (EVERY, EVERY)
    ]

    def best(names: Iterable[str], where: str) -> float:
        return max(floor.accuracy for floor in floors if floor.rule in names and floor.config == where)

    # In train a rule also deviates from 25 % because counts leave out the item itself (docs/audit.md).
    accuracies = {"options only": max(CHANCE + floor.accuracy - floor.expected for floor in blind)}
    accuracies |= {column: best(names, "parallel") for column, names in COLUMNS.items()}
    return accuracies | {f"{column} (clean)": best(names, "clean") for column, names in COLUMNS.items()}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    build = parser.parse_args().build
    config = Config.model_validate(read_json(build / "manifest.json")["build"]["config"])
    codes = ("en", *[code for code in ("sw",) if code in config.languages])
    read: Callable[[str], pa.Table] = lambda name: read_parquet(table_path(build, name))  # noqa: E731
    labels = read("question_labels")
    pool = Pool(
        read("valid_candidates"),
        labels,
        read("answer_aliases"),
        read("questions"),
        never_distractors(read("resolved_true_objects"), read("disambiguations")),
        config.languages,
        read("features"),
    )
    table = read_splits(files_of_config(build / "release", "parallel"))
    splits = dict(zip(*(table.column(name).to_pylist() for name in ("fact_id", "split"))))
    chosen = Selection()
    for fact in (fact for selected in pool.facts.values() for fact in selected if fact.id in splits):
        chosen.facts.setdefault((fact.relation, splits[fact.id]), []).append(fact)
    facts = [fact for selected in chosen.facts.values() for fact in selected]
    entities = labels.column("entity_id").to_pylist()
    texts = {code: dict(zip(entities, pc.struct_field(labels.column(code), "text").to_pylist())) for code in codes}
    sampled = read("sampled").to_pylist()
    designs: dict[str, Distractors] = {
        "published": published(pool, facts, config.seed),
        "strata": in_strata(pool, chosen, load_config(seed=config.seed, distract__design="strata")),
        "blocks": {row["fact_id"]: (row["distractor_ids"], row["stratum"]) for row in sampled},
    }
    sitelinks = BuildTables(build).sitelinks()
    header: list[str] = []
    for name, drawn in designs.items():
        rows = redrawn(table, drawn, texts, config.seed)
        strata = [drawn[fact][1] for fact in rows.column("fact_id").to_pylist()]
        floors = scores(rows, strata, sitelinks, config)
        shown = [column for column in floors if not column.endswith("(clean)")]
        if not header:
            header = ["distractors", "facts", *shown]
            print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
        print(f"| {name} | {len(rows):,} | {' | '.join(f'{100 * floors[column]:.1f}' for column in shown)} |")
        if name == "blocks":
            clean = sum(tier != "bronze" for tier in rows.column("quality_tier").to_pylist())
            values = [floors.get(f"{column} (clean)") for column in shown]
            cells = " | ".join("" if value is None else f"{100 * value:.1f}" for value in values)
            print(f"| blocks, PolyFact-Clean | {clean:,} | {cells} |")


if __name__ == "__main__":
    main()
