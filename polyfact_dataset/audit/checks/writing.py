"""Audit: item-writing flaws, and the export of held-out items for a search of training corpora.

The flaws are those of the education rubric of BenchMarker (19 item-writing flaws). Those that can be checked without a
model are checked here or in the named audit; the others need a judge. The items held out are exported for a search of
web corpora (`contamination.parquet`).
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
from polyfact_dataset.common.text.normalise import is_word, normalise
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.release.schema import CONTAMINATION

# The summary in the report.
SUMMARY = (
    "Item-writing flaws after the rubric of BenchMarker that can be checked without a model; the table names the "
    "audit, or the judge, that covers the others. The held-out items are exported to be searched for in web corpora "
    "(`contamination.parquet`)."
)

# The flaws of the rubric, and the checks that cover them.
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
# Without known names, a phrase that this many questions of a relation share is taken for their wording.
_WORDING_FACTS = 5
_GAP = re.compile(r"_{2,}|\.{3,}|…")
# Traits by which one option may differ from the other three.
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
    return "".join(char if char == "'" or is_word(char) else " " for char in text.replace("’", "'")).split()


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
    """The ending of a wording with which its answer must agree: an article, or a gap; None if there is none."""
    form = normalise(wording)
    if _GAP.search(form):
        return "a gap to fill"
    last = _END.sub("", form).rpartition(" ")[2]
    return f"ends in {last!r}" if last in {normalise(article) for article in _cues(code).articles} else None


def _joins(form: str, contained: Sequence[str]) -> bool:
    """Whether a text is only a combination of the texts that it contains, with a word or sign between them.

    A space or a hyphen is not such a sign: New York, Guinea-Bissau.
    """
    rest = form
    for text in sorted(contained, key=len, reverse=True):
        rest = rest.replace(text, " ", 1)
    return len(rest) <= 0.5 * len(form) and any(char.isalpha() or char in ",،、&/+" for char in rest)


def catch_all(forms: Sequence[str], phrases: frozenset[str]) -> int | None:
    """The slot of an option that refers to others: one of `phrases`, or a combination of two other options.

    `forms` are the normalised options without end punctuation; None where there is no such option.
    """
    for slot, form in enumerate(forms):
        if form in phrases:
            return slot
        contained = [other for other in forms if other in form and other != form and len(other) >= 3]
        if len(contained) >= 2 and _joins(form, contained):
            return slot
    return None


def _with_neighbour(question: str, cue: str, code: str) -> set[str]:
    """A cue in a question together with the word (two characters where there are no spaces) before or after it."""
    form = normalise(question)
    if code in known() and not language(code).spaced:
        start = form.find(normalise(cue))
        end = start + len(normalise(cue))
        return {form[max(start - 2, 0) : end], form[start : end + 2]}
    text_words, cue_words = words(form), words(normalise(cue))
    start = next(
        position for position in range(len(text_words)) if text_words[position : position + len(cue_words)] == cue_words
    )
    around = (text_words[max(start - 1, 0) : start + len(cue_words)], text_words[start : start + len(cue_words) + 1])
    return {" ".join(part) for part in around if len(part) > len(cue_words)}


def _nameless(items: Items, relations: Sequence[str], ids: Sequence[str], section: Section) -> None:
    """Negations where names are not released, since they may contain negating words (Pas-de-Calais, No Country).

    A phrase that several questions of a relation share is their wording; the others are listed separately.
    """
    cues = {number: negation(text, items.code) for number, text in enumerate(items.questions.values)}
    negated = [(row, number) for row, number in enumerate(items.questions.codes.tolist()) if cues[number] is not None]
    around = {
        number: _with_neighbour(items.questions.values[number], str(cues[number]), items.code) for _, number in negated
    }
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
    for row, option_codes in enumerate(items.options.codes.tolist()):
        slot = catch_all([forms[code] for code in option_codes], phrases)
        if slot is not None:
            texts = [shown(items.options.values[code], 40) for code in option_codes]
            section.find("catch_all", [ids[row]], items.code, [f"{texts[slot]!r} among {' · '.join(texts)}"])


def lone_trait(items: Items, trait: Callable[[str], bool]) -> tuple[Floats, Bools]:
    """The only option with a trait, as (items, 4) of 0 and 1, and the items that have such an option."""
    has = items.options.numbers(trait)
    return has, has.sum(axis=1) == 1


def _odd_options(release: Release) -> dict[str, Figure]:
    """Trait -> how often the only option with it is the gold, over all languages."""
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
    """The held-out items as `release.schema.CONTAMINATION`, to be searched for in web corpora."""
    names = ("fact_id", "subject_id", "property_id", "object_id")
    parts = []
    for code, items in release.items.items():
        held_out = np.flatnonzero(release.array("split")[items.rows] != "train")
        held_out_items = items.table.take(pa.array(held_out))
        facts = release.facts.take(pa.array(items.rows[held_out]))
        asked, answers = held_out_items.column("question").to_pylist(), held_out_items.column("answer_text").to_pylist()
        columns = [
            *(pc.cast(facts.column(name), pa.string()) for name in names),
            pa.array([code] * len(held_out), pa.string()),
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
        notes = [f"no cues are listed for {unlisted}"] if unlisted else []
        if gate == "negation" and unsure:
            notes.append(f"reported apart: {unsure} that may be names, since no subject_label tells")
        section.gate(gate, section.count(gate), "; ".join(notes))
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
