"""Synthetic releases of any size, as tables and on disk: invented names in the real templates of every language.

The answers of a relation are Zipf-shaped. Distractors are drawn in one of three ways: `exchangeable`, as the factory
draws them; `co-occurring`, as the first published release did, evenly from all objects of the relation, of which
many are never an answer; `proportional`, as its repair did, in proportion to how often an object is an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from polyfact_dataset import schema
from polyfact_dataset.catalog.language import PAPER_LANGUAGES, language
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.catalog.subject import Subject
from polyfact_dataset.common.files import write_parquet
from polyfact_dataset.items.distractors import draw
from polyfact_dataset.items.layout import order_of
from polyfact_dataset.items.name_overlap import overlaps
from polyfact_dataset.release.rows import tables
from polyfact_dataset.schema import LOCALISED_TEXT, SPLITS, answer_aliases, items

DRAWINGS = ("exchangeable", "co-occurring", "proportional")
LETTERS = {
    "ar": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "bn": "কখগঘচছজঝটঠডঢণতথদধনপফবভমযরলশষসহ",
    "ru": "абвгдежзиклмнопрстуфхцчшщэюя",
    "ja": "アイウエオカキクケコサシスセソタチツテト",
    "zh": "东南西北山水河海城林石金木火土云风雨雪天",
}


def names(count: int, code: str, rng: np.random.Generator) -> list[str]:
    """Distinct names of 6 to 20 letters in the script of the language."""
    letters = np.array(list(LETTERS.get(code, "abcdefghijklmnopqrstuvwxyz")))
    distinct: dict[str, None] = {}
    while len(distinct) < count:
        drawn = letters[rng.integers(0, len(letters), (count, 20))]
        lengths = rng.integers(6, 21, count)
        distinct.update(dict.fromkeys("".join(row[:size]).capitalize() for row, size in zip(drawn, lengths)))
    return list(distinct)[:count]


def _distractors(
    golds: npt.NDArray[np.int64], answers: int, drawing: str, rng: np.random.Generator, seed: str
) -> npt.NDArray[np.int64]:
    """Three distractors per fact of one relation and split, (facts, 3)."""
    if drawing == "exchangeable":
        drawn = draw(golds.tolist(), lambda fact, entity: False, lambda one, other: one == other, seed)
        return np.array(drawn.columns, dtype=np.int64).T
    # Half of the objects of a relation are the answer of no fact of the release.
    weights = np.ones(2 * answers) if drawing == "co-occurring" else np.bincount(golds, minlength=2 * answers) + 0.01
    keys = np.log(weights) - np.log(rng.exponential(size=(len(golds), 2 * answers)))
    keys[np.arange(len(golds)), golds] = -np.inf
    return np.argsort(-keys, axis=1)[:, :3].astype(np.int64)


def facts(
    count: int,
    answers: int,
    drawing: str,
    seed: int,
    relations: Sequence[str] = tuple(all_relations()),
    splits: Sequence[str] = SPLITS,
) -> list[dict[str, object]]:
    """Rows of `schema.SAMPLED`: `count` facts shared over the relations, 90 % train, the rest held out.

    Only the facts of `splits` are made.
    """
    # Golds and distractors have separate generators, so that every drawing has the same facts.
    rng, others, rows = np.random.default_rng(seed), np.random.default_rng((seed, 1)), []
    weights = 1 / (np.arange(answers) + 4)
    for number, relation in enumerate(relations):
        size_of_relation = len(range(number, count, len(relations)))
        held = max(round(size_of_relation * 0.05), 8)
        for split, size in zip(SPLITS, (size_of_relation - 2 * held, held, held)):
            if split not in splits:
                continue
            golds = _golds(size, weights / weights.sum(), rng)
            offered = _distractors(golds, answers, drawing, others, f"{seed}/{relation}/{split}")
            base = 1_000_000_000 + number * 1_000_000
            for gold, three in zip(golds.tolist(), offered.tolist()):
                subject = f"Q{len(rows) + 1}"
                rows.append(
                    {
                        "fact_id": f"{subject}|{relation}|Q{base + gold}",
                        "subject_id": subject,
                        "property_id": relation,
                        "object_id": f"Q{base + gold}",
                        "split": split,
                        "stratum": f"{relation}/{split}",
                        "distractor_ids": [f"Q{base + other}" for other in three],
                    }
                )
    return sorted(rows, key=lambda row: SPLITS.index(row["split"]))


def _vocabulary(code: str) -> list[str]:
    """Words of the language file's templates; in languages without spaces, short pieces of them."""
    entry = language(code)
    wordings = (text for by_condition in entry.questions.values() for text in by_condition.values())
    texts = [re.sub(r"\{[^{}]*\}", " ", text) for text in wordings]
    if entry.spaced:
        return sorted({word for text in texts for word in text.split() if word[-1:].isalpha()})
    pieces = {text[start : start + 3] for text in texts for start in range(len(text) - 3)}
    return sorted(piece for piece in pieces if piece[:1].isalpha() and not piece.isascii())


def _golds(size: int, weights: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Zipf-shaped answers of which none holds more than a quarter."""
    golds = rng.choice(len(weights), size, p=weights)
    while (counts := np.bincount(golds, minlength=len(weights))).max() > size // 4:
        golds[np.flatnonzero(golds == counts.argmax())[0]] = counts.argmin()
    return golds.astype(np.int64)


def release(
    count: int,
    *,
    languages: Sequence[str] = PAPER_LANGUAGES,
    answers: int = 400,
    drawing: str = "exchangeable",
    seed: int = 7,
    relations: Sequence[str] = tuple(all_relations()),
    varied: bool = False,
    splits: Sequence[str] = SPLITS,
) -> dict[str, tuple[pa.Table, npt.NDArray[np.str_]]]:
    """`parallel`, `open` and each language -> the rows as shipped, and their splits.

    `varied` gives every question a different wording, as a model would: it begins with a few words of the language.
    Only facts of `splits` are generated.
    """
    rng = np.random.default_rng(seed + 1)
    rows = facts(count, answers, drawing, seed, relations, splits)
    entities = sorted({e for r in rows for e in (r["subject_id"], r["object_id"], *r["distractor_ids"])})
    texts = {code: names(len(entities), code, rng) for code in languages}
    vocabulary = {code: np.array(_vocabulary(code)) for code in languages}
    row_of = {entity: number for number, entity in enumerate(entities)}
    for row in rows:
        for code in languages:
            shown = [row["object_id"], *row["distractor_ids"]]
            order = order_of(seed, row["fact_id"], code)
            asked = language(code).ask(row["property_id"], Subject(texts[code][row_of[row["subject_id"]]]))
            question = asked.text
            if varied:
                question = f"{' '.join(rng.choice(vocabulary[code], 5))}: {question}"
            ids = [shown[slot] for slot in order]
            row[code] = {
                "question": question,
                "question_source": "template",
                "template": asked.template,
                "option_ids": ids,
                "answer_index": order.index(0),
            }
    labels = [
        pa.array([{"text": text, "provenance": "label", "attested": True} for text in texts[code]], LOCALISED_TEXT)
        for code in languages
    ]
    links = pa.array(rng.lognormal(2.2, 1.1, len(entities)).astype(np.int32))
    types = pa.array([[]] * len(entities), pa.list_(pa.string()))
    known = pa.table([pa.array(entities), types, links, types, *labels], schema=schema.labels(languages).schema)
    full = pa.array([len(languages)] * len(rows), pa.int32())
    overlapping = overlaps(rows, known, languages)
    tiers = {
        "quality_tier": pa.array(["bronze" if codes else "gold" for codes in overlapping]),
        "n_langs_attested": full,
        "n_langs_subject_attested": full,
        "name_overlap": pa.array(overlapping, schema.STRINGS),
        "verification": pa.array(["unverified"] * len(rows)),
    }
    splits = np.array([row["split"] for row in rows])
    laid = pa.Table.from_pylist(rows, schema=items(languages).schema)
    answers = pa.table(
        [entities, *([[text] for text in texts[code]] for code in languages)], answer_aliases(languages).schema
    )
    return {name: (table, splits) for name, table in tables(laid, tiers, known, answers, languages)}


def write(folder: Path, tables: dict[str, tuple[pa.Table, npt.NDArray[np.str_]]]) -> None:
    """The release on disk in the published layout: one folder per config, one file per split."""
    for name, (table, splits) in tables.items():
        for split in SPLITS:
            rows = table.filter(pa.array(splits == split))
            write_parquet(folder / name / f"{split}-00000-of-00001.parquet", rows, 1000)
