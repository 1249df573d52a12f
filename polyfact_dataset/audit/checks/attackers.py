"""Audit: what do attackers reach that read the question and know no fact?

Each attacker scores the four options of an item from the question, the subject's name and what train teaches. Where the
held-out splits are large it learns from train and is scored on them; else it is cross-validated, the facts of a subject
or of a block being in one part. So a figure never rests on a few dozen facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from polyfact_dataset.audit.attackers import ATTACKERS, LIKENESS, Attack, texts_of
from polyfact_dataset.audit.checks.shortcuts import entity_order
from polyfact_dataset.audit.release import Bools, Ints, Items, Release, relation_order
from polyfact_dataset.audit.result import Cell, Chart, Section, Series, accuracy_chart
from polyfact_dataset.audit.stats import POWER, Figure, Pool, earned, least_detectable, lower_bound
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.release.audit_report import EVERY, Floor

# What the report tells its reader.
SUMMARY = (
    "Attackers that read the question but know no fact: trained on the facts of other subjects, each takes the option "
    "that goes best with the wording, the letters of the subject's name, its likeness, or its popularity; `all_text` "
    "is gradient boosting over all of them. A model must be compared with these floors."
)
# Parts of the cross-validation.
_FOLDS = 3
# Level of the test by relation, over all relations.
_LEVEL = 0.01


@dataclass
class _Scored:
    """Each attacker's pool over all facts and over those of PolyFact-Clean, and the same in each language."""

    pools: dict[str, Pool] = field(default_factory=dict)
    languages: dict[tuple[str, str], Pool] = field(default_factory=dict)


def _folds(train: Bools, groups: Ints, config: AuditConfig) -> Iterator[tuple[Bools, Ints]]:
    """What is learnt from and what is scored: train and the rest, or parts of all where the rest is small."""
    held_out = np.flatnonzero(~train)
    if len(held_out) >= config.attacker_held_out and train.any():
        yield train, held_out
        return
    step = max(-(-len(groups) // config.attacker_facts), 1)
    # A hash of the group, so that neither parts nor the selection follow the order of the facts.
    mixed = groups * 2_654_435_761 % 1_000_003
    part = mixed // step % _FOLDS
    for number in range(_FOLDS):
        scored = np.flatnonzero((part == number) & (mixed % step == 0))
        if len(scored) and (part != number).any():
            yield part != number, scored


def _chosen(release: Release, config: AuditConfig) -> list[str]:
    """The languages in which attackers are trained: English and others, evenly spaced."""
    codes = sorted(release.items, key=lambda code: (code != "en", code))
    step = max((len(codes) - 1) // max(config.attacker_languages - 1, 1), 1)
    return [*codes[:1], *codes[1::step]][: config.attacker_languages]


def _attack(release: Release, code: str, config: AuditConfig, scored: _Scored) -> None:
    items: Items = release.items[code]
    texts = texts_of(items, release)
    attack = Attack(texts)
    train = release.array("split")[items.rows] == "train"
    order = entity_order(items)
    aligned = items.entities is not None
    for learnt_from, rows in _folds(train, texts.groups, config):
        for name, values in attack.scores(learnt_from, rows, config.classifier_facts):
            matrix = earned(values)
            for pool in (
                scored.pools.setdefault(name, Pool(len(release), aligned)),
                scored.languages.setdefault((name, code), Pool(len(release), aligned)),
            ):
                pool.add(items.rows[rows], matrix, items.gold[rows], order[rows])


def _floor(name: str, language: str, relation: str, at: Figure, clean: bool) -> Floor:
    return Floor(
        rule=name,
        takes=ATTACKERS[name],
        sees="question",
        split=EVERY,
        language=language,
        relation=relation,
        config="clean" if clean else "parallel",
        **at.as_row(),
    )


def _floors(release: Release, scored: _Scored) -> list[Floor]:
    """Every attacker over all facts and over PolyFact-Clean: overall, by relation and by language."""
    relations = release.array("property_id")
    names = sorted(set(relations.tolist()), key=relation_order)
    everything = np.ones(len(release), dtype=np.bool_)
    floors: list[Floor] = []
    for clean, facts in ((False, everything), (True, release.clean)):
        if facts is None or not facts.any():
            continue
        cells = [(name, EVERY, EVERY, pool.figure(facts)) for name, pool in scored.pools.items()]
        cells += [(name, code, EVERY, pool.figure(facts)) for (name, code), pool in scored.languages.items()]
        cells += [
            (name, EVERY, relation, pool.figure(facts & (relations == relation)))
            for name, pool in scored.pools.items()
            for relation in names
        ]
        floors += [_floor(name, code, relation, at, clean) for name, code, relation, at in cells if at.facts]
    return floors


def _described(floor: Floor) -> str:
    where = floor.relation if floor.relation != EVERY else "all relations"
    return (
        f"{floor.rule} in {where}: {100 * floor.accuracy:.1f} % of {floor.facts:,} facts, {floor.distance:+.1f} errors"
    )


def _gates(section: Section, floors: Sequence[Floor]) -> None:
    whole = {at.rule: at for at in floors if (at.config, at.language, at.relation) == ("parallel", EVERY, EVERY)}
    clean = [at for at in floors if (at.config, at.language) == ("clean", EVERY)]
    for gate, rule in (("attacker_wording", "wording"), ("attacker_popularity", "popularity")):
        at = whole.get(rule)
        section.gate(gate, at.distance if at else None, _described(at) if at else "")
    for gate, rules in (("attacker_likeness", LIKENESS), ("attacker_all_text", ("all_text",))):
        pooled = [at for at in clean if at.rule in rules and at.relation == EVERY]
        top = max(pooled, key=lambda at: at.accuracy, default=None)
        section.gate(
            gate, lower_bound(top.accuracy, top.facts, _LEVEL) if top else None, _described(top) if top else ""
        )
        single = [at for at in clean if at.rule in rules and at.relation != EVERY]
        # However few its facts, a relation is refused only where chance does not explain it.
        least = {at: lower_bound(at.accuracy, at.facts, _LEVEL / len(single)) for at in single}
        worst = max(single, key=least.__getitem__, default=None)
        section.gate(f"{gate}_relation", least[worst] if worst else None, _described(worst) if worst else "")


def _power(section: Section, floors: Sequence[Floor]) -> None:
    """The smallest accuracy that three standard errors find, by attacker."""
    rows: list[tuple[Cell, ...]] = [
        (at.rule, at.facts, at.standard_error, least_detectable(at.standard_error, 3))
        for at in floors
        if (at.config, at.language, at.relation) == ("parallel", EVERY, EVERY)
    ]
    section.grid(
        "Power",
        ("attacker", "facts", "standard error", "found from"),
        rows,
        note=f"A gate at three standard errors finds an accuracy from `found from` on with probability {POWER:g}.",
        percents=("standard error", "found from"),
    )


def _chart(floors: Sequence[Floor]) -> Chart:
    names = [name for name in ATTACKERS if any(at.rule == name for at in floors)]
    series = []
    for config, label in (("parallel", "all facts"), ("clean", "PolyFact-Clean")):
        at = {f.rule: f for f in floors if (f.config, f.language, f.relation) == (config, EVERY, EVERY)}
        if at:
            series.append(
                Series(
                    label,
                    tuple(100 * at[name].accuracy if name in at else None for name in names),
                    tuple(300 * at[name].standard_error if name in at else 0.0 for name in names),
                )
            )
    return accuracy_chart("Accuracy of attackers that read the question", names, series)


def audit(release: Release, config: AuditConfig) -> Section:
    """Measures all attackers; see the module."""
    section = Section("attackers", "Attackers that read the question", SUMMARY, config)
    scored = _Scored()
    languages = _chosen(release, config)
    for code in languages:
        _attack(release, code, config, scored)
    floors = _floors(release, scored)
    _gates(section, floors)
    by_relation = [at for at in floors if at.language == EVERY]
    columns = ("attacker", "facts of", "relation", "facts", "accuracy", "low", "high", "errors_from_expected")
    rows = [
        (at.rule, at.config, at.relation, at.facts, at.accuracy, at.low, at.high, at.distance) for at in by_relation
    ]
    percents = ("accuracy", "low", "high")
    section.grid(
        "Attackers over all relations",
        columns,
        [row for row in rows if row[2] == EVERY],
        percents=percents,
        note=f"Trained and scored in {', '.join(languages)}; a fact counts with its mean over these languages.",
    )
    section.grid(
        "Attackers by relation", columns, [row for row in rows if row[2] != EVERY], percents=percents, long=True
    )
    section.grid(
        "Attackers by language",
        ("attacker", "facts of", "language", *columns[3:]),
        [
            (at.rule, at.config, at.language, at.facts, at.accuracy, at.low, at.high, at.distance)
            for at in floors
            if at.language != EVERY
        ],
        percents=percents,
        long=True,
    )
    _power(section, floors)
    section.floors += floors
    section.charts.append(_chart(floors))
    return section
