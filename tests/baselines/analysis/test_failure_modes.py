"""Failure modes of planted answers, and the flow between two models."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from baselines.analysis import failures
from baselines.analysis.failure_modes import compare, draw, summarise
from baselines.analysis.files import Result
from baselines.evaluate.results import GENERATIONS, MODES
from polyfact_dataset.common.errors import DataError

ACCEPTED = {
    "f1": {"en": ["Germany"], "de": ["Deutschland", "BRD"], "es": ["Alemania"]},
    "f2": {"en": ["Paris"], "de": ["Paris"], "es": ["París"]},
}
GROUPS = {"f1": "P17", "f2": "P37"}  # country: proper; official language: common


def generations(answers):
    rows = [
        {
            "fact_id": fact,
            "group": GROUPS[fact],
            "language": code,
            "prediction": text,
            "accepted": ACCEPTED[fact][code],
            "sample": 0,
            "exact": False,
            "lenient": mode == "correct",
            "folded": mode == "correct",
            "mode": mode,
            "contaminated": None,
        }
        for (fact, code), (text, mode) in answers.items()
    ]
    return pa.Table.from_pylist(rows, schema=GENERATIONS.schema)


BASE = {
    ("f1", "en"): ("Germany", "correct"),
    ("f2", "en"): ("Paris", "correct"),
    ("f1", "de"): ("Germany", "wrong_language"),
    ("f2", "de"): ("42", "incoherent"),
    ("f1", "es"): ("BRD", "wrong_language"),
    ("f2", "es"): ("Paris", "wrong_language"),
}
TRAINED = {
    **BASE,
    ("f1", "en"): ("France", "wrong_fact"),
    ("f1", "de"): ("Deutschland", "correct"),
    ("f2", "de"): ("Paris", "correct"),
}
CODES = ("en", "de", "es")


def loaded(label, answers):
    metrics, arrays = summarise(generations(answers), CODES)
    fields = {"settings": {}, "seconds": 0, "software": {}, "hardware": {}, "arrays": "", "inputs": {}, "models": []}
    return Result(kind="failure_modes", label=label, languages=CODES, metrics=metrics, **fields), arrays


def test_the_other_language_is_named():
    metrics, _ = summarise(generations(BASE), CODES)
    assert metrics["de"]["answered_in"] == {"en": 1.0, "de": 0.0, "es": 0.0}
    # BRD is an alias in German; Paris is the same in English and German.
    assert metrics["es"]["answered_in"] == {"en": 0.5, "de": 1.5, "es": 0.0}
    assert metrics["en"]["modes"] == dict.fromkeys(MODES, 0) | {"correct": 2}
    assert metrics["de"]["nouns"]["common"]["incoherent"] == 1
    assert metrics["de"]["nouns"]["proper"]["wrong_language"] == 1


def test_flow_between_two_models():
    rows = {(row["model"], row["language"]): row for row in compare([loaded("base", BASE), loaded("new", TRAINED)])}
    german, english = rows["new", "de"], rows["new", "en"]
    assert (german["corrected, was wrong language"], german["corrected, was incoherent"]) == (1, 1)
    assert german["correct (%)"] == 100
    assert english["broken, is wrong fact"] == 1
    assert english["proper among broken (%)"] == 100
    assert rows["new", "es"]["proper among broken (%)"] is None
    assert sum(value for name, value in rows["base", "de"].items() if name.startswith(("corrected", "broken"))) == 0


def test_flow_counts_every_answer_once():
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 4, (2, 100))
    table = failures.flow(before, after)
    assert table.sum() == 100
    assert table[1, 2] == ((before == 1) & (after == 2)).sum()
    assert failures.corrected(table)["incoherent"] == ((before == 3) & (after == 0)).sum()
    assert failures.broken(table)["wrong_fact"] == ((before == 0) & (after == 2)).sum()


def test_other_questions_are_refused():
    fewer = {key: value for key, value in TRAINED.items() if key != ("f2", "es")}
    with pytest.raises(DataError, match="base and new answered different questions"):
        compare([loaded("base", BASE), loaded("new", fewer)])


def test_figures_of_one_and_of_two_models():
    assert [f.name for f in draw([loaded("base", BASE)])] == ["failure_modes", "failure_languages"]
    names = [f.name for f in draw([loaded("base", BASE), loaded("new", TRAINED)])]
    assert names == ["failure_modes", "failure_languages", "failure_flow_new", "failure_nouns"]
