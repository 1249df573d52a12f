"""Global-MMLU through lm_eval, on questions of our own in its layout."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from yaml import safe_dump

pytest.importorskip("torch", reason="needs polyfact[eval]")
pytest.importorskip("lm_eval", reason="needs polyfact[eval]")

from baselines.evaluate import global_mmlu, results
from polyfact_dataset.catalog.language import PAPER_LANGUAGES, known
from polyfact_dataset.common.errors import ConfigError, RetryableError

QUESTIONS = 6


def write_tasks(folder: Path, languages: tuple[str, ...]) -> Path:
    """Two subjects per language under lm_eval's names, in local files."""
    for code in languages:
        names = [f"global_mmlu_full_{code}_{subject}" for subject in ("anatomy", "astronomy")]
        for name in names:
            subject = name.rpartition("_")[2]
            rows = [
                {
                    "sample_id": f"{subject}/test/{number}",
                    "subject": subject,
                    "question": f"{code} {subject} {number}?",
                    **{f"option_{letter}": f"{letter}{number}" for letter in "abcd"},
                    "answer": "ABCD"[number % 4],
                }
                for number in range(QUESTIONS)
            ]
            path = folder / f"{name}.jsonl"
            path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
            task = {
                "task": name,
                "dataset_path": "json",
                "dataset_kwargs": {"data_files": {"test": str(path)}},
                "test_split": "test",
                "output_type": "multiple_choice",
                "doc_to_text": "{{question.strip()}}\nA. {{option_a}}\nB. {{option_b}}\nAnswer:",
                "doc_to_choice": ["A", "B", "C", "D"],
                "doc_to_target": "answer",
                "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            }
            (folder / f"{name}.yaml").write_text(safe_dump(task))
        group = {"group": f"global_mmlu_full_{code}", "task": names}
        (folder / f"{code}.yaml").write_text(safe_dump(group))
    return folder


def test_lm_eval_has_the_papers_languages() -> None:
    manager = global_mmlu.task_manager(PAPER_LANGUAGES, lite=False)
    global_mmlu.check_tasks(manager, PAPER_LANGUAGES, lite=False)
    # There is no folder of Lite in Russian, so all tasks are read, and it is in none of them.
    manager = global_mmlu.task_manager(PAPER_LANGUAGES, lite=True)
    with pytest.raises(ConfigError, match="lm_eval has no Global-MMLU-Lite in ru;"):
        global_mmlu.check_tasks(manager, PAPER_LANGUAGES, lite=True)
    # `--languages all` takes those of our catalog that lm_eval has.
    manager = global_mmlu.task_manager(known(), lite=False)
    assert {code for code in known() if global_mmlu.task_name(code, False) in manager.all_tasks} >= set(PAPER_LANGUAGES)
    assert global_mmlu.task_name("sw", False) == "global_mmlu_full_sw"
    assert global_mmlu.task_name("sw", True) == "global_mmlu_sw"


def test_full_and_lite_read_different_datasets() -> None:
    """Planted confusion of the names: what lm_eval calls global_mmlu_en is the Lite set."""
    full, lite = (global_mmlu.task_manager(("en", "sw"), lite).task_index for lite in (False, True))
    assert full["global_mmlu_full_en_anatomy"].cfg["dataset_path"].endswith("/Global-MMLU")
    assert lite["global_mmlu_en_stem"].cfg["dataset_path"].endswith("/Global-MMLU-Lite")
    assert "global_mmlu_full_sw_anatomy" in full and "global_mmlu_sw_stem" in lite
    assert not any(name.startswith(("global_mmlu_full_de", "global_mmlu_sw")) for name in full), "others are not read"


def test_the_evaluator_end_to_end(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path, ("en", "sw"))
    output = tmp_path / "g.json"
    options = {"languages": "en,sw", "include_path": tasks, "device": "cpu", "quiet": True}
    global_mmlu.main(model=str(tiny("qwen2")), output=output, **options)  # type: ignore[arg-type]
    result = results.load_result(output)
    assert result.kind == "global_mmlu" and result.data.config == "global_mmlu_full"
    assert result.data.facts == 2 * QUESTIONS and set(result.data.digests) == {"en", "sw"}
    rows = results.load_scores(output, result).to_pylist()
    assert len(rows) == 2 * QUESTIONS * 2 * 4 and {row["group"] for row in rows} == {"anatomy", "astronomy"}
    right = []
    for fact in sorted({row["fact_id"] for row in rows}):
        own = [row for row in rows if (row["fact_id"], row["language"]) == (fact, "sw")]
        gold = next(row["option_id"] for row in own if row["gold"])
        assert gold == "ABCD"[int(fact.rpartition("/")[2]) % 4]
        right.append(max(own, key=lambda row: row["logprob"])["gold"])
    assert result.metrics["sum"]["accuracy"]["sw"] == pytest.approx(sum(right) / len(right))
    assert list(result.metrics) == ["sum"]


def test_data_out_of_reach(tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: object) -> None:
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr("lm_eval.simple_evaluate", unreachable)
    with pytest.raises(RetryableError, match="the data of lm_eval's global_mmlu_full_sw cannot be fetched now: Could"):
        global_mmlu.main(model=str(tiny("qwen2")), output=tmp_path / "g.json", languages="sw", device="cpu", quiet=True)


def test_vllm_gets_arguments_that_it_has() -> None:
    import lm_eval.models

    source = (Path(lm_eval.models.__file__).parent / "vllm_causallms.py").read_text(encoding="utf-8")
    backend = next(n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == "VLLM")
    start = next(n for n in backend.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    given = global_mmlu.vllm_arguments("M", "main", "bfloat16", "tensor_parallel_size=2,gpu_memory_utilization=0.5")
    assert given["tensor_parallel_size"] == 2 and given["gpu_memory_utilization"] == 0.5
    assert global_mmlu.vllm_arguments("M", None, "auto", None)["gpu_memory_utilization"] == 0.85
    own = set(given) - {"gpu_memory_utilization"}  # which vLLM itself takes
    assert own <= {argument.arg for argument in start.args.args}


def test_what_it_refuses(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    model = str(tiny("qwen2"))
    with pytest.raises(ConfigError, match="--engine 'tgi' is unknown; known are hf, vllm"):
        global_mmlu.main(model=model, output=tmp_path / "g.json", engine="tgi")
    with pytest.raises(ConfigError, match="no Global-MMLU in xx"):
        global_mmlu.main(model=model, output=tmp_path / "g.json", languages="xx")
    with pytest.raises(ConfigError, match=r"vllm is not installed; run: pip install 'polyfact\[vllm\]'"):
        global_mmlu.main(model=model, output=tmp_path / "g.json", engine="vllm", languages="en")
