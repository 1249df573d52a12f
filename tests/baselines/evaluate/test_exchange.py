"""Results from lm_eval's samples, and results in the formats of others."""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from yaml import safe_load

from baselines.evaluate import bmlama, compare, exports, lm_eval_samples, results
from baselines.evaluate.bmlama import Line, pools_of
from polyfact_dataset.common.errors import ConfigError, DataError
from tests.support import baseline_releases as releases


def write_samples(folder: Path, facts: int = 8, task: str = "polyfact_clean") -> Path:
    """What lm_eval writes: a line per item, with its row and the log-likelihood of every option."""
    for code in ("en", "de", "ja"):
        lines = []
        for number, row in enumerate(releases.parallel_rows(facts)):
            item = row["translations"][code]
            doc = {**{key: row[key] for key in ("fact_id", "property_id")}, **item, "language": code}
            right = number % 2 == 0 or code == "en"
            scores = [-1.0 if (place == item["answer_index"]) == right else -5.0 - place for place in range(4)]
            lines.append(
                {
                    "doc_id": number,
                    "doc": doc,
                    "target": item["answer_index"],
                    "arguments": [[f"Question: {item['question']}\nAnswer:", " x"]] * 4,
                    "filtered_resps": [[score, False] for score in scores],
                }
            )
        folder.mkdir(parents=True, exist_ok=True)
        for date in ("2026-01-01T00-00-00.1", "2026-01-02T00-00-00.1"):
            body = lines if date > "2026-01-02" else lines[:1]  # the later file counts
            text = "\n".join(json.dumps(line) for line in body)
            (folder / f"samples_{task}_{code}_{date}.jsonl").write_text(text, encoding="utf-8")
    return folder


def read(folder: Path, output: Path) -> results.Result:
    lm_eval_samples.main(samples=folder, output=output, label="M", dataset="r")
    return results.load_result(output)


def test_samples_of_lm_eval_become_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = read(write_samples(tmp_path / "runs"), tmp_path / "m.json")
    assert result.data.languages == ("de", "en", "ja") and result.data.facts == 8 and result.data.config == "clean"
    found = result.metrics["byte"]
    assert found["accuracy"] == {"de": 0.5, "en": 1.0, "ja": 0.5} and found["total_consistency"] == 0.5
    assert set(result.metrics) == {"byte", "sum", "char"} and found["rankc"] is not None
    compare.main(files=[str(tmp_path / "m.json")], recompute=True, resamples=100)
    out = capsys.readouterr().out
    assert "| correct in all languages | 50.00 [" in out and "| RankC (floor 0.0902, chance 0.3768) |" in out


def test_folders_that_are_no_samples(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run lm_eval with --log_samples"):
        lm_eval_samples.find_files(tmp_path)
    write_samples(tmp_path / "both")
    write_samples(tmp_path / "both", task="polyfact")
    with pytest.raises(ConfigError, match="samples of polyfact and of polyfact_clean"):
        lm_eval_samples.find_files(tmp_path / "both")
    path = tmp_path / "samples_polyfact_en_2026-01-01T00-00-00.1.jsonl"
    path.write_text('{"doc": {}}', encoding="utf-8")
    with pytest.raises(DataError, match="line 1: no sample of a PolyFact task"):
        lm_eval_samples.choices_table({"en": path})


def test_every_eval_ever_and_the_hubs_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "m.json"
    result = read(write_samples(tmp_path / "runs"), output)
    exports.main(file=output, to_every_eval_ever=tmp_path / "e.json", to_eval_results=tmp_path / ".eval_results")
    document = json.loads((tmp_path / "e.json").read_text())
    assert document["model_info"]["name"] == "M" and document["source_metadata"]["source_type"] == "evaluation_run"
    scores = {
        one["metric_config"]["metric_name"]: one["score_details"]["score"] for one in document["evaluation_results"]
    }
    assert scores["total_consistency"] == 0.5 and scores["accuracy_en"] == 1.0
    assert scores["rankc"] == pytest.approx(result.metrics["byte"]["rankc"])
    lower = {
        one["metric_config"]["metric_name"]
        for one in document["evaluation_results"]
        if one["metric_config"]["lower_is_better"]
    }
    assert "ece" in lower and "mean_accuracy" not in lower
    entries = safe_load((tmp_path / ".eval_results" / "polyfact_mcq.yaml").read_text())
    assert entries[0]["dataset"] == {"id": "r", "task_id": "mcq_mean_accuracy"}
    assert entries[0]["value"] == pytest.approx(66.6667) and "3 languages, 8 facts" in entries[0]["notes"]
    with pytest.raises(ConfigError, match="nothing to write"):
        exports.main(file=output)
    with pytest.raises(ConfigError, match="no scores per token; it has byte, sum, char"):
        exports.values_of(result, "token")


def test_measures_that_are_better_when_lower_exist() -> None:
    from baselines.evaluate.measures import MEASURES

    assert {measure.name for measure in MEASURES} >= exports.LOWER_IS_BETTER


# ---------------------------------------------------------------- BMLAMA


def test_pools_are_aligned_by_position(tmp_path: Path) -> None:
    for code, names in {"en": "Paris, Rome", "de": "Paris, Rom"}.items():
        lines = [
            "Prompt\tAns\tCandidate Ans",
            f"{code} capital of X is <mask>.\tParis\t{names}",
            f"<mask> {code}\tParis\tParis",
        ]
        (tmp_path / f"{code}.tsv").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    files = bmlama.read_folder(tmp_path)
    pools = pools_of(files, ("en", "de"))
    assert [pool.fact_id for pool in pools] == ["row00000"] * 2  # the pool of one candidate is left out
    assert pools[1].candidates == {"000": "de capital of X is Paris.", "001": "de capital of X is Rom."}
    assert pools[1].gold == "000" and pools[1].prompt == ""
    (tmp_path / "de.tsv").write_text("Prompt\tAns\tCandidate Ans\nno mask\tParis\tParis, Rome\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"de\.tsv, line 2: expected Prompt with <mask>"):
        bmlama.read_folder(tmp_path)


def test_rows_that_are_not_aligned_are_left_out() -> None:
    one = Line("<mask>", ("a",), ("a", "b"))
    three = Line("<mask>", ("a",), ("a", "b", "c"))
    strange = Line("<mask>", ("z",), ("a", "b"))
    files = {"en": [one, one, one], "de": [one, three, strange]}
    assert {pool.fact_id for pool in pools_of(files, ("en", "de"))} == {"row00000"}


# ---------------------------------------------------------------- Inspect


def test_the_inspect_task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Inspect AI is not installed: what the task takes from it is replaced by classes that keep their arguments."""

    class Kept:
        def __init__(self, *args: Any, **arguments: Any) -> None:
            self.args = args
            self.__dict__.update(arguments)

    def decorator(*args: Any, **options: Any) -> Any:
        return args[0] if args else lambda function: function

    for name, members in {
        "inspect_ai": {"Task": Kept, "task": decorator},
        "inspect_ai.dataset": {"MemoryDataset": Kept, "Sample": Kept},
        "inspect_ai.scorer": {
            **dict.fromkeys(("accuracy", "choice", "grouped", "stderr"), Kept),
            **dict.fromkeys(("metric", "scorer"), decorator),
        },
        "inspect_ai.solver": {"multiple_choice": Kept},
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "baselines.evaluate.inspect_task", raising=False)
    module = importlib.import_module("baselines.evaluate.inspect_task")
    monkeypatch.delitem(sys.modules, "baselines.evaluate.inspect_task")
    folder = releases.write(tmp_path, {"clean": {"test": releases.parallel_rows(2)}})
    made = module.polyfact(dataset=str(folder), languages="en,ja")
    samples = made.dataset.args[0]
    assert len(samples) == 4 and samples[0].target == "A" and samples[0].choices == ["Paris", "Rome", "Vienna", "Cairo"]
    assert samples[1].id == "Q100|P36|Q1|ja" and samples[1].input.endswith("\nja question 0")

    class Scored:
        def __init__(self, fact: str, value: float) -> None:
            self.sample_metadata = {"fact_id": fact}
            self.score = types.SimpleNamespace(as_float=lambda: value)

    assert module.consistent()([Scored("a", 1.0), Scored("a", 1.0), Scored("b", 1.0), Scored("b", 0.0)]) == 0.5
