"""Audit 10: are the items well written, as a teacher would check, and can they be sought in training corpora?

After the education rubric of BenchMarker (19 item-writing flaws): what can be checked without a model is checked
here or in the audit that is named; the rest needs a judge. The items held out are exported for a search of web
corpora (`contamination.parquet`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.audit.checks.shortcuts import entity_order
from polyfact_dataset.audit.release import Bools, Floats, Items, Release
from polyfact_dataset.audit.result import Section, shown
from polyfact_dataset.audit.stats import Figure, Pool, corrected
from polyfact_dataset.catalog.language import Cues, known, language
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.schema import CONTAMINATION

# What the report tells its reader.
SUMMARY = (
    "Item-writing flaws after the rubric of BenchMarker that can be checked without a model; the table names the "
    "audit, or the judge, that covers the others. The held-out items are exported to be searched for in web corpora "
    "(`contamination.parquet`)."
)

# The flaws of the rubric, and where they are looked for.
RUBRIC = (
    ("ambiguous or unclear information", "answerability (one gold, subject named); beyond that, a judge"),
    ("implausible distractors", "balance: every distractor is a gold of the same stratum"),
    ("none of the above", "here: catch_all"),
    ("longest option correct", "shortcuts: longest, shortest"),
    ("gratuitous information", "parallelism: length_band; beyond that, a judge"),
    ("true/false question", "answerability: no second true answer"),
    ("convergence cues", "shortcuts: most_alike"),
    ("logical cues", "shortcuts: ngram_overlap, wording_classifier"),
    ("all of the above", "here: catch_all"),
    ("fill in the blank", "here: article"),
    ("absolute terms", "none: options are names of entities"),
    ("word repeats", "shortcuts: ngram_overlap; leakage"),
    ("unfocused stem", "a judge"),
    ("complex or K-type", "here: catch_all (an option made of two others)"),
    ("grammatical cues", "here: article; shortcuts: wording_classifier"),
    ("lost sequence", "none: options are shuffled on purpose"),
    ("vague terms", "none: options are names of entities"),
    ("more than one correct", "answerability: second_answer"),
    ("negative wording", "here: negation"),
)
_END = re.compile(r"[\s?？؟。.!！:：…]+$")
# Where names are not known, so many questions of a relation that share a phrase show that it is their wording.
_WORDING_FACTS = 5
_GAP = re.compile(r"_{2,}|\.{3,}|…")
# How one option may stand out from three others.
TRAITS: dict[str, Callable[[str], bool]] = {
    "bracket": lambda text: "(" in text or "（" in text,
    "digit": lambda text: any(char.isdigit() for char in text),
    "comma": lambda text: any(char in ",،、，" for char in text),
    "quotation mark": lambda text: any(char in '"“”„«»「」『』《》' for char in text),
    "dash": lambda text: any(unicodedata.category(char) == "Pd" for char in text),
    "several words": lambda text: " " in text.strip(),
    "Latin letters": lambda text: any("a" <= char <= "z" for char in text.casefold()),
    "capitals only": lambda text: text.isupper() and len(text) > 1,
    "small letters only": lambda text: text.islower(),
}


def words(text: str) -> list[str]:
    """The words of a normalised text: letters with their marks, and apostrophes inside."""
    kept = "".join(
        char if char.isalnum() or char == "'" or unicodedata.category(char)[0] == "M" else " "
        for char in text.replace("’", "'")
    )
    return kept.split()


@cache
def _cues(code: str) -> Cues:
    return language(code).cues if code in known() else Cues()


def negation(wording: str, code: str) -> str | None:
    """The word that negates a wording of the language, or None."""
    cues, form = _cues(code).negation, normalise(wording)
    if code in known() and not language(code).spaced:
        return next((cue for cue in cues if normalise(cue) in form), None)
    spread = f" {' '.join(words(form))} "
    return next((cue for cue in cues if f" {' '.join(words(normalise(cue)))} " in spread), None)


def open_end(wording: str, code: str) -> str | None:
    """How a wording ends in what its answer must agree with: an article, or a gap; None if it does not."""
    form = normalise(wording)
    if _GAP.search(form):
        return "a gap to fill"
    last = _END.sub("", form).rpartition(" ")[2]
    return f"ends in {last!r}" if last in {normalise(article) for article in _cues(code).articles} else None


def _joins(form: str, held: Sequence[str]) -> bool:
    """Whether a text is little more than the texts that it holds and a word or sign between them.

    A space or a hyphen is no such sign: New York, Guinea-Bissau.
    """
    rest = form
    for text in sorted(held, key=len, reverse=True):
        rest = rest.replace(text, " ", 1)
    return len(rest) <= 0.5 * len(form) and any(char.isalpha() or char in ",،、&/+" for char in rest)


def catch_all(forms: Sequence[str], phrases: frozenset[str]) -> int | None:
    """The slot of the option that is no answer of its own: one of `phrases`, or made of two of the other options.

    `forms` are the normalised options without end punctuation; None where there is no such option.
    """
    for slot, form in enumerate(forms):
        if form in phrases:
            return slot
        held = [other for other in forms if other in form and other != form and len(other) >= 3]
        if len(held) >= 2 and _joins(form, held):
            return slot
    return None


def _beside(question: str, cue: str, code: str) -> set[str]:
    """A cue in a question together with the word (two characters where there are no spaces) before or after it."""
    form = normalise(question)
    if code in known() and not language(code).spaced:
        start = form.find(normalise(cue))
        end = start + len(normalise(cue))
        return {form[max(start - 2, 0) : end], form[start : end + 2]}
    own, sought = words(form), words(normalise(cue))
    start = next(place for place in range(len(own)) if own[place : place + len(sought)] == sought)
    around = (own[max(start - 1, 0) : start + len(sought)], own[start : start + len(sought) + 1])
    return {" ".join(part) for part in around if len(part) > len(sought)}


def _nameless(items: Items, relations: Sequence[str], ids: Sequence[str], section: Section) -> None:
    """Negations where names are not shipped, and may hold the words that negate (Pas-de-Calais, No Country).

    What several questions of a relation say in the same words is their wording; the rest is listed apart.
    """
    cues = {number: negation(text, items.code) for number, text in enumerate(items.questions.values)}
    negated = [(row, number) for row, number in enumerate(items.questions.codes.tolist()) if cues[number] is not None]
    around = {number: _beside(items.questions.values[number], str(cues[number]), items.code) for _, number in negated}
    asked = {(relations[row], phrase, number) for row, number in negated for phrase in around[number]}
    times = Counter((relation, phrase) for relation, phrase, _ in asked)
    for row, number in negated:
        shared = any(times[relations[row], phrase] >= _WORDING_FACTS for phrase in around[number])
        detail = f"{cues[number]}: {shown(items.questions.values[number])!r}"
        section.find("negation" if shared else "negation_unsure", [ids[row]], items.code, [detail])


def _questions(items: Items, relations: Sequence[str], ids: Sequence[str], section: Section) -> None:
    asked = items.wordings
    for check, judge in (("negation", negation), ("article", open_end)):
        if check == "negation" and items.subjects is None:
            _nameless(items, relations, ids, section)
            continue
        wrong = {number: judge(text, items.code) for number, text in enumerate(asked.values)}
        bad = {number for number, what in wrong.items() if what is not None}
        if not bad:
            continue
        rows = [row for row, number in enumerate(asked.codes.tolist()) if number in bad]
        details = (f"{wrong[asked.codes[row]]}: {shown(asked.values[asked.codes[row]])!r}" for row in rows)
        section.find(check, [ids[row] for row in rows], items.code, details)


def _options(items: Items, ids: Sequence[str], section: Section) -> None:
    forms = [_END.sub("", text) for text in items.offered]
    phrases = frozenset(normalise(phrase) for phrase in _cues(items.code).catch_all)
    for row, own in enumerate(items.options.codes.tolist()):
        slot = catch_all([forms[code] for code in own], phrases)
        if slot is not None:
            texts = [shown(items.options.values[code], 40) for code in own]
            section.find("catch_all", [ids[row]], items.code, [f"{texts[slot]!r} among {' · '.join(texts)}"])


def lone_trait(items: Items, trait: Callable[[str], bool]) -> tuple[Floats, Bools]:
    """Which option alone has a trait, as (items, 4) of 0 and 1, and the items that have such an option."""
    has = items.options.numbers(trait)
    return has, has.sum(axis=1) == 1


def _odd_options(release: Release) -> dict[str, Figure]:
    """Trait -> how often the one option that has it is the gold, over all languages."""
    aligned = all(items.entities is not None for items in release.items.values())
    pools = {name: Pool(len(release), aligned) for name in TRAITS}
    for items in release.items.values():
        order = entity_order(items)
        for name, trait in TRAITS.items():
            has, alone = lone_trait(items, trait)
            pools[name].add(items.rows[alone], has[alone], items.gold[alone], order[alone])
    everything = np.ones(len(release), dtype=bool)
    return {name: pool.figure(everything) for name, pool in pools.items()}


def contamination(release: Release) -> pa.Table:
    """The items held out from training as `records.CONTAMINATION`, to be sought in web corpora."""
    names = ("fact_id", "subject_id", "property_id", "object_id")
    parts = []
    for code, items in release.items.items():
        held = np.flatnonzero(release.array("split")[items.rows] != "train")
        own = items.table.take(pa.array(held))
        facts = release.facts.take(pa.array(items.rows[held]))
        asked, answers = own.column("question").to_pylist(), own.column("answer_text").to_pylist()
        columns = [
            *(pc.cast(facts.column(name), pa.string()) for name in names),
            pa.array([code] * len(held), pa.string()),
            facts.column("split"),
            pa.array(asked, pa.string()),
            pa.array(answers, pa.string()),
            pa.array([normalise(f"{question} {answer}") for question, answer in zip(asked, answers)], pa.string()),
        ]
        parts.append(pa.table(columns, schema=CONTAMINATION.schema))
    return pa.concat_tables(parts) if parts else CONTAMINATION.schema.empty_table()


def audit(release: Release, config: AuditConfig) -> Section:
    """Measures writing; see the module."""
    section = Section("writing", "Writing and contamination", SUMMARY, config)
    for items in release.items.values():
        ids = release.array("fact_id")[items.rows].tolist()
        _questions(items, release.array("property_id")[items.rows].tolist(), ids, section)
        _options(items, ids, section)
    unlisted = ", ".join(code for code in release.items if not _cues(code).negation)
    unsure = section.count("negation_unsure")
    for gate in ("negation", "catch_all", "article"):
        said = [f"no cues are listed for {unlisted}"] if unlisted else []
        if gate == "negation" and unsure:
            said.append(f"reported apart: {unsure} that may be names, since no subject_label tells")
        section.gate(gate, section.count(gate), "; ".join(said))
    odd = _odd_options(release)
    tested = {name: at for name, at in odd.items() if at.facts}
    rarest = min(tested, key=lambda name: tested[name].p, default=None)
    smallest = tested[rarest].p if rarest else 1.0
    rare = (
        f"; rarest is {rarest}: {100 * tested[rarest].accuracy:.1f} % of {tested[rarest].facts} facts" if rarest else ""
    )
    section.gate("odd_option", corrected(smallest, len(tested)), f"{len(tested)} traits{rare}")
    section.grid(
        "The one option with a trait: how often it is the gold",
        ("trait", "facts", "accuracy", "standard_error", "errors_from_expected"),
        [(name, at.facts, at.accuracy, at.error, at.distance) for name, at in tested.items()],
        percents=("accuracy", "standard_error"),
    )
    section.grid("Item-writing flaws and where they are looked for", ("flaw", "where"), RUBRIC)
    return section
