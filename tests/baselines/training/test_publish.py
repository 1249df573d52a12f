"""Merging an adapter, and pushing a model with its card to a local Hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[train]")
pytest.importorskip("trl", reason="needs polyfact[train]")

from baselines.sft import SftConfig, train  # noqa: E402
from baselines.training.merge import merge  # noqa: E402
from baselines.training.push import push, render  # noqa: E402
from polyfact_dataset.common.errors import ConfigError  # noqa: E402
from polyfact_dataset.common.files import read_json  # noqa: E402
from tests.support.hub import Hub  # noqa: E402
from tests.support.training_runs import settings, weights  # noqa: E402

BASE = "allenai/OLMo-2-1124-7B"


@pytest.fixture(scope="module")
def final(release: Path, tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter of a short run."""
    folder = tmp_path_factory.mktemp("publish") / "olmo2_sft"
    changes = {"evaluation__steps": 4, "optimisation__max_steps": 4}
    return train(SftConfig.model_validate(settings(tiny("olmo2"), release, folder, **changes)))


def test_a_merged_model_is_the_adapted_one(final: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    merge(final, tmp_path / "m")
    ids = AutoTokenizer.from_pretrained(tmp_path / "m")("Where is Paris?", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        merged, adapted, base = (
            AutoModelForCausalLM.from_pretrained(folder).eval()(ids).logits
            for folder in (tmp_path / "m", final, tiny("olmo2"))
        )
    assert float((merged - adapted).abs().max()) < 1e-4 < float((merged - base).abs().max())
    assert weights(tmp_path / "m").keys() == weights(tiny("olmo2")).keys()
    assert read_json(tmp_path / "m" / "training.json") == read_json(final / "training.json")


def test_what_cannot_be_merged_is_refused(final: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no adapter"):
        merge(tiny("olmo2"), tmp_path / "m")
    with pytest.raises(ConfigError, match="is not empty"):
        merge(final, final.parent)
    with pytest.raises(ConfigError, match="unknown dtype"):
        merge(final, tmp_path / "m", dtype="int3")
    with pytest.raises(ConfigError, match="neither a folder"):
        merge(final, tmp_path / "m", base=str(tmp_path / "gone"))


def test_the_card_says_what_the_record_says(final: Path) -> None:
    from huggingface_hub import ModelCard

    record = read_json(final / "training.json")
    card = ModelCard(render(final, BASE), ignore_metadata_errors=False)
    assert card.data.base_model == BASE and card.data.base_model_relation == "adapter"
    assert card.data.library_name == "peft" and card.data.language == ["en", "ja", "sw"] and "sft" in card.data.tags
    text = card.content
    assert "# olmo2_sft" in text and "English, Japanese, Swahili" in text and "supervised fine-tuning" in text
    for message in (
        f"{record['trained_parameters']:,} of {record['parameters']:,} parameters",
        f"{record['cost']['input_tokens']:,} input tokens",
        "| optimisation.learning_rate | 0.005 |",
        "| consistency | 0.5 |",
        f"| paper_mean_accuracy | {record['evaluation']['paper_mean_accuracy']:.4f} |",
        f"torch {record['software']['torch']}",
        "16 facts of",
    ):
        assert message in text, message
    with pytest.raises(ConfigError, match="started from the local folder"):
        render(final)
    with pytest.raises(ConfigError, match="has no training.json"):
        render(final.parent)


def test_an_adapter_is_pushed(final: Path, hub: Hub) -> None:
    push(final, "jvonrad/olmo2-sft", BASE)
    repo = hub.repos["jvonrad/olmo2-sft"]
    files = {path: data for path, (data, _) in repo.commits[repo.branches["main"]].items()}
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "training.json"} <= set(
        files
    )
    assert not any(path.endswith((".bin", ".pt", ".pth")) for path in files)
    assert files["adapter_model.safetensors"] == (final / "adapter_model.safetensors").read_bytes()
    assert files["README.md"].decode() == render(final, BASE)


def test_nothing_pushed_names_a_folder_of_this_machine(final: Path, hub: Hub) -> None:
    push(final, "jvonrad/olmo2-sft", BASE)
    repo = hub.repos["jvonrad/olmo2-sft"]
    files = {path: data for path, (data, _) in repo.commits[repo.branches["main"]].items()}
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == BASE
    found = read_json(final / "training.json")["compared"]["config"]
    for place in (found["model"]["name"], found["dataset"]["source"]):
        assert Path(place).is_absolute()
        assert [name for name, data in files.items() if place.encode() in data] == []
    assert f"16 facts of `{Path(found['dataset']['source']).name}`" in files["README.md"].decode()
    # What lies here still finds its base.
    assert read_json(final / "adapter_config.json")["base_model_name_or_path"] == found["model"]["name"]


def test_a_refused_token_is_an_error(final: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    with pytest.raises(ConfigError, match="the Hub rejects the token"):
        push(final, "jvonrad/olmo2-sft", BASE)
    assert not hub.repos
