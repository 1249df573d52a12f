"""Failure modes of planted answers, and the flow between two models."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.analysis import failures
from baselines.analysis.failure_modes import compare, draw, summarise
from baselines.evaluate.results import MODES
from polyfact_dataset.common.errors import DataError
from tests.support.analysis_results import BASE, CODES, TRAINED, generations, result


def loaded(label, answers):
    metrics, arrays = summarise(generations(answers), CODES)
    return result("failure_modes", label, CODES, metrics), arrays


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
