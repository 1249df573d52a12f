"""The shipped configurations: each is valid, each value says where it is from, and the paper's are the paper's."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs polyfact[train]")

from baselines.training.config import TrainingConfig, load_config
from polyfact_dataset.catalog.language import PAPER_LANGUAGES

FOLDER = Path(__file__).parents[2] / "baselines" / "configs"
MODELS = {"olmo2_7b": "allenai/OLMo-2-1124-7B", "qwen2.5_7b": "Qwen/Qwen2.5-7B"}
FILES = sorted(path for path in FOLDER.glob("*.yaml") if not path.stem.endswith("grpo"))
# Every trainer but GRPO, whose files are read by `test_grpo`.
METHODS = {
    path.stem
    for path in FOLDER.parent.glob("*.py")
    if path.stem != "grpo" and re.search(r"^class \w+Config\(TrainingConfig\)", path.read_text("utf-8"), re.MULTILINE)
}


def class_of(method: str) -> type[TrainingConfig]:
    module = importlib.import_module(f"baselines.{method}")
    found: type[TrainingConfig] = getattr(module, "".join(part.title() for part in method.split("_")) + "Config")
    return found


def split(path: Path) -> tuple[str, bool, str]:
    """(model, whether from the CPT checkpoint, method) of a file's name."""
    model = next(name for name in MODELS if path.stem.startswith(f"{name}_"))
    rest = path.stem.removeprefix(f"{model}_")
    return (model, True, rest.removeprefix("cpt_")) if rest.startswith("cpt_") else (model, False, rest)


def value(config: Any, name: str) -> Any:
    for part in name.split("."):
        config = getattr(config, part)
    return config


def test_every_method_is_there_for_both_models() -> None:
    assert {"cpt", "sft", "rft", "dco", "cm_align", "warm_start"} <= METHODS
    wanted = {(model, False, method) for model in MODELS for method in METHODS}
    wanted |= {(model, True, "sft") for model in MODELS}
    assert {split(path) for path in FILES} == wanted


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_configuration(path: Path) -> None:
    model, from_cpt, method = split(path)
    config = load_config(class_of(method), path)
    assert config.method == method
    assert config.model.name == (f"runs/{model}_cpt/final" if from_cpt else MODELS[model])
    assert config.output.folder == Path("runs") / path.stem
    assert config.optimisation.effective is not None and config.optimisation.accumulation is None
    text = path.read_text(encoding="utf-8")
    assert f"-m baselines.{method} --config baselines/configs/{path.name}" in text
    lines = [line for line in text.splitlines() if line and not line.startswith("#") and not line.endswith(":")]
    assert all("  # " in line for line in lines), "every value says where it is from"
    wanted = {line.split(":")[0].strip() for line in lines}
    assert wanted >= {"learning_rate", "warmup", "weight_decay", "batch", "seed", "steps", "epochs"}


PAPER = {
    "cpt": {
        "optimisation.learning_rate": 2e-5,
        "optimisation.warmup": 200,
        "optimisation.batch": 6,
        "optimisation.effective_batch": 48,
        "lora": None,
    },
    "sft": {
        "optimisation.learning_rate": 2e-5,
        "optimisation.warmup": 0.05,
        "optimisation.batch": 8,
        "optimisation.effective_facts": 64,
        "consistency": 0.5,
        "lora.r": 64,
        "lora.alpha": 128,
        "lora.dropout": 0.05,
        "evaluation.steps": 200,
        "evaluation.facts": 200,
        "output.checkpoint_steps": 200,
    },
}
BOTH = {
    "optimisation.schedule": "cosine",
    "optimisation.weight_decay": 0.01,
    "optimisation.optimiser": "adamw_torch_fused",
    "optimisation.precision": "bf16",
    "optimisation.epochs": 1,
    "dataset.languages": PAPER_LANGUAGES,
}


@pytest.mark.parametrize("path", [path for path in FILES if split(path)[2] in PAPER], ids=lambda path: path.stem)
def test_the_papers_values(path: Path) -> None:
    """Tables 2 and 5."""
    method = split(path)[2]
    config = load_config(class_of(method), path)
    for name, wanted in {**BOTH, **PAPER[method]}.items():
        assert value(config, name) == wanted, name


def test_the_corpus_is_the_papers() -> None:
    """Table 2."""
    from baselines.corpus import Settings

    made = Settings()
    assert (made.max_tokens, made.target_tokens, made.validation_share) == (1024, 512, 0.005)
    assert made.min_row_languages == made.min_talk_languages == 2 and set(made.languages) >= set(PAPER_LANGUAGES)
