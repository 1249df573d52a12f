"""FSDP2 on two CPU processes: training, evaluation with unequal work, and whole weights at the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

torch = pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("trl", reason="needs polyfact[train]")

from baselines.sft import SftConfig, train  # noqa: E402
from baselines.training.arguments import derive_batch  # noqa: E402
from baselines.training.config import OptimisationConfig  # noqa: E402
from baselines.training.loop import demand_weights  # noqa: E402
from polyfact_dataset.common.errors import ConfigError, DataError  # noqa: E402
from tests.baselines import processes  # noqa: E402
from tests.support.training_runs import difference, settings, trace, write_config  # noqa: E402

ACCELERATE = Path(__file__).parents[3] / "baselines" / "configs" / "accelerate"


def test_fsdp_trains_evaluates_and_writes_whole_weights(
    release: Path, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five facts over two processes: one has fewer forward passes than the other."""
    changes = {"lora": None, "evaluation__steps": 4, "evaluation__facts": 5, "optimisation__max_steps": 4}
    alone = train(
        SftConfig.model_validate(settings(tiny("qwen2"), release, tmp_path / "one", optimisation__batch=4, **changes))
    )
    shipped = yaml.safe_load((ACCELERATE / "fsdp2.yaml").read_text(encoding="utf-8"))
    # What `accelerate launch` makes of the file.
    monkeypatch.setitem(os.environ, "ACCELERATE_USE_FSDP", "true")
    for name, value in shipped["fsdp_config"].items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        monkeypatch.setitem(os.environ, name.upper(), text)
    file = write_config(tmp_path / "two.yaml", settings(tiny("qwen2"), release, tmp_path / "two", **changes))
    processes.run_several(2, tmp_path / "process", "tests.support.fsdp_worker", "baselines.sft", "--config", file)
    assert not (tmp_path / "two" / "checkpoint-4" / "model.safetensors").exists(), "checkpoints are in shards"
    assert difference(alone, tmp_path / "two" / "final") < 1e-4
    for name in ("loss", "eval_paper_mean_accuracy"):
        one, other = trace(tmp_path / "one", name), trace(tmp_path / "two", name)
        assert list(one.values()) == pytest.approx(list(other.values()), abs=1e-4) and one.keys() == other.keys()


def test_a_folder_without_weights_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no weights although training ended"):
        demand_weights(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(DataError, match="holds no weights"):
        demand_weights(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    demand_weights(tmp_path)


def test_the_effective_batch_does_not_follow_the_processes() -> None:
    config = OptimisationConfig(learning_rate=1e-5, batch=8, effective_facts=64)
    batches = [derive_batch(config, "facts", count) for count in (1, 2, 8)]
    assert [batch.accumulation for batch in batches] == [8, 4, 1]
    assert {batch.effective for batch in batches} == {64}
    assert "sees 64 facts: 8 on each of 2 processes x accumulation 4" in str(batches[1])
    with pytest.raises(ConfigError, match="which is no multiple of optimisation.batch 8 x 3 processes = 24"):
        derive_batch(config, "facts", 3)


@pytest.mark.parametrize(("languages", "batch"), [(12, 8), (13, 8), (14, 8), (19, 8), (12, 32), (13, 26), (19, 19)])
def test_the_batch_of_grpo_follows_the_number_of_languages(languages: int, batch: int) -> None:
    """Of a fact's L x G completions, as many in a pass as divide them, and not more than the configuration says."""
    most = 8 if batch == 8 else 32
    config = OptimisationConfig(learning_rate=1e-5, batch=most, effective_facts=2)
    derived = derive_batch(config, "facts", 2, languages * 8)
    assert (derived.batch, derived.effective) == (batch, 2)
    assert derived.batch * derived.accumulation == languages * 8
