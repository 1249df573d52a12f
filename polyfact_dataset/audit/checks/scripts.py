"""Audit: whether every text is in the scripts of its language.

Letters belong to the scripts of the language. Latin is allowed everywhere, since many names are not transliterated, and
so is a single Greek symbol; but a question is not wholly in Latin where the language has another script. No word mixes
two alphabets, no name is half transliterated, no look-alike replaces a letter of another script, no character is
invisible, no joiner is without effect, Chinese is in Simplified characters, there is no markup, and all text is in
Unicode's form NFC.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from polyfact_dataset.audit.release import Items, Release
from polyfact_dataset.audit.result import Section, shown
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.text.normalise import idle_joiner, markup
from polyfact_dataset.common.text.scripts import (
    covered,
    half_transliterated,
    in_scripts,
    mixes_scripts,
    script_of,
    scripts_of,
)
from polyfact_dataset.config.audit import AuditConfig
from polyfact_dataset.facts.chinese import simplified

# The summary in the report.
SUMMARY = (
    "Letters belong to the scripts of the language. Latin names and single Greek symbols are allowed everywhere, but "
    "a question is not wholly in Latin letters where the language has another script. No word mixes alphabets, no "
    "name is half transliterated, no look-alike replaces a letter, no character is invisible, Chinese is in "
    "Simplified characters, nothing is markup, and all text is in Unicode's NFC."
)

_WORD = re.compile(r"[^\W\d_]+(?:[̀-ͯ][^\W\d_]*)*")
# Letters of these scripts occur together in words of Chinese and Japanese, and many look alike.
_JOINED = {"Hani", "Hira", "Kana", "Hang", "Zyyy"}
_CHECKS = (
    "script", "mixed_word", "mixed_name", "confusable", "characters", "joiners", "traditional", "markup", "normal_form"
)  # fmt: skip
# Zero-width joiners shape letters in Bengali and Arabic; nothing else of their category is text.
_JOINERS = "\u200c\u200d"
_Found = Iterator[tuple[str, str, str]]
_KINDS = {
    "Cc": "control character",
    "Cf": "invisible or bidirectional character",
    "Co": "private-use character",
    "Cn": "unassigned character",
    "Cs": "surrogate",
    "Zl": "line separator",
    "Zp": "paragraph separator",
}


@cache
def _looks_like(character: str, script: str) -> str | None:
    """The letter of `script` that the character looks like, by Unicode's table of confusables."""
    from confusable_homoglyphs import confusables

    for entry in confusables.is_confusable(character, greedy=True) or ():
        for twin in entry["homoglyphs"]:
            if len(twin["c"]) == 1 and script_of(twin["c"]) == script:
                return str(twin["c"])
    return None


def look_alike(text: str) -> str | None:
    """The fault of a word that contains a look-alike of a letter of its main script; None if there is none."""
    for word in _WORD.findall(text):
        scripts = [script_of(char) for char in word]
        main_script = max(sorted(set(scripts)), key=scripts.count)
        for char, script in zip(word, scripts):
            if script != main_script and not {script, main_script} & _JOINED:
                twin = _looks_like(char, main_script)
                if twin is not None:
                    return f"{word!r}: U+{ord(char):04X} {unicodedata.name(char, '?')} looks like {twin!r}"
    return None


def hidden(text: str) -> str | None:
    """The first character that is not text, with its kind; None if there is none."""
    for char in text:
        kind = _KINDS.get(unicodedata.category(char))
        if kind is not None and char not in _JOINERS:
            return f"U+{ord(char):04X}, {kind}"
    return None


def faults(text: str, scripts: Sequence[str] | None, question: bool, person: bool = False) -> Iterable[tuple[str, str]]:
    """(check, what is wrong) of one text. `scripts` are those of its language, None where they are not known.

    A text that is not a question is a name, of a person if `person`.
    """
    text_scripts = scripts_of(text)
    if scripts is not None and not in_scripts(text, tuple(scripts)):
        foreign = sorted({char for char in text if not in_scripts(char, tuple(scripts))})
        yield "script", f"letters of another script: {' '.join(foreign[:5])}"
    elif (
        scripts is not None and question and "Latn" not in scripts and text_scripts and text_scripts <= {"Latn", "Grek"}
    ):
        yield "script", "the question is wholly in Latin letters"
    posing = look_alike(text) if len(text_scripts) > 1 else None
    if posing is not None:
        yield "confusable", posing
    elif mixes_scripts(text):
        yield "mixed_word", "a word joins two alphabets"
    elif not question and (part := half_transliterated(text, person)) is not None:
        yield "mixed_name", f"{part!r} stayed in Latin letters"
    concealed = hidden(text)
    if concealed is not None:
        yield "characters", concealed
    if idle_joiner(text):
        yield "joiners", "a joiner has no effect on its neighbours"
    if (sign := markup(text)) is not None:
        yield "markup", f"{shown(sign, 20)!r}"
    if not unicodedata.is_normalized("NFC", text):
        yield "normal_form", "not in NFC"


def _suspects(values: Sequence[str], scripts: Sequence[str] | None) -> Iterable[int]:
    """The numbers of the texts to check: those with a character of another script, or an invisible one.

    All distinct characters are classified once; then the texts are searched for the unusual ones.
    """
    plain = {"Zyyy"}.union(*(covered(script) for script in scripts)) if scripts is not None else {"Zyyy"}
    odd = [char for char in sorted(set().union(*values)) if script_of(char) not in plain or hidden(char) is not None]
    pattern = re.compile("[" + "".join(map(re.escape, odd)) + "]") if odd else None
    for number, text in enumerate(values):
        if (
            (pattern is not None and pattern.search(text))
            or not unicodedata.is_normalized("NFC", text)
            or markup(text) is not None
            or idle_joiner(text)
        ):
            yield number


def _faulty(
    values: Sequence[str], scripts: Sequence[str] | None, question: bool
) -> dict[int, list[list[tuple[str, str]]]]:
    """Number of a distinct text -> its faults, and its faults as the name of a person."""
    checked = (
        (number, [list(faults(values[number], scripts, question, person)) for person in (False, True)])
        for number in _suspects(values, scripts)
    )
    return {number: wrong for number, wrong in checked if any(wrong)}


def traditional(texts: Sequence[str]) -> dict[int, str]:
    """Number of a Chinese text that is not in Simplified characters -> its conversion."""
    return {number: other for number, text in enumerate(texts) if (other := simplified(text)) != text}


def _in_traditional(items: Items, ids: Sequence[str], section: Section) -> None:
    """Wordings and names in Traditional characters. A name is checked separately, as it was converted."""
    for what, coded in (("question", items.wordings), ("option", items.options), ("subject label", items.subjects)):
        if coded is None or not (bad := traditional(coded.values)):
            continue
        for row, numbers in enumerate(coded.codes.reshape(len(items), -1).tolist()):
            for number in (number for number in numbers if number in bad):
                detail = f"{what} {shown(coded.values[number])!r}, in Simplified {shown(bad[number])!r}"
                section.find("traditional", [ids[row]], items.code, [detail])


def _of_language(items: Items, scripts: Sequence[str] | None, relations: Sequence[str], ids: Sequence[str]) -> _Found:
    """(check, fact, what is wrong) of one language. `relations` and `ids` are those of the items."""
    known_relations = all_relations()
    people = [known_relations[name].people if name in known_relations else None for name in relations]
    for what, coded, persons in (
        ("question", items.questions, ""),
        ("option", items.options, "answers"),
        ("subject label", items.subjects, "subjects"),
    ):
        if coded is None or not (bad := _faulty(coded.values, scripts, what == "question")):
            continue
        for row, numbers in enumerate(coded.codes.reshape(len(items), -1).tolist()):
            for number in (number for number in numbers if number in bad):
                for check, detail in bad[number][people[row] == persons]:
                    yield check, ids[row], f"{what} {shown(coded.values[number])!r}: {detail}"


def _latin(items: Items) -> float:
    """Share of the options that are wholly in Latin letters."""
    foreign = items.options.numbers(lambda text: scripts_of(text) == {"Latn"})
    return float(foreign.mean()) if foreign.size else 0.0


def audit(release: Release, config: AuditConfig) -> Section:
    """Measures scripts; see the module."""
    section = Section("scripts", "Scripts", SUMMARY, config)
    latin = []
    for code, items in release.items.items():
        scripts = language(code).scripts if code in known() else None
        ids, relations = (release.array(name)[items.rows].tolist() for name in ("fact_id", "property_id"))
        for check, fact, detail in _of_language(items, scripts, relations, ids):
            section.find(check, [fact], code, [detail])
        if scripts is not None and "Hans" in scripts:
            _in_traditional(items, ids, section)
        if scripts is not None and "Latn" not in scripts:
            latin.append((code, _latin(items)))
    for check in _CHECKS:
        section.gate_count(check)
    section.grid(
        "Texts that are not as their language is written",
        ("language", *_CHECKS),
        section.by_language(_CHECKS, release.items),
    )
    section.grid(
        "Options in Latin letters in languages of another script", ("language", "share"), latin, percents=("share",)
    )
    return section
