"""Our tasks in lm_eval: the shipped files, what lm_eval makes of them, and equal numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs polyfact[eval]")
pytest.importorskip("lm_eval", reason="needs polyfact[eval]")

from baselines.data import load
from baselines.evaluate import harness, mcq, results
from baselines.prompts import item_prompt
from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import ConfigError


def test_the_shipped_tasks_are_what_is_written_now(tmp_path: Path) -> None:
    written = harness.write_tasks(tmp_path, "jvonrad/PolyFact", "paper", PAPER_LANGUAGES)
    assert len(written) == 1 + 2 * 13
    shipped = {path.name: path.read_text(encoding="utf-8") for path in harness.TASKS.iterdir()}
    assert shipped == {path.name: path.read_text(encoding="utf-8") for path in written}


def test_lm_eval_finds_tasks_and_groups_by_name() -> None:
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False, include_path=str(harness.TASKS))
    assert manager.all_groups == ["polyfact", "polyfact_clean"]
    expected = {f"{name}_{code}" for name in ("polyfact", "polyfact_clean") for code in PAPER_LANGUAGES}
    assert set(manager.all_subtasks) == expected
    config = manager.task_index["polyfact_clean_sw"].cfg
    assert config["dataset_name"] == "clean_sw" and config["metadata"]["version"] == harness.VERSION


def test_lm_eval_and_mcq_agree(release: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    """The same accuracies and the same prompts from a local release, in a spaced and an unspaced language."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    languages = ("sw", "zh")
    harness.main(output=tmp_path / "tasks", dataset=str(release), languages=",".join(languages))
    found = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(tiny("qwen2")), "dtype": "float32"},
        tasks=[f"polyfact_clean_{code}" for code in languages],
        task_manager=TaskManager(include_defaults=False, include_path=str(tmp_path / "tasks")),
        batch_size=16,
        device="cpu",
        bootstrap_iters=0,
    )
    output = tmp_path / "r.json"
    mcq.main(model=str(tiny("qwen2")), output=output, dataset=str(release), languages="sw,zh", device="cpu", quiet=True)
    own = results.load_result(output)
    facts = load(release, "clean", "test", languages)
    for code in languages:
        theirs = found["results"][f"polyfact_clean_{code}"]
        for normalisation, metric in (("byte", "acc_bytes"), ("char", "acc_norm"), ("sum", "acc")):
            assert own.metrics[normalisation]["accuracy"][code] == pytest.approx(theirs[f"{metric},none"])
        sample = found["samples"][f"polyfact_clean_{code}"][0]
        fact = next(fact for fact in facts if fact.fact_id == sample["doc"]["fact_id"])
        prompt = item_prompt("paper", code, fact.items[code])
        assert sample["arguments"][0] == (prompt.text, prompt.separator + fact.items[code].options[0])


def test_tasks_for_other_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harness.main(output=tmp_path, dataset="someone/other", prompt="letters", languages="en,ja")
    shared = (tmp_path / "_shared_yaml").read_text(encoding="utf-8")
    assert "dataset_path: someone/other" in shared and "- A\n- B\n- C\n- D\n" in shared
    assert "A. {{option_a}}" in (tmp_path / "polyfact_ja.yaml").read_text(encoding="utf-8")
    assert not (tmp_path / "polyfact_de.yaml").exists()
    with pytest.raises(ConfigError, match="unknown prompt style 'fancy'"):
        harness.main(output=tmp_path, prompt="fancy")
    harness.main()
    assert capsys.readouterr().out.strip() == str(harness.TASKS)
