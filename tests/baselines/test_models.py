"""Labels of models, and the messages about models and devices that do not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from baselines.models import label_of, load_model, pick_device
from polyfact_dataset.common.errors import ConfigError, RetryableError


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


@pytest.mark.parametrize("name", ["nonsense", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_there(name: str) -> None:
    pytest.importorskip("torch", reason="needs polyfact[eval]")
    with pytest.raises(ConfigError, match=f"device '{name}' cannot be used: .+; choose another --device"):
        pick_device(name)
    assert pick_device("cpu").type == "cpu"


def test_a_hub_out_of_reach_is_no_missing_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command may succeed later, so the error is another one."""
    pytest.importorskip("transformers", reason="needs polyfact[eval]")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(RetryableError, match="model 'nobody/nothing' is no folder, and the Hub cannot be reached"):
        load_model("nobody/nothing", device="cpu")
    with pytest.raises(ConfigError, match="model 'no/such/folder' is neither a folder"):
        load_model("no/such/folder", device="cpu")
