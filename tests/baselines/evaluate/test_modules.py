"""Our measures through the library `evaluate`, and our tasks for LightEval."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import numpy as np
import pytest

from baselines import metrics
from baselines.evaluate import hf_metrics
from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import ConfigError


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Any:
    evaluate = pytest.importorskip("evaluate", reason="needs polyfact[eval]")
    cache = str(tmp_path_factory.mktemp("evaluate"))
    return lambda name: evaluate.load(hf_metrics.path(name), cache_dir=cache)


def test_choices_of_options(load: Any) -> None:
    predictions, references = [[0, 1, 0], [1, 1, 1], [2, 3, 3]], [0, 1, 3]
    found = load("accuracy").compute(predictions=predictions, references=references)
    assert found["by_language"] == pytest.approx([2 / 3, 2 / 3, 1.0]) and found["accuracy"] == pytest.approx(7 / 9)
    found = load("consistency").compute(predictions=predictions, references=references)
    assert found["total_consistency"] == pytest.approx(1 / 3) and found["histogram"] == [0, 0, 2, 1]
    assert found["agreement"] == pytest.approx((1 / 3 + 2 / 3 + 2 / 3) / 3)


def test_rankc(load: Any) -> None:
    scores = np.random.default_rng(0).random((9, 3, 4))
    found = load("rankc").compute(predictions=scores.tolist())
    assert found["rankc"] == pytest.approx(metrics.off_diagonal_mean(metrics.rankc(scores)))
    assert found["floor"] == pytest.approx(0.0901548, abs=1e-7) and found["chance"] == pytest.approx(
        0.3768368, abs=1e-7
    )
    assert np.array(found["matrix"]).shape == (3, 3)


def test_calibration_and_gen_score(load: Any) -> None:
    found = load("calibration").compute(predictions=[[0.0, np.log(3)], [np.log(3), 0.0]], references=[1, 1])
    assert found["ece"] == pytest.approx(0.25)
    assert load("gen_score").compute(predictions=[0.75], references=[0.5])["gen_score"] == pytest.approx(0.5)


def test_every_module_has_a_path() -> None:
    from pathlib import Path

    folder = Path(hf_metrics.path("rankc")).parent
    assert {path.stem for path in folder.glob("polyfact_*.py")} == {f"polyfact_{name}" for name in hf_metrics.MODULES}
    with pytest.raises(ConfigError, match="unknown metric 'bleu'"):
        hf_metrics.path("bleu")


def test_lighteval_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """LightEval is not installed: its four classes are stood in for by ones that keep their arguments."""

    class Kept:
        def __init__(self, **arguments: Any) -> None:
            self.__dict__.update(arguments)

    for name, members in {
        "lighteval": (),
        "lighteval.metrics": (),
        "lighteval.metrics.dynamic_metrics": ("LogLikelihoodAccMetric",),
        "lighteval.metrics.normalizations": ("LogProbCharNorm", "LogProbTokenNorm"),
        "lighteval.tasks": (),
        "lighteval.tasks.lighteval_task": ("LightevalTaskConfig",),
        "lighteval.tasks.requests": ("Doc",),
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update({member: type(member, (Kept,), {}) for member in members})
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "baselines.evaluate.lighteval_tasks", raising=False)
    monkeypatch.setenv("POLYFACT_DATASET", "someone/other")
    tasks = importlib.import_module("baselines.evaluate.lighteval_tasks")
    monkeypatch.delitem(sys.modules, "baselines.evaluate.lighteval_tasks")
    named = {task.name: task for task in tasks.TASKS_TABLE}
    expected = {f"{name}:{code}" for name in ("polyfact", "polyfact_clean") for code in PAPER_LANGUAGES}
    assert set(named) == expected
    monkeypatch.setenv("POLYFACT_LANGUAGES", "en,sw")
    chosen = importlib.import_module("baselines.evaluate.lighteval_tasks").LANGUAGES
    monkeypatch.delitem(sys.modules, "baselines.evaluate.lighteval_tasks")
    assert chosen == ("en", "sw")
    assert named["polyfact_clean:sw"].hf_subset == "clean_sw" and named["polyfact:sw"].hf_subset == "sw"
    assert named["polyfact:sw"].hf_repo == "someone/other" and len(named["polyfact:sw"].metrics) == 3
    options = {f"option_{letter}": letter for letter in "abcd"}
    doc = named["polyfact:sw"].prompt_function(
        {"language": "sw", "question": "Nini?", "answer_index": 2, **options}, "t"
    )
    assert doc.query.endswith("Swali: Nini?\nJibu:") and doc.choices == [" a", " b", " c", " d"] and doc.gold_index == 2
