"""A release and tiny models for all tests of the baselines."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
_frozen = 0


def pytest_runtest_setup() -> None:
    """Leaves the modules that are loaded out of garbage collection: trainers collect it fully, again and again."""
    global _frozen
    if len(sys.modules) > _frozen + 50:
        _frozen = len(sys.modules)
        gc.collect()
        gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session")
def release(sample_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release folder of the sample build, read through a cache of its own."""
    import datasets.config

    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("datasets")
    return sample_build / "release"


@pytest.fixture(scope="session")
def tiny(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Tiny Qwen2 and OLMo2 models by the name of their family, made once."""
    pytest.importorskip("torch", reason="needs polyfact[eval]")
    pytest.importorskip("transformers", reason="needs polyfact[eval]")
    import torch

    from baselines import tiny as module
    from baselines.data import load
    from baselines.evaluate.mcq import requests_of

    torch.set_num_threads(1)
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            facts = load(release, "parallel", "train").sample(150)
            # Prompts with their answers too: in Japanese and Chinese the two then merge, as a large vocabulary may.
            joined = (r.prompt + text for r in requests_of(facts, "paper") for text in r.continuations)
            lines = chain(module.texts(facts), joined)
            folder = tmp_path_factory.mktemp("models") / f"tiny-{family}"
            made[family] = module.make(family, folder, lines, vocabulary=2048, hidden=32)  # type: ignore[arg-type]
        return made[family]

    return get
