"""Stage `localise`: one label with its provenance for every entity of a candidate, in every language.

Order: the bare code, then the language file's chain of variants, then the Wikipedia title without its
disambiguation, then `mul` for languages in Latin script, then the same four from the API. Chinese is shipped
in Simplified characters; names of persons that a language lists by the family name have their given names first;
labels of common nouns and languages are written as the language file states (`catalog.spelling`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.catalog.language import Language, language
from polyfact_dataset.catalog.relation import HUMAN, label_class
from polyfact_dataset.common.database import connect, one_row_per_id, parquet_files, stream
from polyfact_dataset.common.files import table_writer
from polyfact_dataset.common.text.normalise import clean, markup, normalise
from polyfact_dataset.common.text.scripts import half_transliterated, in_scripts, mixes_scripts
from polyfact_dataset.config.build import Config
from polyfact_dataset.facts.chinese import SIMPLIFIED_CODES, is_traditional, simplified
from polyfact_dataset.facts.written_labels import register_written_labels
from polyfact_dataset.pipeline.context import Context, Report
from polyfact_dataset.schema import CLASS_WORD, CONVERTED, RECASED, REORDERED, WRITTEN, answer_aliases, labels

DISAMBIGUATION = re.compile(r"\s*[(（][^()（）]*[)）]$")
# Family name, given names and what follows in brackets; a title or rank after a comma begins in small letters.
_INVERTED = re.compile(r"(?P<family>[^\W\d_][^,()]*), (?P<given>[^\W\d_a-zа-яё][^,()]*?)(?P<rest>(?: \([^()]*\))?)")
_ALIAS = "alias"
_MAX_CHARACTERS = 120


def settings(config: Config) -> dict[str, object]:
    """The settings that the result depends on."""
    return {"languages": config.languages}


def usable(text: str, entry: Language) -> str | None:
    """The cleaned text if it can be shown in the language, else None.

    It must contain letters or digits and only scripts of the language, with at most 120 characters, no hidden controls,
    no markup and no word that mixes alphabets. Latin is always allowed, since many names are not transliterated.
    """
    return _usable(text, entry.scripts)


# Cached: an entity's names are read to choose, to attest and to collect, and are often the same in many languages.
@lru_cache(maxsize=1 << 16)
def _usable(text: str, scripts: tuple[str, ...]) -> str | None:
    cleaned = as_entered(text, scripts)
    return simplified(cleaned) if cleaned is not None and "Hans" in scripts else cleaned


@lru_cache(maxsize=1 << 16)
def as_entered(text: str, scripts: tuple[str, ...]) -> str | None:
    """`usable`, without the conversion to Simplified Chinese."""
    cleaned = clean(text)
    if cleaned is None or len(cleaned) > _MAX_CHARACTERS or markup(cleaned):
        return None
    if not in_scripts(cleaned, scripts) or mixes_scripts(cleaned) or half_transliterated(cleaned):
        return None
    return cleaned


def uninverted(name: str) -> str:
    """A person's name with the given names first (Хаббл, Эдвин -> Эдвин Хаббл); any other text unchanged."""
    match = _INVERTED.fullmatch(name)
    return f"{match['given']} {match['family']}{match['rest']}" if match else name


@dataclass(frozen=True)
class Traits:
    """What the changes of an entity's names depend on.

    `person`: some languages list persons by the family name. `label_class`: see `catalog.spelling`. `answer`: class
    words are removed or added in answers only.
    """

    person: bool = False
    label_class: str | None = None
    answer: bool = False


class Offer(NamedTuple):
    """A possible name in a language: the text in Wikidata, with its Wikidata code and provenance."""

    provenance: str
    code: str
    text: str

    def shown(self, entry: Language, traits: Traits) -> tuple[str, str] | None:
        """The text as it is shown, and the marks of its changes (of `schema`, or nothing); None if unusable."""
        entered = as_entered(self.text, entry.scripts)
        if entered is None:
            return None
        text = uninverted(entered) if traits.person and entry.inverted_names else entered
        change = REORDERED if text != entered else ""
        if "Hans" not in entry.scripts:
            respelled, marks = self._spelled(text, entry, traits)
            return respelled, change + marks
        if self.code in SIMPLIFIED_CODES:
            return None if is_traditional(text) else (text, change)
        converted = simplified(text)
        return converted, change + (CONVERTED if converted != text else "")

    def _spelled(self, text: str, entry: Language, traits: Traits) -> tuple[str, str]:
        """A label as the language writes labels of its class, with the marks of the changes; an alias unchanged."""
        spelling = entry.spelling.get(traits.label_class or "")
        if spelling is None or self.provenance == _ALIAS:
            return text, ""
        worded = spelling.with_class_word(text) if traits.answer else text
        cased = spelling.cased(worded)
        return cased, (CLASS_WORD if worded != text else "") + (RECASED if cased != worded else "")


@dataclass(frozen=True)
class Texts:
    """The texts of an entity in one source: labels and aliases by Wikidata code, titles by wiki."""

    labels: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    traits: Traits = Traits()

    @classmethod
    def of(cls, row: Mapping[str, Any], prefix: str = "") -> Texts:
        """From the list columns of the entities table, which are null where the source lacks the entity."""
        labels, aliases, titles = (row[f"{prefix}{name}"] or () for name in ("labels", "aliases", "titles"))
        if prefix and not (labels or aliases or titles):
            return _NOTHING
        lists: dict[str, list[str]] = {}
        for entry in aliases:
            lists.setdefault(entry["code"], []).append(entry["text"])
        types = row.get("types") or ()
        traits = Traits(HUMAN in types, label_class(types), bool(row.get("is_object")))
        return cls({e["code"]: e["text"] for e in labels}, lists, {e["code"]: e["text"] for e in titles}, traits)

    def offers(self, entry: Language) -> Iterator[Offer]:
        """The possible labels in a language, best first."""
        for code in entry.labels:
            if code in self.labels:
                yield Offer("label" if code == entry.code else "variant", code, self.labels[code])
        if entry.wiki in self.titles:
            title = DISAMBIGUATION.sub("", self.titles[entry.wiki]) or self.titles[entry.wiki]
            yield Offer("title", entry.code, title)
        if entry.mul and "mul" in self.labels:
            yield Offer("mul", "mul", self.labels["mul"])

    def also_known_as(self, entry: Language) -> Iterator[Offer]:
        """The aliases in a language, in its variants and, where they may be used, in `mul`."""
        for code in (*entry.labels, *(("mul",) if entry.mul else ())):
            for text in self.aliases.get(code, ()):
                yield Offer(_ALIAS, code, text)


_NOTHING = Texts()


def _all_offers(entry: Language, sources: Sequence[Texts]) -> Iterator[tuple[Offer, Traits]]:
    """Labels, then aliases, of all sources, each with the traits of its entity."""
    for source in sources:
        for offer in source.offers(entry):
            yield offer, source.traits
    for source in sources:
        for offer in source.also_known_as(entry) if source.aliases else ():
            yield offer, source.traits


def names(entry: Language, *sources: Texts) -> Iterator[str]:
    """The names of an entity in a language that can be shown, each once (after `normalise`): labels, then aliases.

    A name with other words, or words in another order, than in Wikidata is also listed as it is there.
    """
    seen = set()
    for offer, traits in _all_offers(entry, sources):
        shown = offer.shown(entry, traits)
        if shown is None:
            continue
        text, change = shown
        reworded = REORDERED in change or CLASS_WORD in change
        for name in (text, as_entered(offer.text, entry.scripts)) if reworded else (text,):
            if name is not None and (form := normalise(name)) not in seen:
                seen.add(form)
                yield name


def is_attested(text: str, entry: Language, *sources: Texts) -> bool:
    """Whether a text agrees, after `normalise`, with the label, a variant, an alias or the Wikipedia title as entered.

    A `mul` label or alias counts where it may be used: Wikidata removes labels that equal `mul` from the
    languages. Agreement only after conversion of characters, reordering of words or a change of class words does not
    count.
    """
    form = normalise(text)
    entered = (as_entered(offer.text, entry.scripts) for offer, _ in _all_offers(entry, sources))
    return any(normalise(name) == form for name in entered if name is not None)


def resolve(entry: Language, dump: Texts, api: Texts = _NOTHING, written: Texts = _NOTHING) -> dict[str, Any] | None:
    """The label of one entity in one language with its provenance, and whether Wikidata attests it; or None.

    A written label is used only where dump and API offer none that is usable.
    """
    for provenance, source in ((None, dump), ("api", api), (WRITTEN, written)):
        for offer in source.offers(entry):
            shown = offer.shown(entry, dump.traits)
            if shown is not None:
                text, change = shown
                return {
                    "text": text,
                    "provenance": (provenance or offer.provenance) + change,
                    # A text without a change is as entered.
                    "attested": provenance != WRITTEN and (not change or is_attested(text, entry, dump, api)),
                }
    return None


def localise_batch(rows: pa.RecordBatch, languages: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """`localise_rows` of joined rows from Arrow."""
    return localise_rows(rows.to_pylist(), languages)


def localise_rows(rows: Sequence[Mapping[str, Any]], languages: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """Joined rows of dump and API to rows of `schema.labels`, and of `schema.answer_aliases` for the objects."""
    entries = [language(code) for code in languages]
    shown, answers = [], []
    for row in rows:
        dump, api = Texts.of(row), Texts.of(row, "api_")
        written = Texts({entry["code"]: entry["text"] for entry in row["written_labels"] or ()}, traits=dump.traits)
        wikis = dump.titles.keys() | api.titles.keys()
        resolved = {entry.code: resolve(entry, dump, api, written) for entry in entries}
        shown.append(
            {
                "entity_id": row["id"],
                "types": row["types"],
                "sitelinks": row["sitelinks"],
                "articles": [entry.code for entry in entries if entry.wiki in wikis],
                **resolved,
            }
        )
        if row["is_object"]:
            sources = [source for source in (dump, api, written) if source.labels or source.aliases or source.titles]
            answers.append({"entity_id": row["id"], **{e.code: list(names(e, *sources)) for e in entries}})
    return (
        pa.Table.from_pylist(shown, schema=labels(languages).schema),
        pa.Table.from_pylist(answers, schema=answer_aliases(languages).schema),
    )


_QUERY = f"""
    WITH ends AS (
        SELECT id, max(is_object) AS is_object FROM (
            SELECT subject_id AS id, false AS is_object FROM parquet($candidates)
            UNION ALL SELECT object_id, true FROM parquet($candidates)
        ) GROUP BY id
    ), dump AS (
        SELECT id, types, sitelinks, labels, aliases, titles
        FROM parquet($entities) JOIN ends USING (id) WHERE kind = 'item'
        QUALIFY {one_row_per_id()}
    ), api AS (
        SELECT id, types, sitelinks, labels AS api_labels, aliases AS api_aliases, titles AS api_titles
        FROM parquet($fetched)
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY len(types) DESC, redirected_from) = 1
    )
    SELECT id, is_object, coalesce(dump.types, api.types, []) AS types,
           coalesce(dump.sitelinks, api.sitelinks, 0) AS sitelinks,
           dump.labels, aliases, titles, api_labels, api_aliases, api_titles, w.labels AS written_labels
    FROM ends LEFT JOIN dump USING (id) LEFT JOIN api USING (id) LEFT JOIN written_label w ON w.entity_id = id
    ORDER BY id
"""


def run(context: Context) -> Report:
    """Writes `labels` for the subjects and objects of all candidates, and `answer_aliases` for objects, both by id."""
    languages = context.config.languages
    counts: dict[str, Counter[str]] = {code: Counter() for code in languages}
    rows_written = 0
    parameters = {
        "candidates": parquet_files(context.path("resolved_candidates")),
        "entities": parquet_files(context.path("entities")),
        "fetched": parquet_files(context.path("fetched")),
    }
    tables = labels(languages), answer_aliases(languages)
    with (
        connect(context.folder) as connection,
        table_writer(context.target("labels"), tables[0].schema) as write_labels,
        table_writer(context.target("answer_aliases"), tables[1].schema) as write_answers,
    ):
        register_written_labels(connection, context)
        rows = stream(connection, _QUERY, parameters)
        for shown, accept in context.workers.map(localise_batch, rows, languages):
            rows_written += shown.num_rows
            for code in languages:
                provenances = pc.struct_field(shown.column(code), "provenance")
                counts[code].update(str(provenance or "missing") for provenance in provenances.to_pylist())
            write_labels(shown)
            write_answers(accept)
    return Report({"entities": rows_written, "languages": {code: dict(counts[code]) for code in languages}})
