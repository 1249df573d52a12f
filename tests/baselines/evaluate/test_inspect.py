"""The task in Inspect AI itself, with its scripted model. Needs the package inspect-ai."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

inspect_ai = pytest.importorskip("inspect_ai", reason="needs the package inspect-ai")

from inspect_ai.model import ModelOutput, ModelUsage, get_model  # noqa: E402

from baselines.evaluate import inspect_task  # noqa: E402
from tests.support import baseline_releases as releases  # noqa: E402


def answering(text: str) -> Any:
    """A model that says this; with its usage, or Inspect would fetch a tokenizer to count it."""
    output = ModelOutput.from_content("mockllm/model", text)
    output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return get_model("mockllm/model", custom_outputs=[output.model_copy(deep=True) for _ in range(12)])


@pytest.mark.parametrize("given", ["en,ja", ["en", "ja"]])
def test_letters_are_scored_by_language_and_fact(given: str | list[str], tmp_path: Path) -> None:
    """A is right for the first fact in English, for none in both languages. `-T languages=en,ja` comes as a list."""
    folder = releases.write(tmp_path, {"clean": {"test": releases.parallel_rows(4)}})
    task = inspect_task.polyfact(dataset=str(folder), languages=given)
    targets = [(sample.metadata["language"], sample.target) for sample in task.dataset]
    assert len(targets) == 8 and {code for code, _ in targets} == {"en", "ja"}
    (log,) = inspect_ai.eval(
        task, model=answering("ANSWER: A"), display="none", log_dir=str(tmp_path / "logs"), log_images=False
    )
    assert log.status == "success", log.error
    scores = {name: metric.value for score in log.results.scores for name, metric in score.metrics.items()}
    right = {code: [target == "A" for other, target in targets if other == code] for code in ("en", "ja")}
    assert scores["en"] == sum(right["en"]) / 4 == 0.25 and scores["ja"] == sum(right["ja"]) / 4 == 0.25
    assert scores["accuracy"] == 0.25
    both = sum(one and other for one, other in zip(right["en"], right["ja"]))
    assert scores["consistent"] == both / 4
