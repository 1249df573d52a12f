"""Synthetic valid candidates of any size with Zipf-shaped answers, as the tables that `items.strata.Pool` reads."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.items.strata import Pool
from polyfact_dataset.schema import CANDIDATES, LOCALISED_TEXT, TRUE_OBJECTS, answer_aliases, labels, questions

LETTERS = {
    "ar": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "bn": "কখগঘচছজঝটঠডঢণতথদধনপফবভমযরলশষসহ",
    "ru": "абвгдежзиклмнопрстуфхцчшщэюя",
    "ja": "アイウエオカキクケコサシスセソタチツテト",
    "zh": "的一是在不了有和人这中大为上个国我以要",
}


def names(count: int, code: str, rng: np.random.Generator) -> list[str]:
    """Distinct names of 4 to 24 letters in the script of the language; the rank in Zipf order is in no name."""
    letters = np.array(list(LETTERS.get(code, "abcdefghijklmnopqrstuvwxyz")))
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(rng.choice(letters, rng.integers(4, 25)))] = None
    return list(found)


def pool(facts: int, languages: tuple[str, ...], answers: int = 400, seed: int = 7) -> Pool:
    """`facts` valid candidates, shared evenly over the 22 relations; each relation has `answers` answers of its own."""
    rng = np.random.default_rng(seed)
    relations = list(all_relations())
    weights = 1 / np.arange(1, answers + 1)
    drawn = rng.choice(answers, (len(relations), -(-facts // len(relations))), p=weights / weights.sum())
    rows, asked, true = [], [], []
    for position, relation in enumerate(relations):
        for priority, answer in enumerate(drawn[position], start=1):
            subject, value = f"Q{len(rows) + 1}", f"Q{900_000_000 + position * answers + int(answer)}"
            row = (f"{subject}|{relation}|{value}", subject, relation, value, priority)
            rows.append(row)
            sources, templates = dict.fromkeys(languages, "template"), dict.fromkeys(languages, f"{relation}/safe")
            asked.append((*row, sources, templates, *(f"{subject}?" for _ in languages)))
            true.append((subject, relation, [value]))
    answers_of = sorted({row[3] for row in rows})
    subjects = [row[1] for row in rows]
    entities = [*answers_of, *subjects]
    # Subjects are called by two words of a small vocabulary, alike in all languages.
    words = names(2000, "en", rng)
    pairs = rng.integers(0, len(words), (len(subjects), 2))
    called = [f"{words[one]} {words[two]}" for one, two in pairs.tolist()]
    texts = {code: [*names(len(answers_of), code, rng), *called] for code in languages}
    structs = [
        pa.array([{"text": text, "provenance": "label", "attested": True} for text in texts[code]], LOCALISED_TEXT)
        for code in languages
    ]

    def table(schema: pa.Schema, values: list[tuple[object, ...]]) -> pa.Table:
        return pa.table([pa.array(column, f.type) for column, f in zip(zip(*values), schema)], schema=schema)

    return Pool(
        table(CANDIDATES.schema, rows),
        pa.table(
            [
                pa.array(entities),
                pa.array([[]] * len(entities), pa.list_(pa.string())),
                pa.array([0] * len(entities), pa.int32()),
                pa.array([[]] * len(entities), pa.list_(pa.string())),
                *structs,
            ],
            schema=labels(languages).schema,
        ),
        answer_aliases(languages).schema.empty_table(),
        table(questions(languages).schema, asked),
        table(TRUE_OBJECTS.schema, true),
        languages,
    )
