"""What a model is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from baselines.models import label_of


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("allenai/OLMo-2-1124-7B", "OLMo-2-1124-7B"),
        ("gpt2", "gpt2"),
        ("models/tiny/", "tiny"),
        ("runs/olmo2_7b_sft/final", "olmo2_7b_sft"),
        ("runs/olmo2_7b_sft/checkpoint-200", "checkpoint-200"),
    ],
)
def test_a_model_is_called_by_the_last_part_of_its_name(model: str, expected: str) -> None:
    assert label_of(model) == expected
    assert label_of(model, "mine") == "mine"


def test_a_model_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run" / "final").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run")
    assert label_of(".") == label_of("final") == "run"
