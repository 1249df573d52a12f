"""Tables of an extraction of any size and of the true shape, without a dump.

As in Wikidata: names that agree between languages in Latin script and differ elsewhere, many descriptions and few
labels for most entities, answers with Zipf-shaped popularity, relations of very different sizes, ranks, ended and
repeated statements, redirects, namesakes. Unlike Wikidata, where about one entity in a hundred has a name in all
twelve languages, one in four has: else millions of entities would not give 100,000 facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from synthetic_dump import _LETTERS

from polyfact_dataset.common.files import write_json, write_parquet
from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.context import Context, Report
from polyfact_dataset.schema import ENTITIES, QUARANTINE, STATEMENTS
from polyfact_dataset.wikidata.extract import EXTRACTION, extracted_fields, fingerprint
from polyfact_dataset.wikidata.workers import REPORTED

_PART = 250_000
_WORDS = 30_000
_COMPLETE = 0.25
# Answers of a relation: how many there are (None: one for every 50 entities), and their type.
_ANSWERS: dict[str, tuple[int | None, str]] = {
    "P17": (200, "Q6256"), "P27": (200, "Q6256"), "P495": (200, "Q6256"), "P30": (7, "Q5107"), "P37": (150, "Q34770"),
    "P407": (150, "Q34770"), "P38": (150, "Q8142"), "P136": (600, "Q483394"), "P400": (60, "Q7889"),
    "P47": (None, "Q515"), "P36": (None, "Q515"), "P19": (None, "Q515"), "P20": (None, "Q515"), "P69": (None, "Q3918"),
    "P108": (None, "Q4830453"), "P178": (None, "Q4830453"), "P176": (None, "Q4830453"),
}  # fmt: skip
_DEFAULT_ANSWERS = (None, "Q5")
_SUBJECT_TYPES = ("Q5", "Q486972", "Q11424", "Q7889", "Q571", "Q3305213", "Q42889", "Q7397", "Q482994", "Q16970")


class Shape:
    """Everything random about a world of `entities` entities; the same arguments give the same tables."""

    def __init__(self, entities: int, config: Config, seed: int = 11) -> None:
        self.entities, self.config, self.seed = entities, config, seed
        self.need = extracted_fields(config)
        rng = np.random.default_rng(seed)
        alphabets = {"Latn": "abcdefghijklmnopqrstuvwxyz"} | {code: _LETTERS[code] for code in ("ar", "bn", "ru", "ja")}
        self.words = {name: _vocabulary(letters, rng) for name, letters in (alphabets | {"zh": _LETTERS["zh"]}).items()}
        # Answers are the first entities; a relation's begin at `first`.
        self.first, count = dict[str, tuple[int, int]](), 0
        for relation in config.relations:
            size = _ANSWERS.get(relation, _DEFAULT_ANSWERS)[0] or max(entities // 50, 100)
            self.first[relation] = (count, size)
            count += size
        self.answers = count

    def parts(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Entities and statements, so many entities at a time."""
        for begin in range(0, self.entities, _PART):
            rng = np.random.default_rng((self.seed, begin))
            numbers = np.arange(begin, min(begin + _PART, self.entities))
            complete = (numbers < self.answers) | (rng.random(len(numbers)) < _COMPLETE)
            yield self._entities(numbers, complete, rng), self._statements(numbers, rng)

    def _entities(self, numbers: np.ndarray, complete: np.ndarray, rng: np.random.Generator) -> pa.Table:
        size = len(numbers)
        names = self._names(numbers, rng)
        codes, wikis = self.need.codes, self.need.wikis
        configured = np.array([code in self.config.languages for code in codes])
        labelled = np.where(complete[:, None], configured, rng.random((size, len(codes))) < 0.12)
        described = rng.random((size, len(codes))) < np.where(configured, 0.6, 0.1)
        described[:, list(codes).index("mul")] = False
        titled = rng.random((size, len(wikis))) < np.where(complete, 0.4, 0.03)[:, None]
        kinds = np.array(_SUBJECT_TYPES)[rng.integers(0, len(_SUBJECT_TYPES), size)].astype(object)
        for relation, (first, count) in self.first.items():
            kinds[(numbers >= first) & (numbers < first + count)] = _ANSWERS.get(relation, _DEFAULT_ANSWERS)[1]
        redirected = np.where(rng.random(size) < 0.01, numbers + 500_000_000, 0)
        columns = [
            _ids(numbers),
            pa.array(["item"] * size),
            pa.array([f"Q{number}" if number else None for number in redirected], pa.string()),
            pa.ListArray.from_arrays(pa.array(np.arange(size + 1), pa.int32()), pa.array(kinds, pa.string())),
            pa.array((rng.pareto(1.1, size) * np.where(complete, 12, 1)).clip(0, 350), pa.int32(), safe=False),
            _texts(codes, [names[_script(code)] for code in codes], labelled),
            _texts(codes, [names[_script(code)] for code in codes], labelled & (rng.random((size, len(codes))) < 0.1)),
            _texts(codes, [self.words[_script(code)].take(rng.integers(0, 2000, size)) for code in codes], described),
            _texts(wikis, [names[_script(wiki.removesuffix("wiki"))] for wiki in wikis], titled),
        ]
        return pa.table([*columns, *_features(size, rng)], schema=ENTITIES.schema)

    def _names(self, numbers: np.ndarray, rng: np.random.Generator) -> dict[str, pa.Array]:
        """Two or three words; the same entity has words of the same rank in every script. One in 100 is shared."""
        shared = np.where(rng.random(len(numbers)) < 0.01, rng.integers(0, 500, len(numbers)), numbers)
        # Ranks that follow from one another would give every 30,000th entity the same name.
        mixed = (shared.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        ranks = [((mixed >> np.uint64(shift)) % np.uint64(_WORDS)).astype(np.int64) for shift in (8, 26, 44)]
        third = shared % 3 == 0
        names = {}
        for script, words in self.words.items():
            name = pa.compute.binary_join_element_wise(words.take(ranks[0]), words.take(ranks[1]), " ")
            longer = pa.compute.binary_join_element_wise(name, words.take(ranks[2]), " ")
            names[script] = pa.compute.if_else(pa.array(third), longer, name)
        return names

    def _statements(self, numbers: np.ndarray, rng: np.random.Generator) -> pa.Table:
        """A statement per entity on average, in relations of very different sizes."""
        relations = self.config.relations
        weights = 1 / np.arange(2, len(relations) + 2) ** 0.8
        subjects = np.sort(rng.choice(numbers, len(numbers)))
        drawn = rng.choice(len(relations), len(subjects), p=weights / weights.sum())
        bounds = np.array([self.first[relation] for relation in relations])[drawn]
        ranks = (rng.pareto(0.7, len(subjects)) * 3).astype(np.int64) % bounds[:, 1]
        rank = np.array(["normal", "preferred", "deprecated"])[rng.choice(3, len(subjects), p=(0.96, 0.03, 0.01))]
        columns = [
            _ids(subjects),
            pa.array(np.array(relations)[drawn], pa.string()),
            _ids(bounds[:, 0] + ranks),
            pa.array(rank, pa.string()),
            pa.array(rank != "deprecated"),
            pa.array(rng.random(len(subjects)) < 0.05),
        ]
        return pa.table(columns, schema=STATEMENTS.schema)


def _features(size: int, rng: np.random.Generator) -> list[pa.Array]:
    """The columns of `ENTITIES` behind the titles: few entities have each, as in Wikidata."""
    columns = []
    for field in list(ENTITIES.schema)[9:]:
        held = rng.random(size) < 0.2
        if pa.types.is_list(field.type):
            ends = np.concatenate([[0], np.cumsum(held)])
            values = _ids(rng.integers(0, 5000, int(held.sum())))
            columns.append(pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values))
        elif pa.types.is_boolean(field.type):
            columns.append(pa.array(held))
        else:
            columns.append(pa.array(rng.integers(1400, 2025, size).astype(np.int32), mask=~held))
    return columns


def _vocabulary(letters: str, rng: np.random.Generator) -> pa.Array:
    """Words by falling frequency: the commoner, the shorter."""
    lengths = (2 if len(letters) < 22 else 4) + np.arange(_WORDS) * 6 // _WORDS
    flat = rng.choice(list(letters), int(lengths.sum()))
    ends = np.cumsum(lengths)
    return pa.array(["".join(flat[end - length : end]) for end, length in zip(ends, lengths)])


def _script(code: str) -> str:
    """The alphabet of a code."""
    return code.partition("-")[0] if code.partition("-")[0] in ("ar", "bn", "ru", "ja", "zh") else "Latn"


def _ids(numbers: np.ndarray) -> pa.Array:
    return pa.compute.binary_join_element_wise("Q", pa.array(numbers + 1).cast(pa.string()), "")


def _texts(codes: tuple[str, ...], columns: list[pa.Array], held: np.ndarray) -> pa.ListArray:
    """Lists of (code, text), where `held`."""
    size = len(held)
    rows, places = np.nonzero(held)
    everything = pa.concat_arrays(columns)
    offsets = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
    structs = pa.StructArray.from_arrays(
        [pa.array(codes, pa.string()).take(places), everything.take(places * size + rows)],
        fields=list(ENTITIES.schema.field("labels").type.value_type),
    )
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs)


def supply(entities: int, context: Context) -> Report:
    """The work of stage `extract`: writes the tables of a world into the stage's folder."""
    statements, folder = 0, Path(context.folder)
    for number, (entity_table, triples) in enumerate(Shape(entities, context.config).parts()):
        for name, table in (("entities", entity_table), ("statements", triples)):
            write_parquet(folder / f"{name}.parquet" / f"{number:05}.parquet", table)
        statements += len(triples)
    pq.write_table(QUARANTINE.schema.empty_table(), folder / "quarantine.parquet")
    about = {"newlines": entities, "part": None, "has_head": False, "settings": fingerprint(context.config)}
    write_json(folder / EXTRACTION, about)
    counts = {"lines": entities, "entities": entities, "statements": statements}
    return Report({**dict.fromkeys(REPORTED, 0), **counts})
